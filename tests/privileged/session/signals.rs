//! Signals that somebody sends to the launcher reach the command, and the launcher ends as the command does.

use super::Way;
use crate::common::{self, Machine, Outcome, until, wait};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, process::Child};

/// A command whose lines of output go to a file of the project, where the test sees them at once.
struct Running {
    child: Child,
    log: std::path::PathBuf,
    way: Way,
}

impl Running {
    /// Starts `script` of sh(1), and waits until it has written `ready`.
    #[track_caller]
    fn start(machine: &Machine, way: Way, script: &str) -> Self {
        Self::start_by(machine, way, "exec \"$@\"", script)
    }

    /// The same by way of a line in which `"$@"` is the command.
    #[track_caller]
    fn start_by(machine: &Machine, way: Way, line: &str, script: &str) -> Self {
        let human = machine.human();
        let log = human.write("shop/log", "");
        let script = format!("exec >>log 2>&1; {script}");
        let argv = [&["sh", "-c", line, "sh"], way.before(), &["sh", "-c", &script]].concat();
        let mut command = human.command(&argv);
        command.stdin(std::process::Stdio::null());
        let child = command.spawn().unwrap();
        let running = Self { child, log, way };
        running.until_it_says("ready");
        running
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn until_it_says(&self, words: &str) {
        until(&format!("{:?} says {words:?} (it said {:?})", self.way, self.said()), || {
            self.said().contains(words)
        });
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    #[track_caller]
    fn end(&mut self) -> (Option<i32>, Option<i32>) {
        let status = wait(&mut self.child, "the command");
        Outcome { status, stdout: vec![], stderr: vec![] }.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn signals_sent_to_the_launcher_end_the_command() {
    let Some(machine) = Machine::set_up() else { return };
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1] {
        for way in Way::BOTH {
            let mut running = Running::start(&machine, way, "echo ready; exec sleep 100");
            running.send(signal);
            assert_eq!(running.end(), (None, Some(signal as i32)), "{way:?} {signal}");
        }
    }
}

#[test]
fn signals_that_the_command_handles_are_its_own() {
    let Some(machine) = Machine::set_up() else { return };
    for signal in ["TERM", "INT", "HUP", "USR1", "USR2"] {
        for way in Way::BOTH {
            let script = format!(
                "trap 'echo got {signal}; exit 7' {signal}; echo ready; while :; do sleep 0.02; done"
            );
            let mut running = Running::start(&machine, way, &script);
            running.send(format!("SIG{signal}").parse().unwrap());
            assert_eq!(running.end(), (Some(7), None), "{way:?} {signal}");
            assert_eq!(running.said(), format!("ready\ngot {signal}\n"), "{way:?}");
        }
    }
}

/// The command of a launch that was ended by a time-out is gone too.
#[test]
fn a_time_out_ends_the_command() {
    let Some(machine) = Machine::set_up() else { return };
    let agent = nix::unistd::User::from_name(common::AGENT).unwrap().unwrap().uid.as_raw();
    for way in Way::BOTH {
        let argv = [&["timeout", "1"], way.before(), &["sleep", "100"]].concat();
        machine.human().run(&argv).exits(124);
        until("the agent's processes have ended", || common::processes_of(agent).is_empty());
    }
}

/// What nohup(1) and shells' background jobs do: the command inherits that a signal is ignored.
#[test]
fn ignored_signals_stay_ignored() {
    let Some(machine) = Machine::set_up() else { return };
    for (name, signal) in [("HUP", Signal::SIGHUP), ("INT", Signal::SIGINT), ("QUIT", Signal::SIGQUIT)] {
        for way in Way::BOTH {
            let line = format!("trap '' {name}; exec \"$@\"");
            let script = "grep ^SigIgn: /proc/self/status; echo ready; while [ -e log ]; do sleep 0.02; done";
            let mut running = Running::start_by(&machine, way, &line, script);
            let mask = running.said().split_whitespace().nth(1).unwrap().to_owned();
            let mask = u64::from_str_radix(&mask, 16).unwrap();
            assert_ne!(mask & (1 << (signal as i32 - 1)), 0, "{way:?} {name}: {mask:x}");
            running.send(signal);
            // The signal was sent before the file goes, which is what ends the command.
            fs::remove_file(&running.log).unwrap();
            assert_eq!(running.end(), (Some(0), None), "{way:?} {name}");
        }
    }
}

/// Rust programs ignore SIGPIPE and sudo catches some signals: the command knows nothing of either.
#[test]
fn the_command_starts_with_default_actions_and_nothing_blocked() {
    let Some(machine) = Machine::set_up() else { return };
    let script = "grep -E '^Sig(Blk|Ign):' /proc/self/status";
    let masks = Way::BOTH.map(|way| {
        let text = way.run(&machine, &["sh", "-c", script], b"").ok().text();
        let mask = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        // The real-time signals above belong to the C library.
        text.lines().map(|line| mask(line) & 0x7fff_ffff).collect::<Vec<_>>()
    });
    assert_eq!(masks[0], masks[1]);
    assert_eq!(masks[1][1] & (1 << (Signal::SIGPIPE as i32 - 1)), 0);
}

/// A stop signal sent to the launcher by hand stops nothing but the launcher, and a continue takes it on.
#[test]
fn a_launcher_that_was_stopped_goes_on() {
    let Some(machine) = Machine::set_up() else { return };
    for way in Way::BOTH {
        let mut running =
            Running::start(&machine, way, "echo ready; while [ -e log ]; do sleep 0.02; done; exit 3");
        running.send(Signal::SIGSTOP);
        fs::remove_file(&running.log).unwrap();
        running.send(Signal::SIGCONT);
        assert_eq!(running.end(), (Some(3), None), "{way:?}");
    }
}
