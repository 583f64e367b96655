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
    // The name that is suggested is taken away, letter by letter.
    terminal.expect("Name of the agent's account");
    terminal.send(&format!("{}{AGENT}\r", "\x7f".repeat(8)));
    terminal.expect("Project directory to share");
    terminal.send("\r");
    terminal.expect("What may the agent do there?");
    terminal.send("\r");
    terminal.expect("Project directory to share");
    terminal.send("\r");
    terminal.expect("Services that it may reach");
    // The first one, the fourth and, where npm is, the eleventh.
    let has_npm = std::path::Path::new("/usr/bin/npm").exists();
    let npm = if has_npm { format!("{} ", DOWN.repeat(7)) } else { String::new() };
    terminal.send(&format!(" {} {npm}\r", DOWN.repeat(3)));
    terminal.expect("Loopback ports of yours");
    terminal.send("5432\r");
    terminal.expect("Networks and hosts");
    terminal.send("10.20.0.0/16:443 api.example.com\r");
    terminal.expect("password for");
    terminal.send("kettle-9\r");
    terminal.expect("How are projects shared?");
    terminal.send("\r");
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
