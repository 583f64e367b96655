//! A repository's `agentuser.yaml`: whoever works in the repository writes it, the agent too, so it is never taken silently.

use super::{agent_can, assert_in_force, policy_text};
use crate::common::{Administrator, Machine, Outcome, finish};
use std::fs;

const ASKS: &str =
    "version: 1\nprojects:\n  - path: .\nnetwork:\n  allow:\n    - cidr: 192.0.2.0/24\n      ports: [443]\n";

/// Runs `setup` in the project, as root that the human called through sudo.
#[track_caller]
fn setup(machine: &Machine, arguments: &[&str]) -> Outcome {
    let mut command = machine.command(&[&["setup"], arguments].concat());
    command.current_dir(machine.human().project());
    finish(command, b"")
}

#[test]
fn what_the_agent_writes_is_not_taken_without_a_word() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let before = policy_text();
    assert!(agent_can(human, "shop", &format!("printf '{}' >agentuser.yaml", ASKS.replace('\n', "\\n"))));
    // Nobody was asked, so nothing is taken; but whoever set up hears of it.
    let outcome = setup(&machine, &["--yes"]).ok();
    assert!(outcome.said().contains("setup --from agentuser.yaml"), "{outcome:?}");
    assert_eq!(policy_text(), before);
    let elsewhere = machine.agentuser(&["setup", "--yes"]).ok();
    assert!(!elsewhere.said().contains("--from"), "{elsewhere:?}");
    // The control: who names the file takes it, and sees what.
    let planned = setup(&machine, &["--from", "agentuser.yaml", "--dry-run"]).ok();
    assert!(planned.text().contains("let through 192.0.2.0/24:443"), "{planned:?}");
    assert_eq!(policy_text(), before);
    setup(&machine, &["--yes", "--from", "agentuser.yaml"]).ok();
    assert!(policy_text().contains("192.0.2.0/24"), "{}", policy_text());
    assert_in_force(&machine);
    setup(&machine, &["--yes", "--from", "agentuser.yaml"]).ok();
    assert_eq!(policy_text().matches("192.0.2.0/24").count(), 1);
}

#[test]
fn only_the_file_that_was_seen_is_taken() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let file = human.write("shop/agentuser.yaml", ASKS);
    let file = file.to_str().unwrap();
    let digest = human.run(&["sha256sum", file]).ok().text();
    let digest = digest.split(' ').next().unwrap();
    let before = policy_text();
    human.write("shop/agentuser.yaml", &ASKS.replace("/24", "/16").replace("192.0.2.0", "198.18.0.0"));
    let changed = setup(&machine, &["--yes", "--from", file, "--seen", digest]).exits(1);
    assert!(changed.said().contains("was changed after you saw it"), "{changed:?}");
    assert_eq!(policy_text(), before);
    // A link may lead anywhere, and the policy of elsewhere is none of this repository.
    fs::rename(file, human.home.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", file).unwrap();
    setup(&machine, &["--yes", "--from", "agentuser.yaml"]).exits(1).mentions("symbolic link");
    fs::remove_file(file).unwrap();
    setup(&machine, &["--yes", "--from", "agentuser.yaml"]).exits(2);
    human.write("shop/agentuser.yaml", "version: 1\nprojects:\n  - path: ../other\n");
    setup(&machine, &["--yes", "--from", "agentuser.yaml"])
        .exits(2)
        .mentions("not below this file's directory");
    assert_eq!(policy_text(), before);
    // The control.
    human.write("shop/agentuser.yaml", ASKS);
    setup(&machine, &["--yes", "--from", file, "--seen", digest]).ok();
    assert_ne!(policy_text(), before);
}

/// From a repository that asks to a session, as a person types it: yes to the offer, the password, yes to the plan.
#[test]
fn a_first_setup_in_a_repository_that_asks() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let _administrator = Administrator::new(&machine, &human.name, "kettle-9");
    human.write("shop/agentuser.yaml", ASKS);
    let setup = [env!("CARGO_BIN_EXE_agentuser"), "setup", "--agent", crate::common::AGENT];
    // No is suggested, and with it the usual questions come.
    let mut terminal = human.terminal(&setup);
    terminal.expect("asks for, beyond the policy");
    terminal.expect("let through 192.0.2.0/24:443");
    terminal.expect("Add this to the policy?");
    terminal.send("\r");
    terminal.expect("Project directory to share");
    terminal.send("\x03");
    assert!(!terminal.wait().success());
    assert!(!fs::exists("/etc/agentuser").unwrap());
    let mut terminal = human.terminal(&setup);
    terminal.expect("Add this to the policy?");
    terminal.send("y");
    terminal.expect("password for");
    terminal.send("kettle-9\r");
    terminal.expect("Apply this plan?");
    terminal.send("\r");
    assert!(terminal.wait().success(), "{}", terminal.shown());
    assert!(policy_text().contains("192.0.2.0/24"), "{}", policy_text());
    assert_in_force(&machine);
}
