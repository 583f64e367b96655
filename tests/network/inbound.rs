//! Calls from beyond this machine.

use crate::{
    support::Running,
    world::{Who, World},
};

/// A call of the remote to each of these, none of which may get through in either direction.
#[track_caller]
fn unreached(world: &World, server: &Running, targets: &[&str]) {
    let verdicts = world.probe(Who::Remote, targets);
    let lines = server.lines();
    assert!(!verdicts.contains(&"open".to_owned()), "{targets:?}: {verdicts:?} {lines:?}");
    let got = |line: &String| ["accepted", "data ", "answered"].iter().any(|word| line.starts_with(word));
    assert!(!lines.iter().any(got), "{targets:?}: {verdicts:?} {lines:?}");
}

const CALLS: [&str; 4] =
    ["tcp/192.0.2.10/7000", "tcp/2001:db8::10/7000", "udp/192.0.2.10/7001", "udp/2001:db8::10/7001"];
const LISTENERS: [&str; 4] = ["tcp/0.0.0.0/7000", "tcp/::/7000", "udp/0.0.0.0/7001", "udp/::/7001"];

/// Calls to the agent's listeners, then to the human's at the same ports.
fn the_agent_is_not_reached_and_the_human_is(world: &World) {
    let agents = world.serve(Who::Uid, &LISTENERS);
    unreached(world, &agents, &CALLS);
    drop(agents);
    let _humans = world.serve(Who::Human, &LISTENERS);
    world.open(Who::Remote, &CALLS);
}

#[test]
fn nobody_calls_the_agent() {
    let Some(world) = World::with("{}") else { return };
    the_agent_is_not_reached_and_the_human_is(&world);
}

#[test]
fn not_even_from_a_listed_network() {
    let Some(world) = World::with("{allow: [{cidr: 192.0.2.0/24}, {cidr: '2001:db8::/64'}]}") else { return };
    the_agent_is_not_reached_and_the_human_is(&world);
}

#[test]
fn not_even_where_everything_may_leave() {
    let Some(world) = World::with("{outbound: allow}") else { return };
    the_agent_is_not_reached_and_the_human_is(&world);
}

#[test]
fn inbound_any_is_what_it_says() {
    let Some(world) = World::with("{inbound: any}") else { return };
    let _agents = world.serve(Who::Agent, &LISTENERS);
    world.open(Who::Remote, &CALLS);
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000"]);
    world.refused(Who::Agent, &["tcp/192.0.2.2/8000"]);
    world.open(Who::Human, &["tcp/192.0.2.2/8000"]);
}

#[test]
fn inbound_none_is_for_the_agent_alone() {
    let Some(world) = World::with("{inbound: none}") else { return };
    let server = world.serve(Who::Uid, &["tcp/127.0.0.1/0", "tcp/::1/0", "udp/127.0.0.1/0"]);
    let calls = [format!("tcp/127.0.0.1/{}", server.port(0)), format!("tcp/::1/{}", server.port(1))];
    let calls: Vec<_> = calls.iter().map(String::as_str).collect();
    let udp = format!("udp/127.0.0.1/{}", server.port(2));
    let verdicts = world.probe(Who::Human, &[calls[0], calls[1], &udp]);
    assert!(!verdicts.contains(&"open".to_owned()), "{verdicts:?}");
    world.open(Who::Agent, &calls);
    world.set_up("{inbound: loopback}");
    let server = world.serve(Who::Uid, &["tcp/127.0.0.1/0"]);
    world.open(Who::Human, &[&format!("tcp/127.0.0.1/{}", server.port(0))]);
}

/// With SYN cookies the answer to a call belongs to no socket, and no rule sees whose it is.
#[test]
fn syn_cookies_let_no_data_through() {
    let Some(world) = World::with("{}") else { return };
    world.host.set("net.ipv4.tcp_syncookies", "2");
    let agents = world.serve(Who::Uid, &LISTENERS);
    let verdicts = world.probe(Who::Remote, &CALLS[..2]);
    assert!(!verdicts.contains(&"open".to_owned()), "{verdicts:?}");
    no_data_came_by_cookie(&world, &agents);
    drop(agents);
    let _humans = world.serve(Who::Human, &LISTENERS);
    world.open(Who::Remote, &CALLS);
}

/// A short backlog has the kernel send cookies although nobody forced them.
#[test]
fn nor_does_a_full_backlog() {
    let Some(world) = World::with("{}") else { return };
    let agents = world.serve(Who::Uid, &["tcp/0.0.0.0/7000/0", "tcp/::/7000/0"]);
    let bursts = ["burst/192.0.2.10/7000", "burst/2001:db8::10/7000"];
    world.all(Who::Remote, "silence", &bursts);
    no_data_came_by_cookie(&world, &agents);
    drop(agents);
    let _humans = world.serve(Who::Human, &["tcp/0.0.0.0/7000/0", "tcp/::/7000/0"]);
    world.open(Who::Remote, &bursts);
}

/// Cookies were sent, and yet the server read nothing.
#[track_caller]
fn no_data_came_by_cookie(world: &World, server: &Running) {
    let counters = world.root("cat /proc/net/netstat");
    let mut rows = counters.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (rows.next().unwrap().split(' '), rows.next().unwrap().split(' '));
    let sent = names.zip(values).find(|(name, _)| *name == "SyncookiesSent").unwrap().1;
    assert_ne!(sent, "0", "no cookie was sent");
    assert!(!server.lines().iter().any(|line| line.starts_with("data ")), "{:?}", server.lines());
}
