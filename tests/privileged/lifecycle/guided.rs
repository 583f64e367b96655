//! A setup by questions alone, answered by keys on a terminal.

use crate::common::{AGENT, Administrator, Machine};
use std::fs;

const DOWN: &str = "\x1b[B";

/// What is chosen and typed is in the policy, and in force; what was passed over is not.
#[test]
fn by_answers_alone() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let _administrator = Administrator::new(&machine, &human.name, "kettle-9");
    human.sh("git init -q", &[]).ok();
    // A registry of the human's own, which the preset is to find.
    human.write(".npmrc", "registry=https://npm.corp.example/\n");
    let mut terminal = human.terminal(&[env!("CARGO_BIN_EXE_agentuser"), "setup"]);
    let has_npm = std::path::Path::new("/usr/bin/npm").exists();
    let npm = if has_npm { format!("{} ", DOWN.repeat(7)) } else { String::new() };
    terminal.answer(&[
        // The name that is suggested is taken away, letter by letter.
        ("Name of the agent's account", &format!("{}{AGENT}\r", "\x7f".repeat(8))),
        ("Project directory to share", "\r"),
        ("What may the agent do there?", "\r"),
        ("Project directory to share", "\r"),
        // The first one, the fourth and, where npm is, the eleventh.
        ("Services that it may reach", &format!(" {} {npm}\r", DOWN.repeat(3))),
        ("Loopback ports of yours", "5432\r"),
        ("Networks and hosts", "10.20.0.0/16:443 api.example.com\r"),
        ("password for", "kettle-9\r"),
        ("How are projects shared?", "\r"),
    ]);
    terminal.expect("Apply this plan?");
    let shown = terminal.shown();
    // Each preset is shown with what it opens and what could leak through it.
    for words in ["anthropic", "github", "5432", "10.20.0.0/16", "api.example.com", "leak"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(shown.contains("npm.corp.example"), has_npm, "{shown}");
    terminal.send("\r");
    assert!(terminal.wait().success(), "{}", terminal.shown());

    let policy = fs::read_to_string("/etc/agentuser/policy.yaml").unwrap();
    assert!(policy.contains("preset: anthropic") && policy.contains("preset: github"), "{policy}");
    assert!(!policy.contains("openai") && !policy.contains("pypi"), "{policy}");
    let list = human.run(&["agentuser", "net", "list"]).ok().text();
    for words in ["api.example.com", "10.20.0.0/16", "5432", "github", "anthropic"] {
        assert!(list.contains(words), "{words}: {list}");
    }
    assert_eq!(list.contains("npm.corp.example"), has_npm, "{list}");
    human.run(&["agentuser", "run", "--", "true"]).ok();
    human.run(&["agentuser", "status"]).ok();
}
