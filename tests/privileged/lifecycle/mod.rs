//! A machine's life with agents: set up, shared, torn down, and each of these interrupted.

mod crash;
mod foreign;
mod guided;
mod offer;
mod processes;
mod projects;
mod refusals;
mod setup;
mod sharing;
mod stop;
mod teardown;

use crate::common::{AGENT, Human, Machine, finish};

/// Whether the agent of the first human can do this in sh(1), started in a directory of the human's.
#[track_caller]
fn agent_can(human: &Human, dir: &str, script: &str) -> bool {
    let mut command = human.command(&["agentuser", "run", "--", "sh", "-c", script]);
    command.current_dir(human.home.join(dir));
    let outcome = finish(command, b"");
    assert_ne!(outcome.code(), Some(125), "the agent could not start: {outcome:?}");
    outcome.status.success()
}

#[track_caller]
fn assert_in_force(machine: &Machine) {
    machine.agentuser(&["status"]).ok();
    machine.human().run(&["agentuser", "run", "--", "true"]).ok();
}

fn policy_text() -> String {
    std::fs::read_to_string("/etc/agentuser/policy.yaml").unwrap_or_default()
}

/// The arguments of a first setup.
fn first_setup<'a>(human: &'a str, project: &'a str) -> [&'a str; 8] {
    ["setup", "--yes", "--human", human, "--agent", AGENT, "--project", project]
}
