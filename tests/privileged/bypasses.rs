//! Ways around that docs/bypasses.md calls closed, where no other test is about them. Each is shown open in its control.

use crate::common::{AGENT, Machine};
use std::path::Path;

/// The agent's terminal is not the human's: what it pushes back into its own input is typed to nobody.
#[test]
fn b10_own_terminal() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let names = |before: &[&str]| {
        let argv =
            [&["sh", "-c", "tty >mine; \"$@\"; echo over", "sh"], before, &["sh", "-c", "tty >theirs"]]
                .concat();
        for name in ["mine", "theirs"] {
            human.write(&format!("shop/{name}"), "");
        }
        let mut terminal = human.terminal(&argv);
        terminal.expect("over");
        terminal.wait();
        ["mine", "theirs"].map(|name| std::fs::read_to_string(human.project().join(name)).unwrap())
    };
    let [mine, theirs] = names(&[]);
    assert_eq!(mine, theirs, "control: a plain child has the human's terminal");
    let [mine, theirs] = names(&["agentuser", "run", "--"]);
    assert!(mine.starts_with("/dev/pts/") && theirs.starts_with("/dev/pts/"), "{mine} {theirs}");
    assert_ne!(mine, theirs);
}

/// The agent starts nothing that would outlive its sessions: crontab(1) and at(1) refuse it.
#[test]
fn b16_no_cron_and_no_at() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    for program in ["crontab -l", "at -l"] {
        if !Path::new("/usr/bin").join(program.split(' ').next().unwrap()).exists() {
            continue;
        }
        let asks = |before: &str| human.sh(&format!("{before} {program} 2>&1; true"), &[]).ok().text();
        let denied = |text: &str| text.contains("not allowed") || text.contains("do not have permission");
        assert!(!denied(&asks("")), "control: {program}");
        assert!(denied(&asks("agentuser run --")), "{program}: {}", asks("agentuser run --"));
    }
}

/// A group that leads to root is refused in the policy, and one that somebody added by hand is drift.
#[test]
fn b17_groups_that_are_root() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let policy = |group: &str| {
        let text =
            format!("version: 1\nagents:\n  {AGENT}:\n    human: {}\n    groups: [{group}]\n", human.name);
        human.write("policy.yaml", &text).display().to_string()
    };
    for group in ["sudo", "docker", "disk", "shadow", "adm"] {
        machine.agentuser(&["setup", "--yes", "--policy", &policy(group)]).exits(2).mentions(group);
    }
    machine.agentuser(&["setup", "--yes", "--policy", &policy("games")]).ok();
    human.run(&["agentuser", "run", "--home", "--", "id", "-Gn"]).ok().mentions("games");
}

/// What the agent left for its next session is not run before `enter` has done its work, nor in its place.
#[test]
fn b24_nothing_of_the_agents_runs_first() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let plant = "mkdir -p ~/.local/bin; for name in agentuser sudo sh true; do
                     printf '#!/bin/sh\\necho planted >>~/ran\\n' >~/.local/bin/$name; chmod +x ~/.local/bin/$name
                 done; echo 'echo planted >>~/ran' | tee ~/.bashrc ~/.profile ~/.bash_profile ~/.zshenv >/dev/null";
    human.run(&["agentuser", "run", "--", "sh", "-ec", plant]).ok();
    human.run(&["agentuser", "run", "--", "/bin/ls"]).ok();
    human.run(&["agentuser", "run", "--", "/bin/cat", &format!("/home/{AGENT}/ran")]).exits(1);
    // Control: the plants work where the command asks for them.
    human.run(&["agentuser", "run", "--", "true"]).ok();
    human
        .run(&["agentuser", "run", "--", "/bin/cat", &format!("/home/{AGENT}/ran")])
        .ok()
        .mentions("planted");
}
