//! Destinations by name: what a DNS gate answered is open, and its port is the only way to a name server.
//!
//! The gate's part is played by the test, which puts addresses in its sets.

use crate::world::{AGENT, PROGRAM, Who, World, end_guard};
use agentuser::{
    formats::ipset,
    model::{
        Family,
        desired::{Firewall, Names},
    },
};
use serde_json::Value;
use std::{fs, path::PathBuf, thread, time::Duration};

const GATE: u16 = 1001;

/// The firewall of the receipt, with names, a gate and a log.
struct Gated(Firewall);

impl Gated {
    /// Puts a firewall by name in force: by the receipt, as at boot.
    fn load(world: &World, change: impl Fn(&mut Firewall)) -> Self {
        let path = PathBuf::from(format!("/var/lib/agentuser/{AGENT}/receipt.json"));
        let mut receipt: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let mut changed = None;
        for entry in receipt["entries"].as_array_mut().unwrap() {
            let firewall = &mut entry["step"]["firewall"];
            if !firewall.is_null() {
                let mut new: Firewall = serde_json::from_value(firewall.clone()).unwrap();
                change(&mut new);
                *firewall = serde_json::to_value(&new).unwrap();
                changed = Some(new);
            }
        }
        fs::write(&path, serde_json::to_vec(&receipt).unwrap()).unwrap();
        world.run(Who::Root, &[PROGRAM, "helper", "boot"]).ok();
        Self(changed.unwrap())
    }

    fn with_names(world: &World, generation: u8, names: &[&str]) -> Self {
        Self::load(world, |firewall| {
            let ports = ["8000", "53/udp"].iter().map(|port| port.parse().unwrap()).collect();
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            firewall.names = vec![Names { ports, names }];
            firewall.generation = generation;
        })
    }

    /// What the gate does for an answer, in both of the tables.
    fn answer(&self, world: &World, address: &str, seconds: u32) {
        let family = if address.contains(':') { Family::V6 } else { Family::V4 };
        let sets = ipset::answer_sets(&self.0);
        let set = &sets.iter().find(|set| set.family == family).unwrap().name;
        world.root(&format!("ipset add {set} {address} timeout {seconds} -exist"));
        let element = format!("{{ {address} timeout {seconds}s }}");
        let table = format!("agentuser_{}", self.0.uid);
        world.run(Who::Root, &["nft", "add", "element", "inet", &table, set, &element]).ok();
    }
}

const BOTH: [&str; 4] =
    ["tcp/192.0.2.2/8000", "tcp/2001:db8::2/8000", "udp/192.0.2.2/53", "udp/2001:db8::2/53"];
const LISTENERS: [&str; 6] =
    ["tcp/0.0.0.0/8000", "tcp/::/8000", "tcp/0.0.0.0/8001", "tcp/::/8001", "udp/0.0.0.0/54", "udp/::/54"];

#[test]
fn an_answer_opens_its_address_at_the_names_ports_for_as_long_as_it_lives() {
    let Some(world) = World::with("{log: none}") else { return };
    let gated = Gated::with_names(&world, 0, &["api.example"]);
    let _remote = world.serve(Who::Remote, &LISTENERS);
    let calls = &BOTH[..2];
    world.refused(Who::Agent, calls);
    world.open(Who::Human, calls);
    gated.answer(&world, "192.0.2.2", 4);
    gated.answer(&world, "2001:db8::2", 4);
    world.open(Who::Agent, calls);
    let beside = ["tcp/192.0.2.2/8001", "tcp/2001:db8::2/8001", "tcp/198.51.100.2/8000", "tcp/fd99::2/8000"];
    world.refused(Who::Agent, &beside);
    world.open(Who::Human, &beside);
    let flows = [world.flow(Who::Agent, "192.0.2.2", "8000"), world.flow(Who::Agent, "2001:db8::2", "8000")];
    thread::sleep(Duration::from_secs(5));
    world.refused(Who::Agent, calls);
    for flow in &flows {
        flow.wait_for("alive");
    }
    // Other names: what the old ones opened ends.
    Gated::with_names(&world, 1, &["other.example"]);
    for flow in &flows {
        flow.wait_for("dead ECONNRESET");
    }
}

#[test]
fn a_denied_address_is_refused_whatever_a_name_says() {
    let Some(world) = World::with("{log: none, deny: [{cidr: 192.0.2.2/32}]}") else { return };
    let gated = Gated::with_names(&world, 0, &["api.example"]);
    let _remote = world.serve(Who::Remote, &LISTENERS);
    for address in ["192.0.2.2", "169.254.169.254", "198.51.100.2"] {
        gated.answer(&world, address, 60);
    }
    world.refused(Who::Agent, &["tcp/192.0.2.2/8000", "tcp/169.254.169.254/8000"]);
    world.open(Who::Human, &["tcp/192.0.2.2/8000", "tcp/169.254.169.254/8000"]);
    world.open(Who::Agent, &["tcp/198.51.100.2/8000"]);
}

#[test]
fn loading_again_changes_nothing_and_keeps_the_answers() {
    let Some(world) = World::with("{log: none}") else { return };
    let gated = Gated::with_names(&world, 0, &["api.example"]);
    let _remote = world.serve(Who::Remote, &LISTENERS);
    gated.answer(&world, "192.0.2.2", 60);
    let uid = world.uid();
    let state = || {
        let mut rules = world.root(&format!("nft -a list chain ip filter AU_{uid}"));
        rules += &world.root(&format!("nft -a list chain ip6 filter AU_{uid}_NO"));
        rules + &world.root(&format!("nft -a list chain inet agentuser_{uid} agent"))
    };
    let before = state();
    world.run(Who::Root, &[PROGRAM, "helper", "boot"]).ok();
    assert_eq!(state(), before);
    // What another tool flushed comes back, with the answers of the table that held.
    world.root("iptables -F OUTPUT");
    world.run(Who::Root, &[PROGRAM, "helper", "boot"]).ok();
    world.open(Who::Agent, &["tcp/192.0.2.2/8000"]);
    world.refused(Who::Agent, &["tcp/192.0.2.2/8001"]);
}

#[test]
fn all_dns_goes_to_the_gate() {
    let Some(world) = World::with("{log: none, allow: [{cidr: 192.0.2.0/24, ports: [8000]}]}") else {
        return;
    };
    Gated::load(&world, |firewall| firewall.gate = Some(GATE));
    end_guard();
    let dns = [
        "udp/192.0.2.2/53",
        "udp/2001:db8::2/53",
        "tcp/198.51.100.2/53",
        "tcp/fd99::2/53",
        "udp/127.0.0.53/53",
    ];
    // Nobody listens at port 53 of the remote: what answers is the gate.
    world.refused(Who::Agent, &["tcp/198.51.100.2/53", "tcp/fd99::2/53"]);
    let gate = format!("udp/127.0.0.1/{GATE} udp/::1/{GATE} tcp/127.0.0.1/{GATE} tcp/::1/{GATE}");
    let gate = world.serve(Who::Root, &gate.split(' ').collect::<Vec<_>>());
    world.open(Who::Agent, &dns);
    world.all(Who::Human, "ECONNREFUSED", &dns);
    drop(gate);
    world.all(Who::Agent, "ECONNREFUSED", &dns);
    world.refused(Who::Agent, &["udp/192.0.2.2/5353", "tcp/192.0.2.2/853"]);
}

#[test]
fn teardown_leaves_no_set_and_no_table() {
    let Some(world) = World::with("{log: none}") else { return };
    let gated = Gated::with_names(&world, 0, &["api.example"]);
    gated.answer(&world, "192.0.2.2", 600);
    world.run(Who::Root, &[PROGRAM, "--quiet", "--agent", AGENT, "teardown", "--yes"]).ok();
    assert_eq!(world.root("ipset save"), "");
    assert_eq!(world.root("nft list ruleset"), "");
}
