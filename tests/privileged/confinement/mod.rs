//! Confinement on this kernel: each line with a control that shows open what it closes, and the tools that go on working.

mod closed;
mod tools;

use crate::common::{AGENT, Machine, Outcome};

/// No line at all.
const NONE: &str = "{ no-new-privileges: false }";

/// Puts a policy in force that has this for `confine`; nothing for the defaults.
#[track_caller]
fn put_in_force(machine: &Machine, confine: &str) {
    let human = machine.human();
    let confine = if confine.is_empty() { String::new() } else { format!("    confine: {confine}\n") };
    let text = format!(
        "version: 1\nagents:\n  {AGENT}:\n    human: {}\n    view: plain\n    projects:\n      - path: {}\n{confine}",
        human.name,
        human.project().display()
    );
    let file = human.write("policy.yaml", &text);
    machine.agentuser(&["setup", "--yes", "--policy", file.to_str().unwrap()]).ok();
}

/// A script of Python's as the agent.
fn python(machine: &Machine, script: &str) -> Outcome {
    machine.human().run(&["agentuser", "run", "--", "/usr/bin/python3", "-c", script])
}

/// What a script prints without confinement, and with a policy's.
#[track_caller]
fn open_and_closed(machine: &Machine, script: &str, confine: &str) -> [String; 2] {
    [NONE, confine].map(|confine| {
        put_in_force(machine, confine);
        python(machine, script).ok().text()
    })
}
