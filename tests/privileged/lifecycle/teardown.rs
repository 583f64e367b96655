//! Tearing down leaves the machine as it was before the setup.

use super::{agent_can, assert_in_force};
use crate::common::{AGENT, Machine, SECOND_AGENT};
use std::{fs, os::unix::fs::MetadataExt};

#[test]
fn teardown_leaves_the_machine_as_it_was() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    human.make_dir("shop/deep/er");
    human.write("shop/deep/er/file", "words\n");
    std::os::unix::fs::symlink("/etc/passwd", human.project().join("link")).unwrap();
    let before = machine.snapshot();
    machine.set_up_agent(0, AGENT);
    assert_in_force(&machine);
    // What the agent leaves elsewhere goes with it; what it made in the project goes to the human.
    assert!(agent_can(
        human,
        "shop",
        "echo x >/tmp/t_pv_left; rm -f deep/er/file && echo words >deep/er/file"
    ));
    machine.tear_down(AGENT);
    assert!(fs::symlink_metadata("/tmp/t_pv_left").is_err());
    let file = fs::metadata(human.project().join("deep/er/file")).unwrap();
    assert_eq!(file.uid(), human.uid);
    // It is the human's own again, with the mode that the agent's umask gave it.
    human.run(&["chmod", "644", "deep/er/file"]).ok();
    machine.snapshot().assert_same_as(&before, "after the teardown");
}

#[test]
fn two_agents_leave_in_any_order() {
    let Some(machine) = Machine::with_humans(2) else { return };
    let before = machine.snapshot();
    for order in [[AGENT, SECOND_AGENT], [SECOND_AGENT, AGENT]] {
        machine.set_up_agent(0, AGENT);
        machine.set_up_agent(1, SECOND_AGENT);
        machine.agentuser(&["status", "--agent", AGENT]).ok();
        machine.agentuser(&["status", "--agent", SECOND_AGENT]).ok();
        machine.tear_down(order[0]);
        let stays = usize::from(order[1] == SECOND_AGENT);
        machine.agentuser(&["status", "--agent", order[1]]).ok();
        machine.humans[stays].run(&["agentuser", "run", "--", "true"]).ok();
        machine.humans[1 - stays].run(&["agentuser", "run", "--home", "--", "true"]).exits(125);
        machine.tear_down(order[1]);
        machine.snapshot().assert_same_as(&before, &format!("after {order:?}"));
    }
}

/// A directory has one agent: a second one would take the human's entries with it when it goes.
#[test]
fn two_agents_of_one_human_have_projects_of_their_own() {
    let Some(machine) = Machine::take() else { return };
    machine.set_up_agent(0, AGENT);
    let before = machine.snapshot();
    let human = machine.human();
    let shop = human.project().display().to_string();
    let second = ["setup", "--yes", "--human", &human.name, "--agent", SECOND_AGENT, "--project", &shop];
    machine.agentuser(&second).exits(2).mentions("a directory can have one agent");
    machine.snapshot().assert_same_as(&before, "after a refusal");
}

#[test]
fn the_home_can_be_kept() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    assert!(agent_can(human, "shop", "mkdir -p ~/.config && echo mine >~/.config/settings"));
    let kept = "/home/t_pv_ann.kept";
    machine.agentuser(&["teardown", "--yes", "--keep-home", "/etc/passwd"]).exits(2);
    // Not through a link, which somebody else may have made.
    assert!(agent_can(human, "shop", "ln -s /etc elsewhere"));
    let link = human.project().join("elsewhere/t_pv_kept");
    machine
        .agentuser(&["teardown", "--yes", "--keep-home", link.to_str().unwrap()])
        .exits(1)
        .mentions("symbolic link");
    assert!(fs::symlink_metadata("/etc/t_pv_kept").is_err());
    machine.agentuser(&["teardown", "--yes", "--keep-home", kept]).ok();
    let settings = format!("{kept}/.config/settings");
    let read = human.run(&["cat", &settings]);
    let owner = fs::metadata(&settings).map(|is| is.uid());
    fs::remove_dir_all(kept).unwrap();
    assert_eq!(read.ok().text(), "mine");
    assert_eq!(owner.unwrap(), human.uid);
    assert!(fs::symlink_metadata(format!("/home/{AGENT}")).is_err());
}

#[test]
fn without_a_receipt_nothing_is_torn_down() {
    let Some(machine) = Machine::take() else { return };
    let before = machine.snapshot();
    machine.agentuser(&["teardown", "--yes"]).exits(2).mentions("nothing is set up");
    machine
        .agentuser(&["teardown", "--yes", "--agent", AGENT])
        .exits(2)
        .mentions("no receipt tells of an agent");
    machine.snapshot().assert_same_as(&before, "after a teardown of nothing");
    machine.set_up_agent(0, AGENT);
    let before = machine.snapshot();
    machine.agentuser(&["teardown", "--yes", "--agent", SECOND_AGENT]).exits(2);
    machine.agentuser(&["teardown", "--agent", AGENT]).exits(2).mentions("add --yes");
    machine.snapshot().assert_same_as(&before, "after a teardown of another");
}

/// What others made in directories of the agent is not the agent's, and does not keep the rest from going.
#[test]
fn files_of_others_among_the_agents_stay() {
    let Some(machine) = Machine::with_humans(2) else { return };
    // In the private view the agent's directories for temporary files are its own.
    machine.set_up_policy("    view: plain\n");
    let [human, other] = &machine.humans[..] else { unreachable!() };
    let make = "umask 0; mkdir -p /tmp/t_pv_open/own/deep /tmp/t_pv_open/mixed; echo x >/tmp/t_pv_open/own/deep/file; \
                ln -s /etc/passwd /tmp/t_pv_open/own/link; printf x >\"/tmp/t_pv_open/$(printf '\\033[2Jname')\"";
    assert!(agent_can(human, "shop", make));
    other.sh("mkdir /tmp/t_pv_open/mixed/theirs && echo y >/tmp/t_pv_open/mixed/theirs/file", &[]).ok();
    let torn = machine.agentuser(&["teardown", "--yes", "--agent", AGENT]).ok();
    let left = crate::common::system(&["find", "/tmp/t_pv_open", "-printf", "%P\n"]);
    let theirs = fs::read_to_string("/tmp/t_pv_open/mixed/theirs/file");
    fs::remove_dir_all("/tmp/t_pv_open").unwrap();
    torn.mentions("/tmp/t_pv_open holds files of others");
    assert_eq!(theirs.unwrap(), "y\n");
    assert_eq!(left, "\nmixed\nmixed/theirs\nmixed/theirs/file");
    assert!(fs::symlink_metadata(format!("/home/{AGENT}")).is_err());
}
