//! The agent's half of a launch: what sudo starts as the agent, which becomes the command.
//!
//! The order matters. First everything that came along from the human is let go (keyring, descriptors), then the policy is
//! read and proved to be in force, and only then is a directory entered and a command looked up. Confinement comes last, for
//! it takes away what these steps need. Nothing of the agent's own (its PATH, its files) plays a part before that (B07, B24,
//! B29).

use super::{
    brief::{self, Brief, BriefError, Stamp},
    canary, confine, environment, keeper, quoted,
    secrets::Secrets,
};
use crate::{
    formats::accounts,
    host::{HostError, places, sys, trust, users},
    model::{AccountName, Uid},
    plan,
};
use rustix::{
    fs::{FileType, Mode, fstat},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, getsockname, socket_with},
    process::{DumpableBehavior, set_dumpable_behavior},
};
use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::{fd::AsFd, unix::process::CommandExt},
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
    /// Starts the keeper, where none is at work.
    StartKeeper,
}

/// The exit status of `enter` where it does not become a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended(pub u8);

/// Why `enter` did not start the command.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The arguments are not those that `run` makes.
    #[error("`enter` is for `agentuser run` to call: {0}")]
    Usage(String),
    /// The program or its policy could be changed by somebody but root.
    #[error(transparent)]
    Trust(#[from] trust::TrustError),
    /// The policy can't be read.
    #[error("can't read the policy: {0}")]
    Read(#[source] io::Error),
    /// The policy does not tell what may be started.
    #[error(transparent)]
    Brief(#[from] BriefError),
    /// The account is no agent of the policy.
    #[error("`{0}` is no agent of the policy")]
    NoAgent(String),
    /// The agent has the private view, which root has to make.
    #[error("`{0}` has a private view, which `enter` can't make")]
    Private(AccountName),
    /// A descriptor that must not reach the agent.
    #[error("file descriptor {0} is {1}, which must not reach the agent")]
    Descriptor(u8, &'static str),
    /// Descriptors or keys of the human could not be let go.
    #[error("can't let go of {0}: {1}")]
    LetGo(&'static str, #[source] io::Error),
    /// The account has sub-uids, under which it would escape the rules.
    #[error("the account has sub-uids ({0} in /etc/subuid), which it could hide behind")]
    SubUids(String),
    /// The firewall does not hold.
    #[error("the firewall is not in force for the agent: {0}")]
    Firewall(#[from] canary::Open),
    /// A service would resolve names for the agent, unseen by its rules.
    #[error("the agent can reach {0}, which asks other hosts for it")]
    NameService(&'static str),
    /// The agent's tokens can't be read.
    #[error("the tokens of the agent: {0}")]
    Secrets(#[from] HostError),
    /// The agent's rights could not be given up as the policy says.
    #[error(transparent)]
    Confine(#[from] confine::ConfineError),
    /// A limit of the policy could not be set.
    #[error("a limit of the policy can't be set: {0}")]
    Limits(#[source] io::Error),
    /// The keeper can't work.
    #[error("files can't be kept usable for both: {0}")]
    Keep(#[source] io::Error),
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

impl EnterError {
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
        Some(match self {
            Self::Trust(error) => error.hint(),
            Self::Read(_) | Self::SubUids(_) | Self::Firewall(_) | Self::NameService(_) => {
                "agentuser status, then agentuser setup".into()
            }
            Self::Confine(confine::ConfineError::NotCarried { line, .. }) => {
                format!("leave `{}` out of `confine` in {}, then agentuser setup", line.key(), places::POLICY)
            }
            Self::NoAgent(_)
            | Self::Directory { .. }
            | Self::Confine(_)
            | Self::Keep(_)
            | Self::Limits(_) => "agentuser status".into(),
            Self::Secrets(_) => "agentuser secret list".into(),
            Self::NotShared(path) => format!("agentuser share {}", quoted(path)),
            Self::Brief(error) => error.hint(),
            Self::Private(_) => "agentuser run, which goes the right way".into(),
            Self::Usage(_) | Self::Descriptor(..) | Self::LetGo(..) | Self::Exec { .. } => return None,
        })
    }
}

/// Reads the arguments of `enter`: `--directory=PATH --umask=OCTAL --env=NAME=VALUE... --alone -- COMMAND...`, or one
/// of `--let-in`, `--signal=NUMBER --pid=NUMBER`, `--keep` and `--start-keeper`.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, EnterError> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
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
        } else if bytes == b"--start-keeper" {
            request.instead = Some(Instead::StartKeeper);
        } else if let Some(path) = bytes.strip_prefix(b"--directory=") {
            request.directory = PathBuf::from(OsString::from_vec(path.to_vec()));
        } else if let Some(umask) = argument.to_str().and_then(|text| text.strip_prefix("--umask=")) {
            let umask = u32::from_str_radix(umask, 8).ok().filter(|umask| *umask <= 0o777);
            request.umask = umask.ok_or_else(|| EnterError::Usage("the umask is not one".into()))?;
        } else if let Some(pair) = bytes.strip_prefix(b"--env=") {
            // A value that is not text is no locale and no terminal's name.
            if let Some((name, value)) = std::str::from_utf8(pair).ok().and_then(|pair| pair.split_once('='))
            {
                request.variables.push((name.to_owned(), value.to_owned()));
            }
        } else {
            return Err(EnterError::Usage(format!("`{}`", argument.to_string_lossy().escape_debug())));
        }
    }
    request.command = arguments.collect();
    Ok(request)
}

/// Becomes the command, or says why not. It is what sudo starts as the agent, with the plain view.
pub fn enter(request: Request) -> Result<Ended, EnterError> {
    match request.instead {
        Some(Instead::BeLetIn) => return Ok(Ended(0)),
        Some(Instead::Signal(signal, pid)) => return Ok(send(signal, pid)),
        // Its standard input is the lock that it holds, and whoever started it has left all else behind.
        Some(Instead::Keep) => {}
        None | Some(Instead::StartKeeper) => leave_behind()?,
    }
    let text = trusted_policy()?;
    let uid = rustix::process::getuid().as_raw();
    let account = users::name_of(uid).unwrap_or_else(|| uid.to_string());
    let name: AccountName = account.parse().map_err(|_| EnterError::NoAgent(account))?;
    let brief = read_brief(&text, &name)?;
    // A keeper is started from inside a view, and does not leave it.
    if brief.private.is_some() && request.instead != Some(Instead::Keep) {
        return Err(EnterError::Private(name));
    }
    become_command(request, &brief)
}

/// Lets go of what came along from the human: keys, and all descriptors but 0 to 2.
pub(super) fn leave_behind() -> Result<(), EnterError> {
    // Other processes of the account don't get hold of this one before it is confined. The command can be looked into again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| EnterError::LetGo("being traced", errno.into()))?;
    sys::join_new_session_keyring()
        .or_else(no_keyrings)
        .map_err(|error| EnterError::LetGo("the session keyring", error))?;
    close_descriptors()
}

/// The text of the policy, once it and this program were found to be root's alone.
pub(super) fn trusted_policy() -> Result<String, EnterError> {
    let program = fs::read_link("/proc/self/exe").map_err(EnterError::Read)?;
    trust::check(&program)?;
    trust::check(Path::new(places::POLICY))?;
    fs::read_to_string(places::POLICY).map_err(EnterError::Read)
}

/// An agent's brief, from its stamp or else from the policy.
pub(super) fn read_brief(text: &str, name: &AccountName) -> Result<Brief, EnterError> {
    match Stamp::read(name).and_then(|stamp| stamp.brief_for(text)) {
        Some(brief) => Ok(brief),
        None => Ok(brief::from_policy(text, name)?),
    }
}

/// The last steps, as the agent: proof that the policy holds, then the directory and the command.
pub(super) fn become_command(request: Request, brief: &Brief) -> Result<Ended, EnterError> {
    let home = plan::home(&brief.name);
    match request.instead {
        None => {}
        Some(Instead::BeLetIn) => return Ok(Ended(0)),
        Some(Instead::Signal(signal, pid)) => return Ok(send(signal, pid)),
        Some(Instead::StartKeeper) => {
            keeper::start_agents(brief, home.as_path());
            return Ok(Ended(0));
        }
        Some(Instead::Keep) => return keeper::agents(brief).map(|()| Ended(0)).map_err(EnterError::Keep),
    }
    refuse_sub_uids(&brief.name, Uid(rustix::process::getuid().as_raw()))?;
    canary::fly(&brief.flight)?;
    if !brief.outbound_allowed {
        refuse_name_services()?;
    }
    enter_directory(&request.directory, brief, home.as_path())?;
    rustix::process::umask(Mode::from(request.umask));
    let secrets = Secrets::read(&brief.name)?;

    let mut command = if let Some((program, arguments)) = request.command.split_first() {
        let mut command = Command::new(program);
        command.args(arguments);
        command
    } else {
        let mut command = Command::new(brief.shell.as_path());
        command.arg0(format!("-{}", brief.shell.name()));
        command
    };
    let program = command.get_program().to_owned();
    command.env_clear().envs(environment::build(
        &brief.environment(),
        home.as_str(),
        secrets,
        request.variables,
    ));
    if !request.alone {
        keeper::start_agents(brief, home.as_path());
    }
    brief.limits.lower().map_err(EnterError::Limits)?;
    confine::confine(&brief.confine)?;
    Err(EnterError::Exec { program, source: command.exec() })
}

/// A kernel without keyrings has none to hand on.
fn no_keyrings(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) { Ok(()) } else { Err(error) }
}

/// Lets go of all descriptors but 0 to 2, and makes sure that these give nothing but a stream of bytes: through a directory
/// the agent could reach files, and a network socket carries the rights of whoever opened it.
fn close_descriptors() -> Result<(), EnterError> {
    if let Err(error) = sys::close_on_exec_from(3) {
        // Before Linux 5.11 sudo's own closing must have done it. One more descriptor reads the list.
        let open = fs::read_dir("/proc/self/fd").map_or(usize::MAX, Iterator::count);
        if open > 4 {
            return Err(EnterError::LetGo("file descriptors", error));
        }
    }
    judge_descriptor(0, io::stdin())?;
    judge_descriptor(1, io::stdout())?;
    judge_descriptor(2, io::stderr())
}

fn judge_descriptor(number: u8, fd: impl AsFd) -> Result<(), EnterError> {
    let Ok(is) = fstat(&fd) else { return Ok(()) };
    match FileType::from_raw_mode(is.st_mode) {
        FileType::Directory => Err(EnterError::Descriptor(number, "a directory")),
        FileType::Socket if getsockname(&fd).map(|name| name.address_family()) != Ok(AddressFamily::UNIX) => {
            Err(EnterError::Descriptor(number, "a network socket"))
        }
        _ => Ok(()),
    }
}

fn refuse_sub_uids(name: &AccountName, uid: Uid) -> Result<(), EnterError> {
    let text = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let uid = uid.to_string();
    let range = accounts::sub_ids(&text).find(|(owner, _)| *owner == name.as_str() || *owner == uid);
    range.map_or(Ok(()), |(_, range)| Err(EnterError::SubUids(range.to_string())))
}

/// Name services must not take a call of this account.
fn refuse_name_services() -> Result<(), EnterError> {
    let reached = |path: &&&str| {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None)?;
        connect(&socket, &SocketAddrUnix::new(**path)?)
    };
    // A service that is too busy to take the call at once is one that takes calls.
    let reached = |path: &&&str| matches!(reached(path), Ok(()) | Err(Errno::AGAIN));
    places::NAME_SERVICES.iter().find(reached).map_or(Ok(()), |path| Err(EnterError::NameService(path)))
}

/// Enters a project, or the agent's home, and looks where that led: links don't count.
fn enter_directory(directory: &Path, brief: &Brief, home: &Path) -> Result<(), EnterError> {
    let error = |source| EnterError::Directory { directory: directory.into(), source };
    let directory = if directory.as_os_str().is_empty() { home } else { directory };
    std::env::set_current_dir(directory).map_err(error)?;
    let real = std::env::current_dir().map_err(error)?;
    let shared = brief.projects.iter().any(|project| real.starts_with(project));
    if shared || real.starts_with(home) { Ok(()) } else { Err(EnterError::NotShared(real)) }
}

/// Sends a signal to a process of the agent's own, for `run`, which may not do so itself.
fn send(number: i32, pid: i32) -> Ended {
    use nix::{sys::signal, unistd::Pid};
    let signal = signal::Signal::try_from(number).ok().filter(|_| pid > 1);
    let sent = signal.is_some_and(|signal| signal::kill(Pid::from_raw(pid), signal).is_ok());
    Ended(u8::from(!sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arguments: &[&str]) -> Result<Request, EnterError> {
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
}
