//! After a boot, where no service manager loads the rules.

use crate::{
    support::bound_by,
    world::{AGENT, PROGRAM, Who, World},
};
use std::fs;

const CALLS: [&str; 4] =
    ["tcp/192.0.2.2/8000", "tcp/2001:db8::2/8000", "udp/192.0.2.2/53", "udp/2001:db8::2/53"];
const LISTENERS: [&str; 4] = ["tcp/0.0.0.0/8000", "tcp/::/8000", "udp/0.0.0.0/53", "udp/::/53"];

#[test]
fn the_first_command_is_confined_already() {
    let Some(mut world) = World::with("{allow: [{cidr: 10.98.0.0/16}]}") else { return };
    world.boot();
    let _remote = world.serve(Who::Remote, &LISTENERS);
    world.open(Who::Uid, &CALLS);
    world.refused(Who::Agent, &CALLS);
    world.open(Who::Agent, &["tcp/10.98.0.2/8000"]);
    world.open(Who::Human, &CALLS);
    world.agentuser(&["status"]).ok();
}

#[test]
fn rules_that_can_not_be_loaded_have_run_refuse() {
    // Without a log, so that no guard is missed.
    let Some(mut world) = World::with("{log: none}") else { return };
    world.boot();
    world.hide("ipset");
    let said = world.run(Who::Agent, &["/bin/true"]).fails_with(125);
    assert!(said.contains("ipset"), "{said}");
    // The second belt needs no ipset, and holds alone.
    let remote = world.serve(Who::Remote, &LISTENERS);
    world.refused(Who::Uid, &CALLS);
    world.root(&format!("nft delete table inet agentuser_{}", world.uid()));
    world.open(Who::Uid, &CALLS);
    drop(remote);
    // With neither, a word that all is loaded is not believed.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let netns = world.root("readlink /proc/self/ns/net");
    let moment = format!("{} {}", boot.trim(), netns.trim());
    let stamp = serde_json::json!({ "moment": moment, "policy": 0, "brief": null });
    fs::write(format!("/run/agentuser/{AGENT}.loaded"), stamp.to_string()).unwrap();
    let said = world.run(Who::Agent, &["/bin/true"]).fails_with(125);
    assert!(said.contains("the firewall is not in force"), "{said}");
}

/// In the unit root has few rights: it may not read what is the human's, nor give anything away.
#[test]
fn the_rights_of_the_unit_are_enough() {
    let Some(mut world) = World::take() else { return };
    world.run(Who::Human, &["mkdir", "/home/t_nw_ann/work"]).ok();
    world.set_up("{log: none}\n    projects: [{path: /home/t_nw_ann/work}]");
    world.boot();
    let _remote = world.serve(Who::Remote, &LISTENERS);
    world.open(Who::Uid, &CALLS);
    let boot = bound_by(include_str!("../../iptables/agentuser.service"));
    let boot = boot.iter().map(String::as_str).chain([PROGRAM, "helper", "boot"]);
    world.run(Who::Root, &boot.collect::<Vec<_>>()).ok();
    world.refused(Who::Uid, &CALLS);
    world.agentuser(&["status"]).ok();
}
