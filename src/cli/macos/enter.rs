//! The agent's half of a launch, which sudo starts: proof that the rules hold, then the directory and the command.
//!
//! Nothing of the agent's runs before: the program and the policy are root's alone, and the environment is made anew.

use super::brief::rules;
use crate::{
    cli::{Failure, printer},
    formats::seatbelt,
    host::{Program, places, trust, users},
    launch::{
        environment,
        request::{self, Ended, Instead, Refusal, Request},
        secrets::Secrets,
    },
    model::{AbsPath, AccountName},
    plan,
    policy::{Agent, Outbound, Policy},
};
use rustix::{
    fs::Mode,
    io::Errno,
    net::{AddressFamily, SocketType, connect, socket, sockopt},
};
use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// Becomes the command, or says why not and ends with 125, 126 or 127.
pub(super) fn enter(arguments: Vec<OsString>) -> ExitCode {
    let refused = |refusal: Refusal| {
        let (code, hint) = (refusal.status(), refusal.hint());
        let failure = Failure::new(refusal);
        (code, if let Some(hint) = hint { failure.hint(hint) } else { failure })
    };
    let entered = request::parse(arguments).map_err(refused).and_then(|request| match request.instead {
        None => become_command(&request).map_err(|failure| (125, failure)).and_then(|end| Err(refused(end))),
        Some(Instead::BeLetIn) => Ok(Ended(0)),
        Some(Instead::Signal(signal, pid)) => Ok(request::send(signal, pid)),
        Some(Instead::Keep | Instead::Look | Instead::StartKeeper) => {
            Err((125, Failure::usage("nothing has to be kept on macOS: entries are inherited")))
        }
    });
    match entered {
        Ok(Ended(code)) => ExitCode::from(code),
        Err((code, failure)) => {
            printer::failure(&failure);
            ExitCode::from(code)
        }
    }
}

/// The way to the command. It ends in what kept the command from being started.
fn become_command(request: &Request) -> Result<Refusal, Failure> {
    if let Err(refusal) = request::judge_streams() {
        return Ok(refusal);
    }
    let (name, policy) = policy()?;
    let agent = &policy.agents[&name];
    if agent.network.outbound == Outbound::Deny {
        canary()?;
    }
    let home = plan::home(&name);
    let projects: Vec<_> = agent.projects.iter().map(|project| project.path.clone()).collect();
    if let Err(refusal) = request::enter_directory(&request.directory, &projects, home.as_path()) {
        return Ok(refusal);
    }
    rustix::process::umask(Mode::from_raw_mode(u16::try_from(request.umask).unwrap_or(0o077)));
    let secrets = Secrets::read(&name)?;
    // A login shell is the account's own, which the plan set.
    let shell = users::person(name.as_str())?.and_then(|person| person.shell.parse().ok());
    let shell = shell.unwrap_or_else(|| agent.shell.clone());
    let mut command = if agent.confine.seatbelt == Some(true) {
        under_the_profile(request, &name, agent, &shell)?
    } else {
        request::command(&request.command, &shell)
    };
    let environment =
        environment::build(&rules(&name, agent), home.as_str(), secrets, request.variables.clone());
    command.env_clear().envs(environment);
    Ok(request::become_it(command))
}

/// The command below sandbox-exec(1), which starts this program once more: it tells what could not be started as env(1)
/// does, and starts a login shell as one.
fn under_the_profile(
    request: &Request,
    name: &AccountName,
    agent: &Agent,
    shell: &AbsPath,
) -> Result<Command, Failure> {
    let profile = places::seatbelt(name);
    trust::check(profile.as_path())?;
    let program = Program::SandboxExec.path().ok_or_else(|| {
        Failure::new(anyhow::anyhow!("`sandbox-exec`, which `confine.seatbelt` needs, is not there"))
            .hint(format!("take `seatbelt` out of {}, then agentuser setup", places::POLICY))
    })?;
    let human = users::person(agent.human.as_str())?.and_then(|person| person.home.parse().ok());
    let human = human.ok_or_else(|| {
        Failure::new(anyhow::anyhow!("the home of `{}` is not known", agent.human.as_str()))
    })?;
    let projects = agent.projects.iter().map(|project| &project.path);
    let mut command = Command::new(program);
    command
        .args(seatbelt::agent_parameters(&plan::home(name), &human, projects))
        .args(["-f", profile.as_str(), "--", places::PROGRAM, "sealed", shell.as_str(), "--"])
        .args(&request.command);
    Ok(command)
}

/// What sandbox-exec(1) starts: becomes the command. The rest was done by `enter`, and is inherited. sudo lets nobody start
/// this, and whoever starts it is what it was before.
pub(super) fn sealed(arguments: &[OsString]) -> ExitCode {
    let shell = arguments.first().and_then(|shell| shell.to_str()?.parse().ok());
    let refusal = match (shell, arguments.get(1)) {
        (Some(shell), Some(dashes)) if dashes == "--" => {
            request::become_it(request::command(&arguments[2..], &shell))
        }
        _ => Refusal::Usage("`sealed` is for `enter` to call".into()),
    };
    let code = refusal.status();
    printer::failure(&Failure::new(refusal));
    ExitCode::from(code)
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
