//! What a launcher waits for, by the means of both systems: signals that somebody sends to it, and what becomes of its child.
//!
//! A signal goes to whichever thread takes it. So this program has no threads but its own: it is its own harness, and each
//! case is a process.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says what it is asked")]

use agentuser::host::{
    Waiting as Here,
    child_event::{Event, Waiting as ByThreads},
};
use nix::{
    errno::Errno,
    pty::openpty,
    sys::{
        signal::{Signal, kill, killpg},
        termios::{LocalFlags, SetArg, tcgetattr, tcsetattr},
        wait::WaitStatus,
    },
    unistd::{Pid, getpgrp, getpid, setsid, tcsetpgrp},
};
use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

const SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

const CASES: [(&str, fn()); 6] = [
    ("sent_here", || sent(|| Wait::Here(Here::begin(&SIGNALS).unwrap()))),
    ("sent_by_threads", || sent(|| Wait::ByThreads(ByThreads::begin(&SIGNALS).unwrap()))),
    ("ends_here", || ends(|| Wait::Here(Here::begin(&SIGNALS).unwrap()))),
    ("ends_by_threads", || ends(|| Wait::ByThreads(ByThreads::begin(&SIGNALS).unwrap()))),
    ("keys_here", || keys(|| Wait::Here(Here::begin(&SIGNALS).unwrap()), true)),
    ("keys_by_threads", || keys(|| Wait::ByThreads(ByThreads::begin(&SIGNALS).unwrap()), false)),
];

enum Wait {
    Here(Here),
    ByThreads(ByThreads),
}

impl Wait {
    #[allow(clippy::match_same_arms, reason = "they are one type on a system that has one way alone")]
    fn next(&mut self, child: Pid) -> Result<Event, Errno> {
        match self {
            Self::Here(wait) => wait.next(child),
            Self::ByThreads(wait) => wait.next(child),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if let Some(at) = arguments.iter().position(|argument| argument == "--case") {
        CASES.iter().find(|(name, _)| *name == arguments[at + 1]).unwrap().1();
        return;
    }
    if has("--list") {
        // As libtest lists them; none is ignored.
        for (name, _) in CASES.iter().filter(|_| !has("--ignored")) {
            println!("{name}: test");
        }
        return;
    }
    let wanted = |name: &str| {
        let names: Vec<_> = arguments[1..].iter().filter(|word| !word.starts_with("--")).collect();
        names.is_empty() || names.iter().any(|part| name.contains(part.as_str()))
    };
    for (name, _) in CASES.iter().filter(|(name, _)| wanted(name) && !has("--ignored")) {
        let status = Command::new(&arguments[0]).args(["--case", name]).status().unwrap();
        assert!(status.success(), "{name}: {status}");
    }
}

fn child(line: &str) -> Pid {
    let mut command = Command::new("/bin/sh");
    // A group of its own: what goes to ours is not for it.
    command.args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    Pid::from_raw(i32::try_from(command.spawn().unwrap().id()).unwrap())
}

/// Each signal that is sent is told, also one that came before anybody waited; those of no list do what they always do.
fn sent(begin: impl Fn() -> Wait) {
    let mut wait = begin();
    let child = child("exec sleep 60");
    for signal in SIGNALS {
        kill(getpid(), signal).unwrap();
        assert_eq!(wait.next(child), Ok(Event::Sent(signal)));
    }
    kill(child, Signal::SIGKILL).unwrap();
    assert_eq!(wait.next(child), Ok(Event::Child(WaitStatus::Signaled(child, Signal::SIGKILL, false))));
}

/// A child's end is told with its status or its signal, and so is its stop.
fn ends(begin: impl Fn() -> Wait) {
    let mut wait = begin();
    let stops = child("kill -STOP $$; kill -KILL $$");
    let stopped = wait.next(stops);
    assert_eq!(stopped, Ok(Event::Child(WaitStatus::Stopped(stops, Signal::SIGSTOP))));
    kill(stops, Signal::SIGCONT).unwrap();
    let mut last = wait.next(stops).unwrap();
    // That it goes on may be told, and says nothing.
    while matches!(last, Event::Child(WaitStatus::Continued(_) | WaitStatus::StillAlive)) {
        last = wait.next(stops).unwrap();
    }
    assert_eq!(last, Event::Child(WaitStatus::Signaled(stops, Signal::SIGKILL, false)));
    let mut wait = begin();
    let seven = child("exit 7");
    assert_eq!(wait.next(seven), Ok(Event::Child(WaitStatus::Exited(seven, 7))));
}

/// What the terminal makes of a key reaches the child by itself, and is not told. `told_apart` says whether what somebody
/// sends can be told from it even then; where the terminal makes no signals of keys, both ways tell it.
fn keys(begin: impl Fn() -> Wait, told_apart: bool) {
    // A session has one terminal, and whoever leads a group can't begin one: so a child of a child does.
    if std::env::var_os("INSIDE").is_none() {
        let itself = std::env::current_exe().unwrap();
        let arguments = std::env::args().skip(1);
        let status = Command::new(itself).args(arguments).env("INSIDE", "1").status().unwrap();
        assert!(status.success(), "{status}");
        return;
    }
    setsid().unwrap();
    let pty = openpty(None, None).unwrap();
    rustix::process::ioctl_tiocsctty(&pty.slave).unwrap();
    tcsetpgrp(&pty.slave, getpgrp()).unwrap();
    let mut wait = begin();
    let child = child("exec sleep 60");
    let int = Event::Sent(Signal::SIGINT);
    let term = Event::Sent(Signal::SIGTERM);

    nix::unistd::write(&pty.master, b"\x03").unwrap();
    // The kernel takes its time; only SIGTERM is told, and it came later.
    std::thread::sleep(std::time::Duration::from_millis(200));
    kill(getpid(), Signal::SIGTERM).unwrap();
    assert_eq!(wait.next(child), Ok(term));
    if told_apart {
        kill(getpid(), Signal::SIGINT).unwrap();
        assert_eq!(wait.next(child), Ok(int));
    }

    let mut is = tcgetattr(&pty.slave).unwrap();
    is.local_flags.remove(LocalFlags::ISIG);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &is).unwrap();
    kill(getpid(), Signal::SIGINT).unwrap();
    assert_eq!(wait.next(child), Ok(int));
    killpg(child, Signal::SIGKILL).unwrap();
}
