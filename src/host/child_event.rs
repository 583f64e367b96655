//! What a launcher waits for while its one child runs, by sigwait(2) and waitpid(2) alone: signals that somebody sends to it,
//! and what becomes of the child. macOS has nothing else.
//!
//! Two threads wait, for SIGCHLD can't be waited for there: what a process ignores is forgotten at once, and SIGCHLD counts
//! as ignored as long as it has no handler. For the same reason a signal that the caller had ignored never comes here.
//!
//! Who sent a signal is not told. A key of the terminal reaches the child as well, and must not be passed on a second time:
//! it is taken for one where this process is in the terminal's foreground and the terminal makes signals of keys. sudo
//! switches that off as long as the command has a terminal of its own, and then whatever comes was sent.

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, SigmaskHow, Signal},
        termios::{LocalFlags, tcgetattr},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpgrp, tcgetpgrp},
};
use std::{
    fs::File,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The child ended, stopped or goes on.
    Child(WaitStatus),
    /// Somebody sent a signal.
    Sent(Signal),
}

/// Signals that are held back from now on, for whoever waits.
pub struct Waiting {
    events: Receiver<Result<Event, Errno>>,
    sender: Sender<Result<Event, Errno>>,
    child: Option<Pid>,
}

impl Waiting {
    /// Holds these signals back. To be called before the child and any thread are started.
    pub fn begin(signals: &[Signal]) -> Result<Self, Errno> {
        let set: SigSet = signals.iter().copied().collect();
        set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let (sender, events) = channel();
        let to = sender.clone();
        thread::spawn(move || {
            loop {
                let event = set.wait().map(Event::Sent);
                let failed = event.is_err();
                if to.send(event).is_err() || failed {
                    break;
                }
            }
        });
        Ok(Self { events, sender, child: None })
    }

    /// What comes next. A signal of the terminal's is not told: the child has it, too.
    pub fn next(&mut self, child: Pid) -> Result<Event, Errno> {
        if self.child.is_none() {
            self.child = Some(child);
            let sender = self.sender.clone();
            thread::spawn(move || wait_for(child, &sender));
        }
        loop {
            // The sender of our own keeps the channel open.
            match self.events.recv().unwrap_or(Err(Errno::ECHILD))? {
                Event::Sent(signal) if of_a_key(signal) => {}
                event => return Ok(event),
            }
        }
    }
}

fn wait_for(child: Pid, sender: &Sender<Result<Event, Errno>>) {
    loop {
        let status = waitpid(child, Some(WaitPidFlag::WUNTRACED));
        if status == Err(Errno::EINTR) {
            continue;
        }
        let goes_on = matches!(status, Ok(WaitStatus::Stopped(..) | WaitStatus::Continued(_)));
        if sender.send(status.map(Event::Child)).is_err() || !goes_on {
            return;
        }
    }
}

/// Whether a signal is one that the terminal makes of a key, for the whole of its foreground.
fn of_a_key(signal: Signal) -> bool {
    let makes_signals = |terminal: File| {
        tcgetpgrp(&terminal) == Ok(getpgrp())
            && tcgetattr(&terminal).is_ok_and(|is| is.local_flags.contains(LocalFlags::ISIG))
    };
    matches!(signal, Signal::SIGINT | Signal::SIGQUIT) && File::open("/dev/tty").is_ok_and(makes_signals)
}
