//! What the agent reaches beyond this machine.

use crate::world::{Who, World};

/// Listeners of the remote: IPv4 and IPv6, TCP and UDP.
pub(crate) const LISTENERS: [&str; 10] = [
    "tcp/0.0.0.0/8000",
    "tcp/0.0.0.0/8001",
    "tcp/0.0.0.0/8099",
    "tcp/::/8000",
    "tcp/::/8001",
    "tcp/::/8099",
    "udp/0.0.0.0/53",
    "udp/0.0.0.0/54",
    "udp/::/53",
    "udp/::/54",
];

#[test]
fn nothing_is_reached_that_the_policy_does_not_list() {
    let Some(world) = World::with("{}") else { return };
    let _remote = world.serve(Who::Remote, &LISTENERS);
    let targets = [
        "tcp/192.0.2.2/8000",
        "tcp/2001:db8::2/8000",
        "udp/192.0.2.2/53",
        "udp/2001:db8::2/53",
        "ping/192.0.2.2",
        "ping/2001:db8::2",
    ];
    world.open(Who::Human, &targets);
    world.refused(Who::Agent, &targets);
    for address in ["192.0.2.2", "2001:db8::2"] {
        let ping = ["/usr/bin/ping", "-n", "-c1", "-W2", address];
        world.run(Who::Human, &ping).ok();
        let said = world.run(Who::Agent, &ping).fails_with(1);
        assert!(said.contains("not permitted") || said.contains("prohibited"), "{said}");
    }
}

#[test]
fn listed_ports_and_networks_are_open_and_their_neighbours_closed() {
    let network = "{allow: [{cidr: 192.0.2.0/24, ports: [8000, 53/udp]}, {cidr: '2001:db8::/64', ports: ['8000-8050', 53/udp]}, \
                   {cidr: 10.98.0.0/24}, {cidr: 'fd99::/64'}]}";
    let Some(world) = World::with(network) else { return };
    let _remote = world.serve(Who::Remote, &LISTENERS);
    world.open(
        Who::Agent,
        &[
            "tcp/192.0.2.2/8000",
            "udp/192.0.2.2/53",
            "tcp/2001:db8::2/8000",
            "tcp/2001:db8::2/8001",
            "udp/2001:db8::2/53",
            "tcp/10.98.0.2/8000",
            "tcp/10.98.0.2/8099",
            "udp/10.98.0.2/54",
            "ping/10.98.0.2",
            "tcp/fd99::2/8099",
            "udp/fd99::2/54",
            "ping/fd99::2",
        ],
    );
    let closed = [
        "tcp/192.0.2.2/8001",
        "udp/192.0.2.2/54",
        "ping/192.0.2.2",
        "tcp/2001:db8::2/8099",
        "udp/2001:db8::2/54",
        "ping/2001:db8::2",
        "tcp/10.98.7.2/8000",
        "ping/10.98.7.2",
        "tcp/198.51.100.2/8000",
    ];
    world.refused(Who::Agent, &closed);
    world.open(Who::Human, &closed);
}

#[test]
fn the_whole_internet_is_less_what_is_denied() {
    let network = "{allow: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}], deny: [{cidr: 198.51.100.0/24}, {cidr: 10.98.7.2/32, ports: [8000]}]}";
    let Some(world) = World::with(network) else { return };
    let _remote = world.serve(Who::Remote, &LISTENERS);
    let humans =
        world.serve(Who::Human, &["tcp/127.0.0.1/0", "tcp/::1/0", "udp/127.0.0.1/0", "tcp/192.0.2.10/0"]);
    world.open(
        Who::Agent,
        &[
            "tcp/192.0.2.2/8000",
            "udp/192.0.2.2/54",
            "ping/192.0.2.2",
            "tcp/2001:db8::2/8000",
            "tcp/10.98.7.2/8001",
        ],
    );
    let closed =
        ["tcp/198.51.100.2/8000", "ping/198.51.100.2", "tcp/10.98.7.2/8000", "tcp/169.254.169.254/8000"];
    world.refused(Who::Agent, &closed);
    world.open(Who::Human, &closed);
    loopback_is_closed(&world, &humans);
}

#[test]
fn metadata_is_closed_inside_a_listed_network() {
    let Some(world) = World::with("{allow: [{cidr: 169.254.0.0/16}]}") else { return };
    let _remote =
        world.serve(Who::Remote, &["tcp/0.0.0.0/80", "udp/169.254.169.254/53", "udp/169.254.7.7/53"]);
    let metadata = ["tcp/169.254.169.254/80", "udp/169.254.169.254/53", "ping/169.254.169.254"];
    world.open(Who::Agent, &["tcp/169.254.7.7/80", "udp/169.254.7.7/53", "ping/169.254.7.7"]);
    world.refused(Who::Agent, &metadata);
    world.open(Who::Human, &metadata);
}

#[test]
fn outbound_allow_still_denies() {
    let Some(world) = World::with("{outbound: allow, deny: [{cidr: 198.51.100.0/24}, {cidr: 'fd99::/64'}]}")
    else {
        return;
    };
    let _remote = world.serve(Who::Remote, &LISTENERS);
    let humans =
        world.serve(Who::Human, &["tcp/127.0.0.1/0", "tcp/::1/0", "udp/127.0.0.1/0", "tcp/192.0.2.10/0"]);
    world.open(
        Who::Agent,
        &["tcp/192.0.2.2/8000", "udp/192.0.2.2/53", "ping/192.0.2.2", "tcp/2001:db8::2/8001"],
    );
    let closed = ["tcp/198.51.100.2/8000", "udp/fd99::2/53", "ping/fd99::2", "tcp/169.254.169.254/8000"];
    world.refused(Who::Agent, &closed);
    world.open(Who::Human, &closed);
    loopback_is_closed(&world, &humans);
}

/// The human's own listeners: TCP at 127.0.0.1 and `::1`, UDP at 127.0.0.1, TCP at the machine's address.
fn loopback_is_closed(world: &World, humans: &crate::support::Running) {
    let port = |index| humans.port(index);
    let tcp = [
        format!("tcp/127.0.0.1/{}", port(0)),
        format!("tcp/::1/{}", port(1)),
        format!("tcp/192.0.2.10/{}", port(3)),
    ];
    let tcp: Vec<_> = tcp.iter().map(String::as_str).collect();
    let udp = format!("udp/127.0.0.1/{}", port(2));
    world.all(Who::Agent, "silence", &tcp);
    world.refused(Who::Agent, &[&udp]);
    assert!(!humans.lines().iter().any(|line| line.starts_with("accepted")), "{:?}", humans.lines());
    world.open(Who::Human, &tcp);
    world.open(Who::Human, &[&udp]);
}

#[test]
fn a_new_policy_ends_live_flows() {
    let open = "{allow: [{cidr: 192.0.2.0/24}, {cidr: '2001:db8::/64'}, {cidr: 10.98.0.0/16}]}";
    let Some(world) = World::with(open) else { return };
    let remote = world.serve(Who::Remote, &LISTENERS);
    let denied = world.flow(Who::Agent, "192.0.2.2", "8000");
    let removed = world.flow(Who::Agent, "2001:db8::2", "8000");
    let stays = world.flow(Who::Agent, "10.98.0.2", "8000");
    let humans = [world.flow(Who::Human, "192.0.2.2", "8000"), world.flow(Who::Human, "2001:db8::2", "8000")];
    world.set_up("{allow: [{cidr: 192.0.2.0/24}, {cidr: 10.98.0.0/16}], deny: [{cidr: 192.0.2.2/32}]}");
    assert_eq!(denied.wait_for("dead"), "dead ECONNRESET");
    assert_eq!(removed.wait_for("dead"), "dead ECONNRESET");
    for flow in [&stays, &humans[0], &humans[1]] {
        flow.wait_after(flow.lines().len(), "alive");
    }
    drop(remote);
}
