//! The human's half of a launch: starts sudo, waits, and passes on what plain programs get.
//!
//! sudo makes itself root's so that its caller can't kill it. A signal that somebody sends to `agentuser run` is therefore
//! sent to the command by a process of the command's own account: `enter --signal`. What the terminal sends needs no help,
//! for sudo is in the same foreground group.

use super::sudo;
use crate::{
    host::{Waiting, child_event::Event, descendant, places, users},
    model::AccountName,
};
use nix::{
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill, raise, sigprocmask},
        wait::WaitStatus,
    },
    unistd::Pid,
};
use std::{
    ffi::OsString,
    io,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Signals that are passed on.
const PASSED_ON: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// Why a command was not started, or its end not seen.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// sudo says no, or asks for a password.
    #[error("sudo does not let you become {0} without a password")]
    NotLetIn(AccountName),
    /// A call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A call failed.
    #[error(transparent)]
    Errno(#[from] nix::errno::Errno),
}

impl RunError {
    /// The command to type next.
    pub fn hint(&self) -> String {
        match self {
            Self::NotLetIn(agent) => format!(
                "sudo -l; of rules that match the last one counts, and {} has the one that is needed",
                places::sudoers(agent)
            ),
            Self::Io(_) | Self::Errno(_) => "agentuser status".into(),
        }
    }
}

/// An agent to become, and how.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// The agent.
    pub agent: &'a AccountName,
    /// Whether its view is made by root's half of a session.
    pub private: bool,
}

/// The beginning of the way in: by sudo to `enter` as the agent, or with the private view to root's half of a session.
pub fn way_in<'a>(way: impl Into<Way<'a>>) -> io::Result<Command> {
    let way = way.into();
    let name = way.agent.as_str();
    if !way.private {
        let mut command = sudo(name)?;
        command.arg("enter");
        return Ok(command);
    }
    let mut command = sudo("root")?;
    command.args(["helper", "session", name, "--"]);
    Ok(command)
}

/// Runs `enter` with these arguments as the agent and ends as the command ended: with its status, or by its signal.
/// `meanwhile` is done once sudo is on its way.
pub fn run<'a>(
    way: impl Into<Way<'a>>,
    arguments: Vec<OsString>,
    meanwhile: impl FnOnce(),
) -> Result<u8, RunError> {
    let way = way.into();
    let mut command = way_in(way)?;
    command.args(arguments);
    let mut waiting = Waiting::begin(&PASSED_ON)?;
    let child = Pid::from_raw(i32::try_from(command.spawn()?.id()).unwrap_or_default());
    meanwhile();
    loop {
        match waiting.next(child)? {
            Event::Child(WaitStatus::Exited(_, 1)) if !is_let_in(way) => {
                return Err(RunError::NotLetIn(way.agent.clone()));
            }
            Event::Child(WaitStatus::Exited(_, code)) => return Ok(u8::try_from(code).unwrap_or(125)),
            Event::Child(WaitStatus::Signaled(_, signal, _)) => return Ok(die_by(signal)?),
            Event::Child(WaitStatus::Stopped(..)) => {
                raise(Signal::SIGSTOP)?;
                let _ = kill(child, Signal::SIGCONT);
            }
            Event::Child(_) => {}
            Event::Sent(signal) => pass_on(way, child.as_raw(), signal),
        }
    }
}

/// Whether sudo lets the caller in. It ends with 1 where it does not, as many commands do; only then is it tried. `sudo -l`
/// would not tell: it names what is allowed with a password, too.
fn is_let_in(way: Way) -> bool {
    let Ok(mut way_in) = way_in(way) else { return false };
    way_in.arg("--let-in").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // What can't be tried is not taken for a refusal: the command's own status stands.
    way_in.status().map_or(true, |status| status.code() != Some(1))
}

/// Dies by the signal that the command died by, without a core of our own.
fn die_by(signal: Signal) -> io::Result<u8> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::all()), None)?;
    // SIGKILL has no other action, and says so.
    let _ = crate::host::sys::restore_default_action(signal as i32);
    raise(signal)?;
    // Only a signal whose default is not to end a process leads here.
    Ok(u8::try_from(128 + signal as i32).unwrap_or(125))
}

/// Sends a signal to the command, as its own account. It may not have been started yet.
fn pass_on(way: Way, sudo_pid: i32, signal: Signal) {
    let end = Instant::now() + Duration::from_secs(2);
    let Some(agent) = users::person(way.agent.as_str()).ok().flatten() else { return };
    while Instant::now() < end {
        if let Some(pid) = descendant(sudo_pid, agent.uid) {
            let arguments = [format!("--signal={}", signal as i32), format!("--pid={pid}")];
            let sent = way_in(way).and_then(|mut way_in| way_in.args(arguments).status());
            if sent.is_ok_and(|status| status.success()) {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
