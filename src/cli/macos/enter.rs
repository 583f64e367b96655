//! The agent's half of a launch, which sudo starts: proof that the rules hold, then the directory and the command.
//!
//! Nothing of the agent's runs before: the program and the policy are root's alone, and the environment is made anew.

use super::run;
use crate::{
    cli::{Failure, printer},
    host::{places, trust, users},
    launch::{environment, secrets::Secrets},
    model::AccountName,
    plan,
    policy::{Agent, Outbound, Policy},
};
use rustix::{
    fs::{FileType, Mode, fstat},
    io::Errno,
    net::{AddressFamily, SocketType, connect, getsockname, socket, sockopt},
};
use std::{
    ffi::OsString,
    io,
    net::{IpAddr, SocketAddr},
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, ffi::OsStringExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// What `run` asked for.
struct Request {
    directory: PathBuf,
    umask: u32,
    variables: Vec<(String, String)>,
    command: Vec<OsString>,
}

/// Becomes the command, or says why not and ends with 125, 126 or 127.
pub(super) fn enter(arguments: Vec<OsString>) -> ExitCode {
    let (code, failure) = match parse(arguments).and_then(become_command) {
        Ok(error) if error.source.kind() == io::ErrorKind::NotFound => (127, error.failure()),
        Ok(error) => (126, error.failure()),
        Err(failure) => (125, failure),
    };
    printer::failure(&failure);
    ExitCode::from(code)
}

/// The command could not be started.
struct NotStarted {
    program: OsString,
    source: io::Error,
}

impl NotStarted {
    fn failure(self) -> Failure {
        Failure::new(anyhow::anyhow!("{}: {}", self.program.to_string_lossy(), self.source))
    }
}

fn parse(arguments: Vec<OsString>) -> Result<Request, Failure> {
    let mut request = Request { directory: PathBuf::new(), umask: 0o077, variables: vec![], command: vec![] };
    let odd = |argument: &OsString| {
        let argument = argument.to_string_lossy().escape_debug().to_string();
        Failure::usage(format!("`enter` is for `agentuser run` to call: `{argument}`"))
    };
    let mut arguments = arguments.into_iter();
    for argument in arguments.by_ref() {
        let bytes = argument.as_bytes();
        if bytes == b"--" {
            break;
        } else if let Some(path) = bytes.strip_prefix(b"--directory=") {
            request.directory = PathBuf::from(OsString::from_vec(path.to_vec()));
        } else if let Some(umask) = argument.to_str().and_then(|text| text.strip_prefix("--umask=")) {
            let umask = u32::from_str_radix(umask, 8).ok().filter(|umask| *umask <= 0o777);
            request.umask = umask.ok_or_else(|| odd(&argument))?;
        } else if let Some(pair) = bytes.strip_prefix(b"--env=") {
            // A value that is not text is no locale and no terminal's name.
            let pair = std::str::from_utf8(pair).ok().and_then(|pair| pair.split_once('='));
            request.variables.extend(pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
        } else {
            return Err(odd(&argument));
        }
    }
    request.command = arguments.collect();
    Ok(request)
}

fn become_command(request: Request) -> Result<NotStarted, Failure> {
    for (number, judged) in [(0, judge(io::stdin())), (1, judge(io::stdout())), (2, judge(io::stderr()))] {
        if let Some(what) = judged {
            let error = anyhow::anyhow!("file descriptor {number} is {what}, which must not reach the agent");
            return Err(Failure::new(error));
        }
    }
    let (name, policy) = policy()?;
    let agent = &policy.agents[&name];
    if agent.network.outbound == Outbound::Deny {
        canary()?;
    }
    let home = plan::home(&name);
    enter_directory(&request.directory, agent, home.as_path())?;
    rustix::process::umask(Mode::from_raw_mode(u16::try_from(request.umask).unwrap_or(0o077)));
    let secrets = Secrets::read(&name)?;
    let mut command = if let Some((program, arguments)) = request.command.split_first() {
        let mut command = Command::new(program);
        command.args(arguments);
        command
    } else {
        let shell =
            users::person(name.as_str())?.map_or_else(|| agent.shell.to_string(), |person| person.shell);
        let mut command = Command::new(&shell);
        command.arg0(format!("-{}", shell.rsplit('/').next().unwrap_or_default()));
        command
    };
    let program = command.get_program().to_owned();
    let rules = run::rules(&name, agent);
    command.env_clear().envs(environment::build(&rules, home.as_str(), secrets, request.variables));
    Ok(NotStarted { program, source: command.exec() })
}

/// Who this process is, by a policy that is root's alone and is the one that was put in force.
fn policy() -> Result<(AccountName, Policy), Failure> {
    trust::check(&crate::host::itself())?;
    trust::check(Path::new(places::POLICY))?;
    let text = std::fs::read_to_string(places::POLICY)?;
    let policy = crate::policy::parse(&text, places::POLICY)?;
    let uid = rustix::process::getuid().as_raw();
    let account = users::name_of(uid).unwrap_or_else(|| uid.to_string());
    let name: AccountName = account
        .parse()
        .map_err(|_| Failure::new(anyhow::anyhow!("`{account}` is no agent of the policy")))?;
    let Some(agent) = policy.agents.get(&name) else {
        return Err(
            Failure::new(anyhow::anyhow!("`{name}` is no agent of the policy")).hint("agentuser status")
        );
    };
    let in_force = std::fs::read(places::in_force(&name).as_path()).unwrap_or_default();
    if in_force != plan::own_part(&name, agent).as_bytes() {
        let error = anyhow::anyhow!("the policy of `{name}` was changed since it was put in force");
        return Err(Failure::new(error).hint("agentuser setup"));
    }
    Ok((name, policy))
}

/// A directory gives files, and a network socket the rights of whoever opened it; sudo closes what lies above 2.
fn judge(fd: impl AsFd) -> Option<&'static str> {
    let is = fstat(&fd).ok()?;
    match FileType::from_raw_mode(is.st_mode) {
        FileType::Directory => Some("a directory"),
        FileType::Socket if getsockname(&fd).map(|name| name.address_family()) != Ok(AddressFamily::UNIX) => {
            Some("a network socket")
        }
        _ => None,
    }
}

/// Addresses for documentation (RFC 5737, RFC 3849), at a port that no policy opens for them.
const NOWHERE: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// A connection that the rules must refuse is refused at once: they answer with a reset. Where there is no way there at all,
/// nothing is proved and nothing is harmed; what is silent was let out.
fn canary() -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_millis(500);
    for address in NOWHERE {
        let Ok(address) = address.parse::<IpAddr>() else { continue };
        let to = SocketAddr::new(address, 81);
        let answer = attempt(to, PATIENCE);
        if !matches!(
            answer,
            Err(Errno::CONNREFUSED
                | Errno::NETUNREACH
                | Errno::HOSTUNREACH
                | Errno::ADDRNOTAVAIL
                | Errno::AFNOSUPPORT)
        ) {
            let said = answer.map_or_else(|errno| errno.to_string(), |()| "it connected".into());
            let error = anyhow::anyhow!(
                "the firewall is not in force for the agent: tcp to {to} was not refused ({said})"
            );
            return Err(Failure::new(error).hint("agentuser status, then agentuser setup"));
        }
    }
    Ok(())
}

fn attempt(to: SocketAddr, patience: Duration) -> Result<(), Errno> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    match connect(&socket, &to) {
        Err(Errno::INPROGRESS) => {}
        other => return other,
    }
    let end = Instant::now() + patience;
    while Instant::now() < end {
        sockopt::socket_error(&socket)??;
        if rustix::net::getpeername(&socket).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(Errno::TIMEDOUT)
}

/// Enters a project, or the agent's home, and looks where that led: links don't count.
fn enter_directory(directory: &Path, agent: &Agent, home: &Path) -> Result<(), Failure> {
    let directory = if directory.as_os_str().is_empty() { home } else { directory };
    std::env::set_current_dir(directory).map_err(|error| {
        Failure::new(anyhow::anyhow!("the agent can't enter `{}`: {error}", directory.display()))
            .hint("agentuser status")
    })?;
    let real = std::env::current_dir()?;
    let shared = agent.projects.iter().any(|project| real.starts_with(project.path.as_path()));
    if shared || real.starts_with(home) {
        return Ok(());
    }
    let error = anyhow::anyhow!("`{}` is not shared with the agent", real.display());
    Err(Failure::new(error).hint("agentuser share ."))
}
