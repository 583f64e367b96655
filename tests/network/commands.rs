//! `net`: changes of the policy are in force for the next connection, and what the commands say is what the kernel does.

use crate::world::{AGENT, PROGRAM, Who, World, end_guard, wait_for_guard};
use std::fs;

const POLICY: &str = "/etc/agentuser/policy.yaml";

/// Runs a `net` command as root.
fn net(world: &World, arguments: &[&str]) -> crate::support::Outcome {
    world.run(Who::Root, &[&[PROGRAM, "--agent", AGENT, "net"], arguments].concat())
}

/// Puts a policy as a person writes it in force: with comments.
fn annotated(world: &World) -> String {
    let text = format!(
        "# Ours.\nversion: 1\nagents:\n  {AGENT}:\n    human: t_nw_ann   # me\n    network:\n      # What it may do.\n      \
         allow:   # little\n        - cidr: 192.0.2.0/24\n          ports: [8000]   # the shop\n"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, &text).unwrap();
    let path = file.path().to_str().unwrap();
    world.run(Who::Root, &[PROGRAM, "--quiet", "setup", "--yes", "--policy", path]).ok();
    text
}

#[test]
fn what_is_allowed_is_open_for_the_next_connection_and_what_is_denied_is_not() {
    let Some(world) = World::with("{}") else { return };
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000", "tcp/0.0.0.0/8001", "tcp/::/8000"]);
    let before = annotated(&world);
    let new = ["tcp/198.51.100.2/8000", "tcp/2001:db8::2/8000"];
    world.open(Who::Human, &new);
    world.refused(Who::Agent, &new);

    let said = net(&world, &["allow", "198.51.100.0/24:8000", "[2001:db8::2]:8000"]).ok();
    assert!(said.contains("leaks") && said.contains("In force"), "{said}");
    world.open(Who::Agent, &new);
    // The neighbours stay closed.
    world.refused(Who::Agent, &["tcp/198.51.100.2/8001", "tcp/192.0.2.2/8001"]);
    world.agentuser(&["status"]).ok();
    let text = fs::read_to_string(POLICY).unwrap();
    assert!(text.starts_with(before.trim_end()), "comments and order are kept: {text}");
    let again = net(&world, &["allow", "198.51.100.0/24:8000"]).ok();
    assert!(again.contains("already"), "{again}");

    net(&world, &["deny", "198.51.100.0/24:8000", "[2001:db8::2]:8000"]).ok();
    world.refused(Who::Agent, &new);
    assert_eq!(fs::read_to_string(POLICY).unwrap(), before);
    // A part of what stays open is denied, and wins.
    world.open(Who::Agent, &["tcp/192.0.2.2/8000"]);
    net(&world, &["deny", "192.0.2.2"]).ok();
    world.refused(Who::Agent, &["tcp/192.0.2.2/8000"]);
    net(&world, &["allow", "192.0.2.2"]).ok();
    world.open(Who::Agent, &["tcp/192.0.2.2/8000", "tcp/192.0.2.2/8001"]);
}

#[test]
fn a_dry_run_and_a_refusal_change_nothing() {
    let Some(world) = World::with("{}") else { return };
    let before = fs::read_to_string(POLICY).unwrap();
    let rules = world.root("nft list ruleset");
    let said = net(&world, &["allow", "--dry-run", "192.0.2.0/24:8000"]).ok();
    assert!(said.contains("192.0.2.0/24"), "{said}");
    net(&world, &["allow", "10.0.0.1/8"]).fails_with(2);
    net(&world, &["deny", "loopback:5432"]).fails_with(2);
    assert_eq!(fs::read_to_string(POLICY).unwrap(), before);
    assert_eq!(world.root("nft list ruleset"), rules);
}

#[test]
fn the_verdict_is_what_the_kernel_does() {
    let network =
        "{allow: [{cidr: 192.0.2.0/24, ports: [8000]}], deny: [{cidr: 192.0.2.2/32, ports: [8001]}]}";
    let Some(world) = World::with(network) else { return };
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000", "tcp/0.0.0.0/8001"]);
    for (place, open) in [("192.0.2.2:8000", true), ("192.0.2.2:8001", false), ("198.51.100.2:8000", false)] {
        let said = world.agentuser(&["net", "why", "--json", place]).ok();
        assert_eq!(said.contains("\"open\": true"), open, "{said}");
        let tried = world.agentuser(&["net", "test", place]);
        assert_eq!(tried.code, Some(i32::from(!open)), "{tried:?}");
        let told = if open { "it is open" } else { "refused" };
        assert!(tried.stdout.contains(told), "{tried:?}");
        // The control: the human gets through to each.
        world.open(Who::Human, &[&format!("tcp/{}", place.replace(':', "/"))]);
    }
    let listed = world.agentuser(&["net", "list"]).ok();
    for part in ["192.0.2.0/24", "8000", "opens", "leaks", "192.0.2.2/32"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let json = world.agentuser(&["net", "list", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["version"], &json["allow"][0]["items"][0]["value"]),
        (&1.into(), &"192.0.2.0/24".into())
    );
}

/// A lock that whoever starts the guard holds is free when that one has ended.
#[test]
fn the_guard_holds_nothing_of_its_starter() {
    let Some(world) = World::with("{log: blocked}") else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let under_lock = |argv: &[&str]| world.run(Who::Root, &[&["flock", path], argv].concat()).ok();
    let is_free = || world.run(Who::Root, &["flock", "--nonblock", path, "true"]).code == Some(0);

    under_lock(&["sh", "-c", "sleep 2 >/dev/null 2>&1 &"]);
    assert!(!is_free(), "a process in the background holds it");
    wait_for_guard();
    end_guard();
    under_lock(&[PROGRAM, "setup", "--yes", "--quiet"]);
    wait_for_guard();
    assert!(is_free());
}
