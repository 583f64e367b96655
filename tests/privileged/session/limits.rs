//! Limits: what the policy gives is what a session gets, and no session raises it.

use crate::common::{Machine, View};

const SCRIPT: &str =
    "ulimit -Sn; ulimit -Hn; ulimit -Su; ulimit -Hu; ulimit -n 4096 2>/dev/null || echo refused";

#[test]
fn processes_and_open_files() {
    for view in View::BOTH {
        let Some(machine) = Machine::take() else { return };
        let run = |script: &str| machine.human().run(&["agentuser", "run", "--", "bash", "-c", script]);
        machine.set_up_policy(&format!("    view: {}\n", view.word()));
        let without = run("ulimit -n 300 && ulimit -n").ok();
        assert_eq!(without.text(), "300");
        assert_ne!(run("ulimit -Hn").ok().text(), "200");
        let forks = "for i in $(seq 60); do sleep 5 & done 2>/dev/null; jobs -r | wc -l; kill $(jobs -p)";
        assert_eq!(run(forks).ok().text(), "60");

        let limits = "    limits: { processes: 40, open-files: 200 }\n";
        machine.set_up_policy(&format!("    view: {}\n{limits}", view.word()));
        assert_eq!(run(SCRIPT).ok().text(), "200\n200\n40\n40\nrefused");
        let begun: u32 = run(forks).text().lines().last().unwrap_or_default().parse().unwrap_or(0);
        assert!(begun < 40, "{begun} of 60 were started");
        let status = machine.human().run(&["agentuser", "status"]).ok();
        status.mentions("40 processes").mentions("200 open files");
    }
}

/// Memory and processors need a control group, which root's half of the private view joins.
#[test]
fn what_needs_root_is_refused_with_the_plain_view() {
    let Some(machine) = Machine::take() else { return };
    let file = machine.policy_file("    view: plain\n    limits: { memory: 1G }\n");
    let refused = machine.agentuser(&["setup", "--yes", "--policy", &file]);
    refused.exits(2).mentions("limits.memory").mentions("view: private");
    machine.set_up_policy("    view: plain\n");
}
