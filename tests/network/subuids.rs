//! Sub-uids, under which a process is somebody else for the rules.

use crate::{
    support::sh,
    world::{AGENT, Who, World},
};
use std::fs;

const PROBE: &str = "import socket; socket.create_connection(('192.0.2.2', 8000), 3); print('out')";

/// A call as one of the account's sub-uids.
fn call(world: &World, who: Who, map: &[&str]) -> String {
    let out = world.run(who, &[&["unshare"], map, &["/usr/bin/python3", "-c", PROBE]].concat());
    out.stdout + &out.stderr
}

const AS_SUB_UID: [&str; 4] = ["--user", "--map-auto", "--setuid=7", "--setgid=7"];

#[test]
fn sub_uids_do_not_get_out() {
    let Some(world) = World::with("{}") else { return };
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000"]);
    assert!(!call(&world, Who::Agent, &AS_SUB_UID).contains("out"));
    let own_root = call(&world, Who::Agent, &["--user", "--map-root-user"]);
    assert!(own_root.contains("ConnectionRefusedError"), "{own_root}");

    sh(&format!("usermod --add-subuids 400000-465535 --add-subgids 400000-465535 {AGENT}"));
    let said = world.run(Who::Agent, &["/bin/true"]).fails_with(125);
    assert!(said.contains("sub-uids (400000-465535 in /etc/subuid)"), "{said}");
    assert!(world.drift().contains("/etc/subuid gives it 400000-465535"));
    // Around `run` the range is a way out: what follows is closed by us, and not by the kernel.
    assert_eq!(call(&world, Who::Uid, &AS_SUB_UID), "out\n");

    world.set_up("{}");
    assert!(!fs::read_to_string("/etc/subuid").unwrap().contains(AGENT));
    assert!(!call(&world, Who::Uid, &AS_SUB_UID).contains("out"));
    world.run(Who::Agent, &["/bin/true"]).ok();
}

#[test]
fn a_range_that_came_and_went_leaves_nothing() {
    let Some(world) = World::with("{}") else { return };
    sh(&format!("usermod --add-subuids 400000-465535 {AGENT}"));
    world.set_up("{}");
    world.agentuser(&["status"]).ok();
    world.set_up("{}");
    world.agentuser(&["status"]).ok();
    let uid = world.uid();
    assert!(!world.root("iptables -S OUTPUT").contains("400000"));
    world.run(Who::Root, &[crate::world::PROGRAM, "teardown", "--yes"]).ok();
    for tool in ["iptables-save", "ip6tables-save"] {
        assert!(!world.root(tool).contains(&format!("AU_{uid}")));
    }
}

#[test]
fn a_range_given_to_the_number_counts_too() {
    let Some(world) = World::with("{}") else { return };
    let before = fs::read_to_string("/etc/subuid").unwrap();
    fs::write("/etc/subuid", format!("{before}{}:400000:65536\n", world.uid())).unwrap();
    let said = world.run(Who::Agent, &["/bin/true"]).fails_with(125);
    let drift = world.drift();
    let mended = world.try_policy(&[(AGENT, "t_nw_ann", "{}")]);
    let after = fs::read_to_string("/etc/subuid").unwrap();
    fs::write("/etc/subuid", &before).unwrap();
    assert!(said.contains("sub-uids (400000-465535"), "{said}");
    assert!(drift.contains("/etc/subuid gives it 400000-465535"), "{drift}");
    mended.ok();
    assert_eq!(after, before);
}
