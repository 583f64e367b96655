//! Setting up: once, twice, for show, and two at a time.

use super::{assert_in_force, first_setup, policy_text};
use crate::common::{AGENT, Machine, PROGRAM, SECOND_AGENT, times, wait};
use std::{path::Path, process::Stdio};

#[test]
fn a_second_setup_changes_nothing() {
    let Some(machine) = Machine::set_up() else { return };
    assert_in_force(&machine);
    let drop_ins =
        ["/etc/sudoers.d", "/etc/ssh/sshd_config.d", "/etc/cron.deny", "/etc/at.deny", "/etc/passwd"];
    let own = ["/etc/agentuser", PROGRAM, "/var/lib/agentuser", "/run/agentuser"];
    let homes = ["/home/t_pv_ann", "/home/t_pv_bot"];
    let places: Vec<_> = own.iter().chain(&drop_ins).chain(&homes).map(Path::new).collect();
    let look = || (machine.snapshot(), times(&places));
    let before = look();
    for arguments in [&["setup", "--yes"][..], &["setup", "--yes", "--agent", AGENT]] {
        machine.agentuser(arguments).ok().mentions("Nothing to do");
        let after = look();
        after.0.assert_same_as(&before.0, "after a second setup");
        for (path, times) in &after.1 {
            assert_eq!(before.1.get(path), Some(times), "{} was written", path.display());
        }
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let project = human.project();
    let arguments = first_setup(&human.name, project.to_str().unwrap());
    let before = machine.snapshot();
    let dry = [&arguments[..], &["--dry-run"]].concat();
    let plan = machine.agentuser(&dry).ok();
    for words in ["useradd", "iptables-restore", "setfacl -m", "/etc/sudoers.d/zz-agentuser-", "Projects"] {
        plan.clone().mentions(words);
    }
    let json = machine.agentuser(&[&dry[..], &["--json"]].concat()).ok();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["version"], 1);
    assert!(json["steps"].as_array().unwrap().len() > 10, "{json:#}");
    machine.snapshot().assert_same_as(&before, "after dry runs");
    // The control: the same without --dry-run, after which there is nothing to show.
    machine.agentuser(&arguments).ok();
    machine.agentuser(&["setup", "--dry-run"]).ok().mentions("Nothing to do");
}

/// The human sees the plan without root's rights.
#[test]
fn a_dry_run_of_the_humans_changes_nothing() {
    let Some(machine) = Machine::set_up() else { return };
    let before = machine.snapshot();
    let second = machine.human().make_dir("second");
    let outcome =
        machine.human().run(&["agentuser", "setup", "--dry-run", "--project", second.to_str().unwrap()]);
    outcome.ok().mentions("second: read and write");
    std::fs::remove_dir(second).unwrap();
    machine.snapshot().assert_same_as(&before, "after a dry run");
}

#[test]
fn two_setups_at_once_end_well() {
    let Some(machine) = Machine::with_humans(2) else { return };
    let before = machine.snapshot();
    let projects = [0, 1].map(|at: usize| machine.humans[at].project().to_str().unwrap().to_owned());
    let start = |human: usize, agent: &str| {
        let name = &machine.humans[human].name;
        let arguments =
            ["setup", "--yes", "--quiet", "--human", name, "--agent", agent, "--project", &projects[human]];
        let mut command = machine.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    // The same agent twice, and two agents: whoever comes second waits, and finds what the first one did.
    for (human, agent) in [(0, AGENT), (1, SECOND_AGENT)] {
        for mut child in [start(0, AGENT), start(human, agent)] {
            assert!(wait(&mut child, "a setup").success());
        }
        machine.agentuser(&["status", "--agent", agent]).ok();
        assert!(policy_text().contains(AGENT) && policy_text().contains(agent));
    }
    machine.humans[1].run(&["agentuser", "run", "--", "true"]).ok();
    assert_in_force(&machine);
    machine.tear_down(AGENT);
    machine.tear_down(SECOND_AGENT);
    machine.snapshot().assert_same_as(&before, "after two setups at once and both teardowns");
}

/// A setup and the teardown of the last agent at once: one waits for the other, and what holds is one of both results.
#[test]
fn a_setup_and_a_teardown_at_once_end_well() {
    let Some(machine) = Machine::set_up() else { return };
    let project = machine.human().project();
    let arguments = first_setup(&machine.human().name, project.to_str().unwrap());
    for _ in 0..4 {
        let start = |arguments: &[&str]| {
            let mut command = machine.command(arguments);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let (mut down, mut up) = (start(&["teardown", "--yes", "--agent", AGENT]), start(&arguments));
        let (down, up) = (wait(&mut down, "a teardown"), wait(&mut up, "a setup"));
        assert!(down.success() && up.success(), "{down} {up}");
        machine.agentuser(&arguments).ok();
        assert_in_force(&machine);
    }
}

#[test]
fn a_policy_written_by_hand_keeps_its_comments() {
    let Some(machine) = Machine::with_humans(2) else { return };
    let [ann, bob] = [0, 1].map(|at: usize| machine.humans[at].name.clone());
    let text = format!(
        "# Who may do what here.\nversion: 1\nagents:\n  {AGENT}:   # the first one\n    human: {ann}\n    projects:\n      \
         - path: /home/{ann}/shop # the shop\n  # bob's\n  {SECOND_AGENT}:\n    human: {bob}\n"
    );
    let file = machine.human().write("policy.yaml", &text);
    machine.agentuser(&["setup", "--yes", "--policy", file.to_str().unwrap()]).ok();
    assert_eq!(policy_text(), text, "taken as it is");
    let second = machine.human().make_dir("second");
    machine.agentuser(&["share", "--agent", AGENT, second.to_str().unwrap()]).ok();
    let with = policy_text();
    for comment in ["# Who may do what here.", "# the first one", "# the shop", "# bob's"] {
        assert!(with.contains(comment), "{comment}: {with}");
    }
    assert!(with.contains(second.to_str().unwrap()), "{with}");
    machine.agentuser(&["unshare", "--agent", AGENT, second.to_str().unwrap()]).ok();
    assert_eq!(policy_text(), text, "taken back to the byte");
    machine.tear_down(SECOND_AGENT);
    let left = policy_text();
    assert!(left.contains("# the shop") && !left.contains(SECOND_AGENT), "{left}");
}

/// After a boot the first launch makes the directory, under whatever umask the human has.
#[test]
fn the_umask_does_not_hide_what_is_in_force() {
    let Some(machine) = Machine::set_up() else { return };
    std::fs::remove_dir_all("/run/agentuser").unwrap();
    machine.human().sh("umask 077; exec agentuser run -- true", &[]).ok();
    machine.human().run(&["cat", &format!("/run/agentuser/{AGENT}.loaded")]).ok();
}
