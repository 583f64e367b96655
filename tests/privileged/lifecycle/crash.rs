//! Killed before its n-th change, for many n: a second setup completes, a teardown cleans to the byte.

use super::first_setup;
use crate::common::{AGENT, Machine, Snapshot, finish};
use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The program with the feature that no release has, in a target directory of its own.
fn killable() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kill-points");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--locked",
            "--features",
            "kill-points",
            "--bin",
            "agentuser",
            "--manifest-path",
        ])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .unwrap();
    assert!(status.success(), "the build with kill points");
    target.join("debug/agentuser")
}

struct Killable<'a> {
    machine: &'a Machine,
    program: PathBuf,
}

impl Killable<'_> {
    /// Runs the program, to die before its `n`-th change; false once it ends before that.
    #[track_caller]
    fn dies(&self, arguments: &[&str], n: usize) -> bool {
        let mut argv = vec![self.program.to_str().unwrap()];
        argv.extend(arguments);
        let mut command = self.machine.root(&argv);
        command.env("AGENTUSER_KILL_AT", n.to_string());
        let outcome = finish(command, b"");
        let killed = outcome.status.signal() == Some(9);
        assert!(killed || outcome.status.success(), "{outcome:?}");
        killed
    }

    /// Runs it to its end.
    #[track_caller]
    fn runs(&self, arguments: &[&str], when: &str) {
        let mut argv = vec![self.program.to_str().unwrap()];
        argv.extend(arguments);
        let outcome = finish(self.machine.root(&argv), b"");
        assert!(outcome.status.success(), "{when}: {outcome:?}");
    }

    #[track_caller]
    fn in_force(&self) {
        self.runs(&["status"], "in force");
        self.machine.human().run(&["agentuser", "status"]).ok();
        self.machine.human().run(&["agentuser", "run", "--", "true"]).ok();
    }

    /// A teardown that cleans what is there, be it much or nothing.
    #[track_caller]
    fn cleans(&self, before: &Snapshot, when: &str) {
        let argv = [self.program.to_str().unwrap(), "teardown", "--yes"];
        let outcome = finish(self.machine.root(&argv), b"");
        let nothing = outcome.said().contains("nothing is set up");
        assert!(outcome.status.success() || nothing, "{when}: {outcome:?}");
        self.machine.snapshot().assert_same_as(before, when);
    }
}

/// A number that no setup reaches.
const NEVER: usize = 100_000;

/// All points of a run: `run` is asked with 1, 2, 3 … until it no longer dies; every `step`-th is taken.
fn points(step: usize) -> impl Iterator<Item = usize> {
    (0..).map(move |n| 1 + n * step).take_while(|n| *n < NEVER)
}

#[test]
fn a_setup_that_was_killed_is_completed_or_cleaned() {
    let program = killable();
    let Some(machine) = Machine::take() else { return };
    let project = machine.human().project();
    let setup = first_setup(&machine.human().name, project.to_str().unwrap());
    // Something to be recorded in the project.
    machine.human().run(&["setfacl", "-m", "u:nobody:r", "prices"]).ok();
    let before = machine.snapshot();
    let killable = Killable { machine: &machine, program };
    let mut died = 0;
    for n in points(3) {
        if !killable.dies(&setup, n) {
            killable.cleans(&before, "after a whole setup");
            break;
        }
        died += 1;
        killable.runs(&setup, &format!("setup after one that died before change {n}"));
        killable.in_force();
        killable.cleans(
            &before,
            &format!("torn down after a setup that died before change {n} and a second one"),
        );
        assert!(killable.dies(&setup, n), "at the same point again");
        killable.cleans(&before, &format!("torn down after a setup that died before change {n}"));
    }
    assert!(died >= 12, "{died} points");
}

#[test]
fn a_teardown_that_was_killed_is_completed() {
    let program = killable();
    let Some(machine) = Machine::take() else { return };
    let project = machine.human().project();
    let setup = first_setup(&machine.human().name, project.to_str().unwrap());
    machine.human().run(&["setfacl", "-m", "u:nobody:r", "prices"]).ok();
    let before = machine.snapshot();
    let killable = Killable { machine: &machine, program };
    let mut died = 0;
    for n in points(3) {
        killable.runs(&setup, "a whole setup");
        if !killable.dies(&["teardown", "--yes", "--agent", AGENT], n) {
            machine.snapshot().assert_same_as(&before, "after a whole teardown");
            break;
        }
        died += 1;
        killable.cleans(&before, &format!("after a teardown that died before change {n}, and a second one"));
    }
    assert!(died >= 8, "{died} points");
}

/// A setup after a teardown that was cut short puts everything in force again.
#[test]
fn a_setup_goes_on_from_a_teardown_that_was_killed() {
    let program = killable();
    let Some(machine) = Machine::take() else { return };
    let project = machine.human().project();
    let setup = first_setup(&machine.human().name, project.to_str().unwrap());
    let before = machine.snapshot();
    let killable = Killable { machine: &machine, program };
    for n in points(9) {
        killable.runs(&setup, "a whole setup");
        if !killable.dies(&["teardown", "--yes", "--agent", AGENT], n) {
            break;
        }
        killable.runs(&setup, &format!("setup after a teardown that died before change {n}"));
        killable.in_force();
        killable.cleans(
            &before,
            &format!("after a teardown that died before change {n}, a setup and a teardown"),
        );
    }
}
