//! `doctor` sees what is closed and what is open: with all layers, without them, and with one that somebody took away.

use crate::common::{AGENT, Human, Machine, system};
use serde_json::Value;
use std::{collections::BTreeMap, fs};

/// The verdicts by probe, and the whole answer.
#[track_caller]
fn doctor(human: &Human, code: i32) -> (BTreeMap<String, String>, Value) {
    let said = human.run(&["agentuser", "doctor", "--json"]).exits(code);
    let report: Value =
        serde_json::from_str(&said.text()).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let probes = report["probes"].as_array().unwrap();
    (probes.iter().map(|one| (text(&one["probe"]), text(&one["verdict"]))).collect(), report)
}

/// What can be told on any machine.
const TOLD: [&str; 13] = [
    "tcp4",
    "tcp6",
    "udp",
    "descriptors",
    "families",
    "terminal",
    "variables",
    "sibling",
    "temporary",
    "abstract",
    "processes",
    "setuid",
    "git",
];

#[test]
fn all_is_closed_by_default_and_open_where_the_policy_says_so() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    human.sh("git init -q . && chmod 755 ~", &[]).ok();
    machine.set_up_policy("");
    let (verdicts, report) = doctor(human, 0);
    for probe in TOLD {
        assert_eq!(verdicts[probe], "closed", "{probe}: {report:#}");
    }
    assert!(!verdicts.values().any(|verdict| verdict == "open" || verdict == "stated"), "{report:#}");

    // The same probes see the openings that a policy leaves, and call none of them a fault.
    machine.set_up_policy("    view: plain\n    confine: { no-new-privileges: false }\n");
    let (verdicts, report) = doctor(human, 0);
    for probe in ["families", "terminal", "sibling", "temporary", "abstract", "processes", "setuid", "git"] {
        assert_eq!(verdicts[probe], "stated", "{probe}: {report:#}");
    }
    for probe in ["tcp4", "tcp6", "udp", "descriptors", "variables"] {
        assert_eq!(verdicts[probe], "closed", "{probe}: {report:#}");
    }
    let shown = human.run(&["agentuser", "doctor"]).ok();
    shown.mentions("open (stated)").mentions("view: plain").mentions("closed");
    let left = fs::read_dir(&human.home).unwrap().flatten().map(|entry| entry.file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().contains("doctor")), "bait was left");
}

/// A hole that nobody stated: another tool's rule in front of ours, for the one protocol that no canary tries on loopback.
#[test]
fn an_opening_that_nobody_stated_is_a_fault() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    machine.set_up_policy("    network: { log: none }\n");
    assert_eq!(doctor(human, 0).0["tcp4"], "closed");
    let table = format!("agentuser_{}", system(&["id", "-u", AGENT]));
    if machine.inside(&["nft", "list", "tables"]).contains(&table) {
        machine.inside(&["nft", "delete", "table", "inet", &table]);
    }
    machine.inside(&["iptables", "-I", "OUTPUT", "1", "-o", "lo", "-p", "tcp", "-j", "ACCEPT"]);
    let (verdicts, report) = doctor(human, 1);
    assert_eq!((verdicts["tcp4"].as_str(), verdicts["tcp6"].as_str()), ("open", "closed"), "{report:#}");
    assert_eq!(report["closed"], false);
    human.run(&["agentuser", "doctor"]).exits(1).mentions("OPEN").mentions("agentuser setup");
    machine.agentuser(&["setup", "--yes"]).ok();
    assert_eq!(doctor(human, 0).0["tcp4"], "closed");
}

#[test]
fn toolchains_that_the_agent_does_not_reach() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    human.sh("mkdir -p ~/.nvm/versions/node/v20.0.0/bin ~/.rustup/toolchains/stable/bin", &[]).ok();
    machine.set_up_policy("");
    let (_, report) = doctor(human, 0);
    let names: Vec<_> =
        report["toolchains"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["nvm", "rustup"]);
    let shown = human.run(&["agentuser", "doctor"]).ok();
    shown.mentions("agentuser share --read-only").mentions(".nvm/versions/node/v20.0.0/bin");
    machine.agentuser(&["doctor"]).exits(2).mentions("without sudo");
}
