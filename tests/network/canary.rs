//! Rules of somebody else, rules flushed by somebody else: what `run` refuses, what `status` says, what the second belt
//! holds.

use crate::world::{Who, World};

/// Rules that let packets out before the agent's chain sees them.
const BYPASSES: [&str; 4] = ["-o wg0 -j ACCEPT", "-p tcp -j ACCEPT", "-p udp -j ACCEPT", "-j ACCEPT"];
const TOOLS: [&str; 2] = ["iptables", "ip6tables"];
const CALLS: [&str; 4] =
    ["tcp/192.0.2.2/8000", "tcp/2001:db8::2/8000", "udp/192.0.2.2/53", "udp/2001:db8::2/53"];
const LISTENERS: [&str; 4] = ["tcp/0.0.0.0/8000", "tcp/::/8000", "udp/0.0.0.0/53", "udp/::/53"];

#[track_caller]
fn refuses(world: &World, why: &str) -> String {
    let said = world.run(Who::Agent, &["/bin/true"]).fails_with(125);
    assert!(said.contains("firewall"), "{why}: {said}");
    world.drift()
}

#[track_caller]
fn runs(world: &World) {
    world.run(Who::Agent, &["/bin/true"]).ok();
}

/// Takes the machine, without nft.
fn one_belt() -> Option<World> {
    let mut world = World::take()?;
    world.hide("nft");
    world.set_up("{log: none}");
    assert!(!world.root("ls /usr/sbin").lines().any(|name| name == "nft"));
    Some(world)
}

#[test]
fn without_nft_a_rule_in_front_has_run_refuse() {
    let Some(world) = one_belt() else { return };
    runs(&world);
    for tool in TOOLS {
        for rule in BYPASSES {
            world.root(&format!("{tool} -I OUTPUT {rule}"));
            let status = refuses(&world, rule);
            assert!(status.contains(&format!("`-A OUTPUT {rule}` stands at position 1")), "{tool}: {status}");
            world.root(&format!("{tool} -D OUTPUT {rule}"));
            runs(&world);
        }
    }
}

/// A tunnel for one network, to which no other destination is routed.
#[test]
fn without_nft_a_rule_for_an_interface_off_the_way_has_run_refuse() {
    let Some(world) = one_belt() else { return };
    for line in [
        "ip link add wg1 type veth peer name wg1far",
        "ip link set wg1far up",
        "ip link set wg1 up",
        "ip addr add 10.77.0.1/24 dev wg1",
        "ip addr add fd77::1/64 dev wg1 nodad",
    ] {
        world.root(line);
    }
    runs(&world);
    for tool in TOOLS {
        world.root(&format!("{tool} -I OUTPUT -o wg1 -j ACCEPT"));
        let said = world.run(Who::Agent, &["/bin/true"]).fails_with(125);
        assert!(said.contains("through wg1"), "{tool}: {said}");
        assert!(world.drift().contains("`-A OUTPUT -o wg1 -j ACCEPT` stands at position 1"));
        world.root(&format!("{tool} -D OUTPUT -o wg1 -j ACCEPT"));
        runs(&world);
    }
}

#[test]
fn without_nft_a_flush_has_run_refuse() {
    let Some(world) = one_belt() else { return };
    let chain = format!("AU_{}", world.uid());
    for tool in TOOLS {
        for what in ["-F", "-F OUTPUT", &format!("-F {chain}"), &format!("-F {chain}_NO")] {
            world.root(&format!("{tool} {what}"));
            let status = refuses(&world, what);
            let family = if tool == "iptables" { "IPv4" } else { "IPv6" };
            assert!(status.contains(family), "{tool} {what}: {status}");
            world.set_up("{log: none}");
            runs(&world);
        }
    }
}

#[test]
fn a_canary_that_can_not_fly_has_run_refuse() {
    let Some(world) = World::with("{log: none}") else { return };
    world.root("ip link set lo down");
    let said = world.run(Who::Agent, &["/bin/true"]).fails_with(125);
    assert!(said.contains("firewall"), "{said}");
    world.root("ip link set lo up");
    runs(&world);
}

#[test]
fn with_nft_a_rule_in_front_lets_nothing_out() {
    let Some(world) = World::with("{log: none}") else { return };
    let _remote = world.serve(Who::Remote, &LISTENERS);
    for tool in TOOLS {
        for rule in BYPASSES {
            world.root(&format!("{tool} -I OUTPUT {rule}"));
            world.refused(Who::Uid, &CALLS);
            let status = world.drift();
            assert!(status.contains(&format!("`-A OUTPUT {rule}` stands at position 1")), "{tool}: {status}");
            world.root(&format!("{tool} -D OUTPUT {rule}"));
        }
    }
    world.open(Who::Human, &CALLS);
}

#[test]
fn with_nft_a_flush_lets_nothing_out() {
    let Some(world) = World::with("{log: none}") else { return };
    let _remote = world.serve(Who::Remote, &LISTENERS);
    world.root("iptables -F");
    world.root("ip6tables -F");
    world.refused(Who::Uid, &CALLS);
    assert!(world.drift().contains("firewall of uid"));
    runs(&world);
    world.set_up("{log: none}");
    world.agentuser(&["status"]).ok();

    world.root(&format!("nft delete table inet agentuser_{}", world.uid()));
    world.refused(Who::Uid, &CALLS);
    assert!(world.drift().contains("nftables table"));
    runs(&world);
    world.set_up("{log: none}");
    world.agentuser(&["status"]).ok();

    world.root("nft flush ruleset");
    refuses(&world, "both are gone");
    world.open(Who::Uid, &CALLS);
    world.set_up("{log: none}");
    runs(&world);
    world.refused(Who::Uid, &CALLS);
}

#[test]
fn where_all_may_leave_root_is_asked() {
    let Some(world) = World::with("{log: none, outbound: allow, deny: [{cidr: 198.51.100.0/24}]}") else {
        return;
    };
    runs(&world);
    for line in ["iptables -I OUTPUT -p tcp -j ACCEPT", "ip6tables -F OUTPUT"] {
        world.root(line);
        world.run(Who::Agent, &["/bin/true"]).fails_with(125);
        world.set_up("{log: none, outbound: allow, deny: [{cidr: 198.51.100.0/24}]}");
        runs(&world);
    }
}

#[test]
fn without_ipv6_all_works() {
    let Some(world) = World::take() else { return };
    world.host.set("net.ipv6.conf.all.disable_ipv6", "1");
    world.set_up("{log: none}");
    runs(&world);
    world.agentuser(&["status"]).ok();
    // Once it is back, it is closed.
    world.host.set("net.ipv6.conf.all.disable_ipv6", "0");
    world.root("ip addr add 2001:db8::10/64 dev wg0 nodad");
    let _remote = world.serve(Who::Remote, &LISTENERS);
    world.refused(Who::Agent, &CALLS);
    world.open(Who::Human, &CALLS);
}
