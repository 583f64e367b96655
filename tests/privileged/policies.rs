//! Malformed policies, through the command line.

use crate::common::Machine;
use std::{fs, path::Path};

#[test]
fn malformed_policies_change_nothing() {
    let Some(machine) = Machine::take() else { return };
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policies/bad");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 40);
    let before = machine.snapshot();
    for file in &files {
        let file = file.to_str().unwrap();
        let refused = machine.agentuser(&["setup", "--policy", file, "--yes"]).exits(2);
        let said = refused.said();
        let place = said.split_once(&format!("{file}:")).map(|(_, rest)| rest).unwrap_or_default();
        let mut numbers = place.split(':').map(|number| number.trim().parse::<u32>());
        assert!(matches!((numbers.next(), numbers.next()), (Some(Ok(1..)), Some(Ok(1..)))), "{said}");
        let hint = said.split_once("\nhint: ").map(|(_, hint)| hint.trim()).unwrap_or_default();
        assert!(!hint.is_empty(), "{said}");
        assert_eq!(refused.text(), "", "{file}");
    }
    machine.snapshot().assert_same_as(&before, "after policies that were refused");
    // The control: a policy that is well formed is taken.
    let human = &machine.human().name;
    let good = format!("version: 1\nagents:\n  {}:\n    human: {human}\n", crate::common::AGENT);
    let good = machine.human().write("policy.yaml", &good);
    machine.agentuser(&["setup", "--policy", good.to_str().unwrap(), "--yes"]).ok();
}
