//! What is older than the rules.

use crate::world::{AGENT, Who, World};

#[test]
fn a_flow_from_before_the_rules_is_cut() {
    let network = "{log: none, allow: [{cidr: 10.98.0.0/16}]}";
    let Some(world) = World::with(network) else { return };
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000", "tcp/::/8000"]);
    for line in ["iptables -F", "iptables -X", "ip6tables -F", "ip6tables -X", "nft flush ruleset"] {
        world.root(line);
    }
    let mut agents = [
        world.flow(Who::Uid, "192.0.2.2", "8000"),
        world.flow(Who::Uid, "2001:db8::2", "8000"),
        // One that the policy would have let out, but nobody judged.
        world.flow(Who::Uid, "10.98.0.2", "8000"),
    ];
    let humans = world.flow(Who::Human, "192.0.2.2", "8000");
    world.set_up(network);
    for flow in &mut agents {
        flow.wait_end();
    }
    humans.wait_after(humans.lines().len(), "alive");
    world.refused(Who::Agent, &["tcp/192.0.2.2/8000", "tcp/2001:db8::2/8000"]);
    world.open(Who::Agent, &["tcp/10.98.0.2/8000"]);
}

#[test]
fn a_call_from_outside_that_is_older_is_cut() {
    let Some(world) = World::with("{log: none}") else { return };
    for line in ["iptables -F", "ip6tables -F", "nft flush ruleset"] {
        world.root(line);
    }
    let mut server = world.serve(Who::Uid, &["tcp/0.0.0.0/7000"]);
    let caller = world.flow(Who::Remote, "192.0.2.10", "7000");
    let humans_server = world.serve(Who::Human, &["tcp/0.0.0.0/7001"]);
    let humans = world.flow(Who::Remote, "192.0.2.10", "7001");
    world.set_up("{log: none}");
    server.wait_end();
    caller.wait_for("dead");
    humans.wait_after(humans.lines().len(), "alive");
    drop(humans_server);
}

/// The rules alone, without anybody ending processes, cut what no rule of theirs let out.
#[test]
fn the_rules_themselves_cut_what_they_would_not_let_out() {
    let Some(world) = World::with("{log: none}") else { return };
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000"]);
    let rules = world.root("iptables-save -t filter");
    for line in ["iptables -F OUTPUT", "nft delete table inet"] {
        let line =
            if line.starts_with("nft") { format!("{line} agentuser_{}", world.uid()) } else { line.into() };
        world.root(&line);
    }
    let flow = world.flow(Who::Uid, "192.0.2.2", "8000");
    let humans = world.flow(Who::Human, "192.0.2.2", "8000");
    let jump =
        rules.lines().find(|line| line.contains("--uid-owner") && line.starts_with("-A OUTPUT")).unwrap();
    world.root(&format!("iptables {jump}"));
    assert_eq!(flow.wait_for("dead"), "dead ECONNRESET");
    humans.wait_after(humans.lines().len(), "alive");
    assert!(jump.contains(&format!("AU_{}", world.uid())), "{AGENT}: {jump}");
}
