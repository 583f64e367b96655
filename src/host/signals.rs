//! What a launcher waits for while its one child runs: signals that somebody sends to it, and what becomes of the child.
//!
//! It is signalfd(2) here, which tells whether the kernel sent a signal, as it does for a key of the terminal.

use super::child_event::Event;
use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        signalfd::SignalFd,
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use std::fs;

/// Signals that are held back from now on, for whoever waits.
pub struct Waiting {
    signals: SignalFd,
}

impl Waiting {
    /// Holds these signals back, but for those that the caller had ignored. To be called before the child is started.
    pub fn begin(signals: &[Signal]) -> Result<Self, Errno> {
        let ignored = ignored();
        let waited = signals.iter().copied().filter(|signal| ignored & (1 << (*signal as i32 - 1)) == 0);
        let set: SigSet = waited.chain([Signal::SIGCHLD]).collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        Ok(Self { signals: SignalFd::new(&set)? })
    }

    /// What comes next. A signal of the terminal's is not told: the child has it, too.
    pub fn next(&mut self, child: Pid) -> Result<Event, Errno> {
        loop {
            let Some(info) = self.signals.read_signal()? else { continue };
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            if number == Signal::SIGCHLD as i32 {
                let status = waitpid(child, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED))?;
                return Ok(Event::Child(status));
            } else if info.ssi_code <= 0 {
                return Ok(Event::Sent(Signal::try_from(number)?));
            }
        }
    }
}

/// The signals that the caller had ignored, as shells do for background jobs, one bit each (proc(5), `SigIgn`).
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
