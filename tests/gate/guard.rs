//! The guard keeps the rules in force, and nothing is open when it is gone.

use crate::{
    support::until,
    world::{AGENT, BUILT, GATE, UID, World, policy},
};
use agentuser::model::{Family, desired::Firewall};
use serde_json::json;
use std::{fs, time::Duration};

const ZONE: &str = r#"{"api.example": {"A": ["192.0.2.2"]}, "new.example": {"A": ["192.0.2.3"]}}"#;

/// Of a client that calls without end: its calls, those that came through, and those that were refused.
fn counted(calls: &crate::support::Running) -> (u64, u64, u64) {
    let lines = calls.lines();
    let last = lines.iter().rev().find_map(|line| line.strip_prefix("calls ")).unwrap();
    let numbers: Vec<u64> = last.split(' ').map(|word| word.parse().unwrap()).collect();
    (numbers[0], numbers[1], numbers[2])
}

#[test]
fn a_guard_that_is_killed_lets_nothing_through() {
    let Some(mut world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    let calls = world.start_client(UID, &["loop", "203.0.113.2", "8000"]);
    let control = world.start_client(61_113, &["loop", "203.0.113.2", "8000"]);
    calls.wait_for("calls ");
    for _ in 0..3 {
        world.guard.as_mut().unwrap().kill();
        until("the end of the parser", || {
            let said = world.client(UID, &["ask", "api.example"]);
            (said["failed"] == "ECONNREFUSED").then_some(())
        });
        std::thread::sleep(Duration::from_millis(100));
        world.start_guard();
        until("the gate", || (world.client(UID, &["ask", "api.example"])["code"] == 0).then_some(()));
    }
    let (called, leaked, _) = counted(&calls);
    assert!(called >= 400, "{called}");
    assert_eq!(leaked, 0, "of {called}");
    assert!(counted(&control).1 > 0);
}

/// Makes a change of another tool's, and answers after how many milliseconds it was repaired.
fn gap(world: &World, change: &str) -> u64 {
    let repairs = world.guard_state().repairs;
    world.root(change);
    until(change, || (world.guard_state().repairs > repairs).then_some(()));
    if change.contains("-j ACCEPT") {
        world.root("iptables -D OUTPUT -j ACCEPT");
    }
    world.guard_state().last_repair.unwrap().gap_ms
}

#[test]
fn what_another_tool_changed_is_repaired_within_a_tenth_of_a_second() {
    let Some(world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    world.client(UID, &["ask", "api.example"]);
    let chain = || world.root("iptables -S OUTPUT");
    let before = chain();
    for change in [
        "iptables -F OUTPUT",
        "iptables -I OUTPUT 1 -j ACCEPT",
        "ip6tables -F OUTPUT",
        "nft flush table ip filter",
        &format!("nft delete table inet agentuser_{UID}"),
        "nft flush ruleset",
    ] {
        // Other programs of the machine may have the processors at the moment: one of three must be fast enough.
        let gaps: Vec<_> = (0..3).map(|_| gap(&world, change)).collect();
        eprintln!("{change}: in force again after {gaps:?} ms");
        assert!(gaps.iter().any(|gap| *gap <= 100), "{change}: {gaps:?} ms");
        let said = world.client(UID, &["connect", "203.0.113.2", "8000"]);
        assert_eq!(said["verdict"], "ECONNREFUSED", "{change}");
        // What was answered before is open as it was.
        assert_eq!(world.client(UID, &["connect", "192.0.2.2", "8000"])["verdict"], "open", "{change}");
    }
    assert_eq!(chain(), before);
    // Its own work is no reason for more of it.
    std::thread::sleep(Duration::from_millis(300));
    let repairs = world.guard_state().repairs;
    for _ in 0..20 {
        world.client(UID, &["ask", "api.example"]);
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(world.guard_state().repairs, repairs);
}

#[test]
fn a_changed_policy_is_taken_at_once() {
    let Some(mut world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    world.client(UID, &["ask", "api.example"]);
    assert_eq!(world.client(UID, &["ask", "new.example"])["code"], 5);
    let mut other = policy(&["api.example", "new.example"]);
    other.generation = 1;
    world.write_receipt(&other);
    until("the new name", || (world.client(UID, &["ask", "new.example"])["code"] == 0).then_some(()));
    // The set is another one; what was answered and is still allowed goes over, without another question.
    until("the old answer", || {
        (world.client(UID, &["connect", "192.0.2.2", "8000"])["verdict"] == "open").then_some(())
    });
    assert_eq!(world.client(UID, &["connect", "192.0.2.3", "8000"])["verdict"], "open");
    other.names[0].names = vec!["new.example".into()];
    other.generation = 2;
    world.write_receipt(&other);
    until("the old name's end", || (world.client(UID, &["ask", "api.example"])["code"] == 5).then_some(()));
    until("the old address's end", || {
        (world.client(UID, &["connect", "192.0.2.2", "8000"])["verdict"] == "ECONNREFUSED").then_some(())
    });
}

#[test]
fn what_was_answered_stays_open_while_the_list_of_names_changes() {
    let Some(mut world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    assert_eq!(world.client(UID, &["ask", "api.example"])["addresses"], json!(["192.0.2.2"]));
    world.client(UID, &["ask", "new.example"]);
    let answers = format!("{}/run/agentuser/{AGENT}.answers.json", world.root_of_state());
    until("the answers", || {
        fs::read_to_string(&answers).is_ok_and(|text| text.contains("192.0.2.2")).then_some(())
    });
    let calls = world.start_client(UID, &["loop", "192.0.2.2", "8000"]);
    calls.wait_for("calls ");
    // Each list has sets of its own, which are filled by whoever puts it in force.
    for generation in 1..=10 {
        let names = [&["api.example", "new.example"][..], &["api.example"]][usize::from(generation % 2)];
        world.write_receipt(&Firewall { generation, ..policy(names) });
        let set = world.set(Family::V4);
        until("the set", || (world.run(0, &["ipset", "list", &set]).code == Some(0)).then_some(()));
        std::thread::sleep(Duration::from_millis(400));
    }
    let (called, through, refused) = counted(&calls);
    eprintln!("{called} calls, {through} came through, {refused} were refused");
    assert!(through >= 1000, "{through}");
    assert_eq!(refused, 0, "of {called}");
    // The control: it is the name that keeps the address open.
    world.write_receipt(&Firewall { generation: 11, ..policy(&["new.example"]) });
    until("a refusal", || (counted(&calls).2 > 0).then_some(()));
}

#[test]
fn parsers_hold_no_privilege_and_come_back() {
    let Some(mut world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    let guard = world.guard.as_ref().unwrap().pid();
    let parsers = || {
        let listed = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap();
        let threads = fs::read_dir(format!("/proc/{guard}/task")).unwrap().flatten();
        let all =
            threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
        let all: String = all.map(|pids| pids + " ").collect::<String>() + &listed;
        let mut pids: Vec<u32> = all.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    };
    let first = until("both children", || Some(parsers()).filter(|pids| pids.len() == 2));
    for pid in &first {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for line in [
            "Uid:\t4294967293\t4294967293\t4294967293\t4294967293",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
            "Groups:\t ",
        ] {
            assert!(status.contains(line), "{line}: {status}");
        }
    }
    for pid in &first {
        crate::support::run(&["kill", "-KILL", &pid.to_string()]);
    }
    let again =
        until("both children again", || Some(parsers()).filter(|pids| pids.len() == 2 && *pids != first));
    assert_ne!(first, again);
    until("the gate", || (world.client(UID, &["ask", "api.example"])["code"] == 0).then_some(()));
    assert_eq!(world.guard_state().agents[0].gate, Some(GATE));
    // A second guard does not start, and the first one ends when it is told to.
    let second = world.run(0, &[BUILT, "guard"]);
    assert!(second.code == Some(1) && second.stderr.contains("another guard"), "{second:?}");
    crate::support::run(&["kill", "-TERM", &guard.to_string()]);
    until("the end", || world.guard.as_mut().unwrap().has_ended().then_some(()));
    assert_eq!(world.client(UID, &["ask", "api.example"])["failed"], json!("ECONNREFUSED"));
    assert_eq!(world.client(UID, &["connect", "203.0.113.2", "8000"])["verdict"], "ECONNREFUSED");
}

#[test]
fn a_guard_ends_with_the_last_agent_and_leaves_nothing() {
    let Some(mut world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    world.client(UID, &["ask", "api.example"]);
    let runtime = format!("{}/run/agentuser", world.root_of_state());
    let left = || {
        let names = fs::read_dir(&runtime).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    until("the answers", || left().iter().any(|name| name.ends_with(".answers.json")).then_some(()));
    let receipt = format!("{}/var/lib/agentuser/{AGENT}/receipt.json", world.root_of_state());
    fs::remove_file(receipt).unwrap();
    until("the end", || world.guard.as_mut().unwrap().has_ended().then_some(()));
    assert!(left().iter().all(|name| !name.starts_with("guard")), "{:?}", left());
    assert_eq!(world.client(UID, &["ask", "api.example"])["failed"], json!("ECONNREFUSED"));
}

#[test]
fn where_no_service_manager_runs_loading_the_rules_starts_a_guard() {
    let Some(mut world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    world.guard.as_mut().unwrap().kill();
    until("the end", || {
        (world.client(UID, &["ask", "api.example"])["failed"] == "ECONNREFUSED").then_some(())
    });
    world.root(&format!("cp {BUILT} /usr/local/bin/agentuser"));
    for _ in 0..2 {
        world.root("/usr/local/bin/agentuser helper boot");
    }
    until("the gate", || (world.client(UID, &["ask", "api.example"])["code"] == 0).then_some(()));
    // One was enough.
    assert_eq!(world.run(0, &[BUILT, "guard"]).code, Some(1));
}
