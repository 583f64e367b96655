//! `stop` and `reset`: what runs ends, a home becomes fresh, and nothing else changes.

use super::{agent_can, assert_in_force};
use crate::common::{AGENT, Machine, finish, processes_of, system};
use std::{fs, path::Path, process::Command};

fn running() -> usize {
    processes_of(system(&["id", "-u", AGENT]).parse().unwrap()).len()
}

/// A daemon that forked twice and left its session, and one that ignores what can be ignored.
#[track_caller]
fn leave_daemons(machine: &Machine) {
    let human = machine.human();
    let script = "rm -f up; (setsid sh -c 'sleep 600 & echo >up; wait' </dev/null >/dev/null 2>&1 &) ; \
                  (trap '' HUP TERM INT; setsid sleep 600 </dev/null >/dev/null 2>&1 &) ; \
                  while ! test -e up; do sleep 0.01; done";
    let mut command = human.command(&["agentuser", "run", "--", "sh", "-c", script]);
    command.current_dir(human.project());
    finish(command, b"").ok();
    assert!(running() >= 3, "{} processes", running());
}

#[test]
fn stop_ends_what_runs_without_a_password() {
    let Some(machine) = Machine::set_up() else { return };
    let mut bystander = Command::new("sleep").arg("600").spawn().unwrap();
    leave_daemons(&machine);
    let said = machine.human().run(&["agentuser", "stop"]).ok();
    assert!(said.text().starts_with("Ended ") && said.text().contains(AGENT), "{said:?}");
    assert_eq!(running(), 0);
    assert!(bystander.try_wait().unwrap().is_none(), "somebody else's process");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    let said = machine.human().run(&["agentuser", "stop"]).ok();
    assert!(said.text().starts_with("Nothing"), "{said:?}");
    assert_in_force(&machine);
}

#[test]
fn reset_makes_the_home_fresh_and_keeps_projects_policy_and_tokens() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.sh("printf value | agentuser secret set GH_TOKEN", &[]).ok();
    let home = format!("/home/{AGENT}");
    assert!(agent_can(
        human,
        "shop",
        "mkdir -p ~/.config/x && echo evil >>~/.bashrc && echo work >kept && touch /tmp/t_left"
    ));
    leave_daemons(&machine);
    let policy = super::policy_text();
    let refused = machine.agentuser(&["reset"]);
    assert!(refused.code() != Some(0) && Path::new(&home).join(".config/x").exists(), "{refused:?}");
    machine.agentuser(&["reset", "--yes"]).ok();
    assert_eq!(running(), 0);
    assert!(!Path::new(&home).join(".config").exists());
    assert_eq!(fs::read(format!("{home}/.bashrc")).unwrap(), fs::read("/etc/skel/.bashrc").unwrap());
    assert_eq!(system(&["stat", "-c", "%U %a", &home]), format!("{AGENT} 700"));
    assert!(!agent_can(human, "shop", "test -e /tmp/t_left"), "a file in the agent's own /tmp");
    assert_eq!(fs::read_to_string(human.project().join("kept")).unwrap(), "work\n");
    assert_eq!(super::policy_text(), policy);
    assert!(agent_can(human, "shop", "test \"$GH_TOKEN\" = value && touch ~/mine"));
    assert_in_force(&machine);
}

/// A reset leaves no more behind than a setup does.
#[test]
fn a_teardown_after_a_reset_leaves_the_machine_as_it_was() {
    let Some(machine) = Machine::take() else { return };
    let before = machine.snapshot();
    machine.set_up_agent(0, AGENT);
    machine.human().sh("printf value | agentuser secret set GH_TOKEN", &[]).ok();
    machine.agentuser(&["reset", "--yes"]).ok();
    machine.tear_down(AGENT);
    machine.snapshot().assert_same_as(&before, "after setup, reset and teardown");
}
