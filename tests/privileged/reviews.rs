//! What the agent leaves and the human's tools would execute is told, whatever way it came.

use crate::common::{Human, Machine, until};
use serde_json::Value;

/// What is told, as rank and path with part, the most important first.
fn told(human: &Human, arguments: &[&str]) -> Vec<(String, String)> {
    let json = human.run(&[&["agentuser", "review", "--json"], arguments].concat()).ok().text();
    let json: Value = serde_json::from_str(&json).unwrap();
    let findings = json["projects"][0]["findings"].as_array().unwrap();
    assert_eq!(json["projects"][0]["compared"], true, "{json}");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let place =
        |finding: &Value| format!("{} {}", text(finding, "path"), text(finding, "part")).trim().to_owned();
    findings.iter().map(|finding| (text(finding, "rank"), place(finding))).collect()
}

fn ranks(found: &[(String, String)], rank: &str) -> Vec<String> {
    found.iter().filter(|(of, _)| of == rank).map(|(_, place)| place.clone()).collect()
}

#[test]
fn b19_planted_git_configuration_hooks_and_repositories() {
    let Some(machine) = Machine::take() else { return };
    // The guard would not let it be planted.
    machine.set_up_policy("        git: open\n");
    let human = machine.human();
    human.sh("git init -q . && git config user.name a && git config user.email a@example.com && git add . && git commit -qm one", &[]).ok();
    // The control: honest work is nothing to tell of, and a first session is what it is compared with.
    let agent = |line: &str| human.run(&["agentuser", "run", "--", "sh", "-ec", line]);
    agent("echo 3 >>prices").ok();
    assert_eq!(told(human, &[]), []);
    human.run(&["agentuser", "review", "--strict"]).ok();

    agent(
        "git config --file .git/config core.fsmonitor 'echo planted >&2'
         printf '#!/bin/sh\\n' >.git/hooks/post-checkout; chmod 755 .git/hooks/post-checkout
         git init -q nested; mkdir -p node_modules/x; git init -q node_modules/x",
    )
    .ok();
    // What is planted works where nobody looks first.
    human.sh("git status 2>&1", &[]).mentions("planted");
    until("the keeper is done", || human.sh("cat .git/config", &[]).status.success());
    let found = told(human, &[]);
    assert_eq!(
        ranks(&found, "red"),
        [".git/config core.fsmonitor", ".git/hooks/post-checkout", "nested/.git", "node_modules/x/.git"]
    );
    human.run(&["agentuser", "review", "--strict"]).exits(3).mentions("core.fsmonitor");
    human.run(&["agentuser", "review", "--accept"]).ok();
    assert_eq!(told(human, &["--strict"]), []);
}

#[test]
fn b20_other_planted_files() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.write("shop/package.json", r#"{"scripts": {"test": "true"}}"#);
    human.run(&["agentuser", "run", "--", "true"]).ok();
    let plant = r#"mkdir .vscode .claude; echo '{}' | tee .vscode/tasks.json >.claude/settings.json; echo x >.envrc
        echo '{"scripts": {"test": "false"}, "name": "x"}' >package.json; echo all: >Makefile; echo x >CLAUDE.md
        ln -s /etc/passwd out; echo x >source.c; printf x >"$(printf 'a\033]52;c;x\007b.pth')""#;
    human.run(&["agentuser", "run", "--", "sh", "-ec", plant]).ok();
    let found = told(human, &[]);
    assert_eq!(ranks(&found, "red"), [".claude/settings.json", ".envrc", ".vscode/tasks.json"]);
    let yellow = ["CLAUDE.md", "Makefile", r"a\x1b]52;c;x\x07b.pth", "out", "package.json test"];
    assert_eq!(ranks(&found, "yellow"), yellow);
    let shown = human.run(&["agentuser", "review"]).ok();
    assert!(!shown.stdout.contains(&0x1b) && !shown.stdout.contains(&7), "{shown:?}");
    // Nobody reads it as root.
    machine.agentuser(&["review"]).exits(2);
}

/// At the end of a shell what runs by itself is said without being asked for.
#[test]
fn a_shell_ends_with_what_is_red() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let mut terminal = human.terminal(&["agentuser", "shell"]);
    terminal.expect("$");
    terminal.send("echo x >.envrc; exit\n");
    terminal.expect("look at it before you go on");
    terminal.expect(".envrc");
    terminal.wait();
    // The control: what is known already is not said again.
    human.run(&["agentuser", "review", "--accept"]).ok();
    let mut terminal = human.terminal(&["agentuser", "shell"]);
    terminal.expect("$");
    terminal.send("exit\n");
    terminal.wait();
    assert!(!terminal.shown().contains("look at it"), "{}", terminal.shown());
}

/// The agent can't say what was there before: the file is the human's, in a directory of root's.
#[test]
fn the_agent_does_not_reach_what_is_compared_with() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.run(&["agentuser", "run", "--", "true"]).ok();
    let files = machine.inside(&["sh", "-c", "ls /var/lib/agentuser/*/review-*.json"]);
    let file = files.trim();
    assert!(std::fs::metadata(file).unwrap().len() > 0);
    for attempt in ["cat \"$1\"", "echo >\"$1\"", "rm -f \"$1\""] {
        assert!(
            !human.run(&["agentuser", "run", "--", "sh", "-c", attempt, "sh", file]).status.success(),
            "{attempt}"
        );
    }
    human.run(&["cat", file]).ok();
    machine.tear_down(crate::common::AGENT);
    assert!(!std::path::Path::new(file).exists());
}
