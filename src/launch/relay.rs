//! The human's half of a launch: starts sudo, waits, and passes on what plain programs get.
//!
//! sudo makes itself root's so that its caller can't kill it. A signal that somebody sends to `agentuser run` is therefore
//! sent to the command by a process of the command's own account: `enter --signal`. What the terminal sends needs no help,
//! for sudo is in the same foreground group.

use super::{brief::Brief, sudo};
use crate::{host::places, model::AccountName};
use nix::sys::{
    signal::{SigSet, SigmaskHow, Signal, sigprocmask},
    signalfd::SignalFd,
    wait::{WaitPidFlag, WaitStatus, waitpid},
};
use std::{
    ffi::OsString,
    fs, io,
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

/// The beginning of the way in: by sudo to `enter` as the agent, or with the private view to root's half of a session.
pub fn way_in(brief: &Brief) -> io::Result<Command> {
    let name = brief.name.as_str();
    if brief.private.is_none() {
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
pub fn run(brief: &Brief, arguments: Vec<OsString>, meanwhile: impl FnOnce()) -> Result<u8, RunError> {
    let agent = &brief.name;
    let mut command = way_in(brief)?;
    command.args(arguments);
    let ignored = ignored();
    let passed_on = PASSED_ON.into_iter().filter(|signal| ignored & (1 << (*signal as i32 - 1)) == 0);
    let signals: SigSet = passed_on.chain([Signal::SIGCHLD]).collect();
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), Some(&mut before))?;
    let waiting = SignalFd::new(&signals)?;
    let child = nix::unistd::Pid::from_raw(i32::try_from(command.spawn()?.id()).unwrap_or_default());
    meanwhile();
    loop {
        let Some(info) = waiting.read_signal()? else { continue };
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        if number == Signal::SIGCHLD as i32 {
            match waitpid(child, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED))? {
                WaitStatus::Exited(_, 1) if !is_let_in(brief) => {
                    return Err(RunError::NotLetIn(agent.clone()));
                }
                WaitStatus::Exited(_, code) => return Ok(u8::try_from(code).unwrap_or(125)),
                WaitStatus::Signaled(_, signal, _) => return Ok(die_by(signal)?),
                WaitStatus::Stopped(..) => {
                    nix::sys::signal::raise(Signal::SIGSTOP)?;
                    let _ = nix::sys::signal::kill(child, Signal::SIGCONT);
                }
                _ => {}
            }
        } else if info.ssi_code <= 0 {
            // Sent by a process; the terminal's own come from the kernel, and sudo has them too.
            pass_on(brief, child.as_raw(), number);
        }
    }
}

/// Whether sudo lets the caller in. It ends with 1 where it does not, as many commands do; only then is it tried. `sudo -l`
/// would not tell: it names what is allowed with a password, too.
fn is_let_in(brief: &Brief) -> bool {
    let Ok(mut way_in) = way_in(brief) else { return false };
    way_in.arg("--let-in").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // What can't be tried is not taken for a refusal: the command's own status stands.
    way_in.status().map_or(true, |status| status.code() != Some(1))
}

/// The signals that the caller had ignored, as shells do for background jobs, one bit each (proc(5), `SigIgn`).
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
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
    nix::sys::signal::raise(signal)?;
    // Only a signal whose default is not to end a process leads here.
    Ok(u8::try_from(128 + signal as i32).unwrap_or(125))
}

/// Sends a signal to the command, as its own account. It may not have been started yet.
fn pass_on(brief: &Brief, sudo_pid: i32, signal: i32) {
    let end = Instant::now() + Duration::from_secs(2);
    let Some(agent_uid) =
        crate::host::users::person(brief.name.as_str()).ok().flatten().map(|person| person.uid.0)
    else {
        return;
    };
    while Instant::now() < end {
        if let Some(pid) = descendant(sudo_pid, agent_uid) {
            let arguments = [format!("--signal={signal}"), format!("--pid={pid}")];
            let sent = way_in(brief).and_then(|mut way_in| way_in.args(arguments).status());
            if sent.is_ok_and(|status| status.success()) {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The nearest descendant of a process that runs as `uid`.
fn descendant(pid: i32, uid: u32) -> Option<i32> {
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let real = status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next()?.parse().ok());
        if real == Some(uid) {
            return Some(pid);
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        next.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    None
}
