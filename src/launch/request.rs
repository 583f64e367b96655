//! What `run` asks `enter` for, and the steps of `enter` that every system takes alike.

use super::quoted;
use crate::model::AbsPath;
use rustix::{
    fs::{FileType, fstat},
    net::{AddressFamily, getsockname},
};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::AsFd,
        unix::{
            ffi::{OsStrExt, OsStringExt},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::Command,
};

/// What `run` asks for. It is data from an untrusted caller: it chooses the directory and the command, no rule.
#[derive(Debug, Default)]
pub struct Request {
    /// The directory to work in.
    pub directory: PathBuf,
    /// The umask.
    pub umask: u32,
    /// Variables of the human; those that the policy lets pass are taken.
    pub variables: Vec<(String, String)>,
    /// The program and its arguments; none for a login shell.
    pub command: Vec<OsString>,
    /// Without a keeper: the command makes no files.
    pub alone: bool,
    /// What to do instead of becoming a command.
    pub instead: Option<Instead>,
}

/// What else `enter` does, as the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// Nothing: that it was started tells that sudo lets the caller in.
    BeLetIn,
    /// Sends a signal to a process.
    Signal(i32, i32),
    /// Is the keeper.
    Keep,
    /// Tells the keeper whether sessions run.
    Look,
    /// Starts the keeper, where none is at work.
    StartKeeper,
}

/// The exit status of `enter` where it does not become a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended(pub u8);

/// Why a request is not met, for reasons that every system has.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The arguments are not those that `run` makes.
    #[error("`enter` is for `agentuser run` to call: {0}")]
    Usage(String),
    /// A descriptor that must not reach the agent.
    #[error("file descriptor {0} is {1}, which must not reach the agent")]
    Descriptor(u8, &'static str),
    /// The directory can't be entered.
    #[error("the agent can't enter `{}`: {source}", .directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The directory is not shared.
    #[error("`{}` is not shared with the agent", .0.display())]
    NotShared(PathBuf),
    /// The command can't be started.
    #[error("{}: {source}", .program.to_string_lossy())]
    Exec {
        /// The command's name.
        program: OsString,
        /// The system's reason.
        source: io::Error,
    },
}

impl Refusal {
    /// The exit status: 127 and 126 as env(1) has them, 125 when agentuser itself refused.
    pub fn status(&self) -> u8 {
        match self {
            Self::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Exec { .. } => 126,
            _ => 125,
        }
    }

    /// The command to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Directory { .. } => Some("agentuser status".into()),
            Self::NotShared(path) => Some(format!("agentuser share {}", quoted(path))),
            Self::Usage(_) | Self::Descriptor(..) | Self::Exec { .. } => None,
        }
    }
}

/// Reads the arguments of `enter`: `--directory=PATH --umask=OCTAL --env=NAME=VALUE... --alone -- COMMAND...`, or one
/// of `--let-in`, `--signal=NUMBER --pid=NUMBER`, `--keep`, `--look` and `--start-keeper`.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, Refusal> {
    let mut request = Request { umask: 0o077, ..Request::default() };
    let mut arguments = arguments.into_iter();
    let number = |argument: &OsStr, name: &str| argument.to_str()?.strip_prefix(name)?.parse::<i32>().ok();
    let mut signal = None;
    for argument in arguments.by_ref() {
        let bytes = argument.as_bytes();
        if bytes == b"--" {
            break;
        } else if let Some(number) = number(&argument, "--signal=") {
            signal = Some(number);
        } else if let (Some(signal), Some(pid)) = (signal, number(&argument, "--pid=")) {
            request.instead = Some(Instead::Signal(signal, pid));
        } else if bytes == b"--alone" {
            request.alone = true;
        } else if bytes == b"--let-in" {
            request.instead = Some(Instead::BeLetIn);
        } else if bytes == b"--keep" {
            request.instead = Some(Instead::Keep);
        } else if bytes == b"--look" {
            request.instead = Some(Instead::Look);
        } else if bytes == b"--start-keeper" {
            request.instead = Some(Instead::StartKeeper);
        } else if let Some(path) = bytes.strip_prefix(b"--directory=") {
            request.directory = PathBuf::from(OsString::from_vec(path.to_vec()));
        } else if let Some(umask) = argument.to_str().and_then(|text| text.strip_prefix("--umask=")) {
            let umask = u32::from_str_radix(umask, 8).ok().filter(|umask| *umask <= 0o777);
            request.umask = umask.ok_or_else(|| Refusal::Usage("the umask is not one".into()))?;
        } else if let Some(pair) = bytes.strip_prefix(b"--env=") {
            // A value that is not text is no locale and no terminal's name.
            if let Some((name, value)) = std::str::from_utf8(pair).ok().and_then(|pair| pair.split_once('='))
            {
                request.variables.push((name.to_owned(), value.to_owned()));
            }
        } else {
            return Err(Refusal::Usage(format!("`{}`", argument.to_string_lossy().escape_debug())));
        }
    }
    request.command = arguments.collect();
    Ok(request)
}

/// Makes sure that descriptors 0 to 2 give nothing but a stream of bytes: through a directory the agent could reach files, and
/// a network socket carries the rights of whoever opened it.
pub fn judge_streams() -> Result<(), Refusal> {
    judge_descriptor(0, io::stdin())?;
    judge_descriptor(1, io::stdout())?;
    judge_descriptor(2, io::stderr())
}

fn judge_descriptor(number: u8, fd: impl AsFd) -> Result<(), Refusal> {
    let Ok(is) = fstat(&fd) else { return Ok(()) };
    match FileType::from_raw_mode(is.st_mode) {
        FileType::Directory => Err(Refusal::Descriptor(number, "a directory")),
        FileType::Socket if getsockname(&fd).map(|name| name.address_family()) != Ok(AddressFamily::UNIX) => {
            Err(Refusal::Descriptor(number, "a network socket"))
        }
        _ => Ok(()),
    }
}

/// Enters a project, or the agent's home, and looks where that led: links don't count.
pub fn enter_directory(directory: &Path, projects: &[AbsPath], home: &Path) -> Result<(), Refusal> {
    let error = |source| Refusal::Directory { directory: directory.into(), source };
    let directory = if directory.as_os_str().is_empty() { home } else { directory };
    std::env::set_current_dir(directory).map_err(error)?;
    let real = std::env::current_dir().map_err(error)?;
    let shared = projects.iter().any(|project| real.starts_with(project));
    if shared || real.starts_with(home) { Ok(()) } else { Err(Refusal::NotShared(real)) }
}

/// The command that was asked for, or else a login shell.
pub fn command(asked: &[OsString], shell: &AbsPath) -> Command {
    if let Some((program, arguments)) = asked.split_first() {
        let mut command = Command::new(program);
        command.args(arguments);
        return command;
    }
    let mut command = Command::new(shell.as_path());
    command.arg0(format!("-{}", shell.name()));
    command
}

/// Becomes a command; it comes back only to say why not.
pub fn become_it(mut command: Command) -> Refusal {
    let program = command.get_program().to_owned();
    Refusal::Exec { program, source: command.exec() }
}

/// Sends a signal to a process of the agent's own, for `run`, which may not do so itself.
pub fn send(number: i32, pid: i32) -> Ended {
    use nix::{sys::signal, unistd::Pid};
    let signal = signal::Signal::try_from(number).ok().filter(|_| pid > 1);
    let sent = signal.is_some_and(|signal| signal::kill(Pid::from_raw(pid), signal).is_ok());
    Ended(u8::from(!sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arguments: &[&str]) -> Result<Request, Refusal> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn what_follows_the_dashes_is_never_read() {
        let read =
            request(&["--directory=/a b", "--umask=022", "--env=A=b=c", "--", "--env=X=1", "--", "", "-n"])
                .unwrap();
        assert_eq!(read.directory, Path::new("/a b"));
        assert_eq!(read.umask, 0o022);
        assert_eq!(read.variables, [("A".into(), "b=c".into())]);
        assert_eq!(read.command, ["--env=X=1", "--", "", "-n"]);
    }

    #[test]
    fn odd_arguments_are_refused() {
        for bad in [&["--umask=9"][..], &["--umask=1000"], &["sh"], &["--policy=/tmp/p"], &["--pid=1"]] {
            assert_eq!(request(bad).unwrap_err().status(), 125, "{bad:?}");
        }
    }

    #[test]
    fn a_signal_goes_to_one_process_alone() {
        let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        for (signal, pid) in [(0, pid), (999, pid), (15, 0), (15, -1), (15, 1)] {
            assert_eq!(send(signal, pid), Ended(1), "{signal} {pid}");
        }
        assert!(child.try_wait().unwrap().is_none());
        assert_eq!(send(15, pid), Ended(0));
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(15));
    }

    #[test]
    fn what_can_not_be_started_ends_as_with_env() {
        let missing = become_it(command(&["/no/such/program".into()], &AbsPath::fixed("/bin/sh")));
        assert_eq!(missing.status(), 127);
        let directory = become_it(command(&["/".into()], &AbsPath::fixed("/bin/sh")));
        assert_eq!(directory.status(), 126);
    }
}
