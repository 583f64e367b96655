//! What the agent reaches on this machine, and who reaches the agent.

use crate::{
    support::Running,
    world::{Who, World},
};

/// Whether somebody got as far as a listener of this server.
fn was_reached(server: &Running) -> bool {
    server.lines().iter().any(|line| ["accepted", "data"].iter().any(|word| line.starts_with(word)))
}

#[test]
fn the_humans_own_servers_are_closed() {
    let Some(world) = World::with("{}") else { return };
    let server = world.serve(
        Who::Human,
        &[
            "tcp/127.0.0.1/0",
            "tcp/::1/0",
            "tcp/192.0.2.10/0",
            "tcp/2001:db8::10/0",
            "udp/127.0.0.1/0",
            "udp/::1/0",
        ],
    );
    let target = |kind: &str, index| format!("{kind}/{}", server.port(index));
    let tcp = [
        target("tcp/127.0.0.1", 0),
        target("tcp/127.9.9.9", 0),
        target("tcp/::1", 1),
        target("tcp/192.0.2.10", 2),
        target("tcp/2001:db8::10", 3),
        target("mptcp/127.0.0.1", 0),
    ];
    let udp = [target("udp/127.0.0.1", 4), target("udp/::1", 5)];
    let tcp: Vec<_> = tcp.iter().map(String::as_str).collect();
    let udp: Vec<_> = udp.iter().map(String::as_str).collect();
    let unanswered = world.probe(Who::Agent, &tcp);
    assert!(
        unanswered.iter().all(|verdict| ["silence", "ECONNREFUSED"].contains(&verdict.as_str())),
        "{unanswered:?}"
    );
    world.refused(Who::Agent, &udp);
    assert!(!was_reached(&server), "{:?}", server.lines());
    let own = [tcp[0], tcp[2], tcp[3], tcp[4], tcp[5]];
    world.open(Who::Human, &own);
    world.open(Who::Human, &udp);
}

#[test]
fn no_byte_comes_with_the_first_packet() {
    let Some(world) = World::with("{}") else { return };
    world.host.set("net.ipv4.tcp_fastopen", "3");
    let humans = world.serve(Who::Human, &["tcp/127.0.0.1/0/16/fast", "tcp/::1/0/16/fast"]);
    let own = world.serve(Who::Uid, &["tcp/127.0.0.1/0/16/fast", "tcp/::1/0/16/fast"]);
    // The cookie that the agent's own server hands out is good for the human's, too: it depends on addresses alone.
    let via = |server: &Running| {
        [format!("fastopen/127.0.0.1/{}", server.port(0)), format!("fastopen/::1/{}", server.port(1))]
    };
    let (cookies, calls) = (via(&own), via(&humans));
    world.probe(Who::Agent, &[&cookies[0], &cookies[1], &calls[0], &calls[1]]);
    assert!(!was_reached(&humans), "{:?}", humans.lines());
    world.probe(Who::Human, &[&calls[0], &calls[1]]);
    humans.wait_for("data");
}

#[test]
fn the_agents_own_servers_are_open_to_it_and_to_the_human() {
    let Some(world) = World::with("{}") else { return };
    let server = world
        .serve(Who::Agent, &["tcp/127.0.0.1/0", "tcp/::1/0", "tcp/0.0.0.0/0", "tcp/::/0", "udp/127.0.0.1/0"]);
    let target = |kind: &str, index| format!("{kind}/{}", server.port(index));
    let tcp = [
        target("tcp/127.0.0.1", 0),
        target("tcp/::1", 1),
        target("tcp/127.0.0.1", 2),
        target("tcp/192.0.2.10", 2),
        target("tcp/::1", 3),
        target("tcp/2001:db8::10", 3),
        target("mptcp/127.0.0.1", 0),
    ];
    let tcp: Vec<_> = tcp.iter().map(String::as_str).collect();
    world.open(Who::Agent, &tcp);
    world.open(Who::Human, &tcp);
    world.open(Who::Human, &[&target("udp/127.0.0.1", 4)]);
}

#[test]
fn a_test_with_its_own_server_runs() {
    const TEST: &str = "
import socket, threading
for address in ('127.0.0.1', '::1'):
    server = socket.create_server((address, 0), family=socket.AF_INET6 if ':' in address else socket.AF_INET)
    def serve():
        while True:
            s, _ = server.accept()
            s.sendall(s.recv(100).upper())
            s.close()
    threading.Thread(target=serve, daemon=True).start()
    for _ in range(20):
        s = socket.create_connection(server.getsockname()[:2], 5)
        s.sendall(b'hello')
        assert s.recv(100) == b'HELLO'
        s.close()
print('20 of 20')
";
    let Some(world) = World::with("{}") else { return };
    let said = world.run(Who::Agent, &["/usr/bin/python3", "-c", TEST]).ok();
    assert_eq!(said, "20 of 20\n");
}

#[test]
fn listed_ports_of_anybody_are_open() {
    let Some(world) = World::with("{allow: [{loopback: [5432, '6000-6009', 5353/udp]}]}") else { return };
    let _server = world.serve(
        Who::Human,
        &[
            "tcp/127.0.0.1/5432",
            "tcp/::1/6009",
            "udp/127.0.0.1/5353",
            "udp/::1/5353",
            "tcp/127.0.0.1/5433",
            "udp/127.0.0.1/5432",
        ],
    );
    world.open(Who::Agent, &["tcp/127.0.0.1/5432", "tcp/::1/6009", "udp/127.0.0.1/5353", "udp/::1/5353"]);
    world.all(Who::Agent, "silence", &["tcp/127.0.0.1/5433"]);
    world.refused(Who::Agent, &["udp/127.0.0.1/5432"]);
    world.open(Who::Human, &["tcp/127.0.0.1/5433", "udp/127.0.0.1/5432"]);
}

#[test]
fn agents_do_not_reach_each_other() {
    let Some(world) = World::with_two("{}", "{}") else { return };
    let listeners = ["tcp/127.0.0.1/0", "tcp/::1/0", "udp/127.0.0.1/0"];
    let servers = [world.serve(Who::Uid, &listeners), world.serve(Who::SecondUid, &listeners)];
    for (who, other, whose) in [(Who::Agent, 1, Who::SecondAgent), (Who::SecondAgent, 0, Who::Agent)] {
        let server = &servers[other];
        let tcp = [format!("tcp/127.0.0.1/{}", server.port(0)), format!("tcp/::1/{}", server.port(1))];
        let udp = format!("udp/127.0.0.1/{}", server.port(2));
        let tcp: Vec<_> = tcp.iter().map(String::as_str).collect();
        let verdicts = world.probe(who, &tcp);
        assert!(!verdicts.contains(&"open".to_owned()), "{who:?}: {verdicts:?}");
        world.refused(who, &[&udp]);
        assert!(!was_reached(server), "{:?}", server.lines());
        world.open(whose, &tcp);
        world.open(Who::Human, &[&udp]);
    }
}

#[test]
fn a_forwarded_loopback_port_is_no_way_out() {
    let Some(world) = World::with("{allow: [{cidr: 198.51.100.0/24}]}") else { return };
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000", "udp/192.0.2.2/53"]);
    // As Docker publishes the port of a container.
    world.host.set("net.ipv4.conf.all.route_localnet", "1");
    for line in [
        "iptables -t nat -A OUTPUT -d 127.0.0.1 -p tcp --dport 8080 -j DNAT --to-destination 192.0.2.2:8000",
        "iptables -t nat -A OUTPUT -d 127.0.0.1 -p udp --dport 8053 -j DNAT --to-destination 192.0.2.2:53",
        "iptables -t nat -A POSTROUTING -o wg0 -j MASQUERADE",
    ] {
        world.root(line);
    }
    world.open(Who::Human, &["tcp/127.0.0.1/8080", "udp/127.0.0.1/8053"]);
    world.refused(Who::Agent, &["tcp/127.0.0.1/8080", "udp/127.0.0.1/8053"]);
}

#[test]
fn a_redirected_destination_is_no_way_to_the_humans_servers() {
    let Some(world) = World::with("{allow: [{cidr: 0.0.0.0/0}]}") else { return };
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000", "tcp/0.0.0.0/8001"]);
    let proxy = world.serve(Who::Human, &["tcp/0.0.0.0/3128"]);
    // As a transparent proxy has it.
    world.root("iptables -t nat -A OUTPUT -d 192.0.2.2 -p tcp --dport 8000 -j REDIRECT --to-ports 3128");
    world.open(Who::Human, &["tcp/192.0.2.2/8000"]);
    let before = proxy.lines().len();
    assert_eq!(proxy.lines().last().map(String::as_str), Some("data 3128 5"));
    let verdict = world.probe(Who::Agent, &["tcp/192.0.2.2/8000"]);
    assert_eq!(proxy.lines().len(), before, "{verdict:?} {:?}", proxy.lines());
    world.open(Who::Agent, &["tcp/192.0.2.2/8001"]);
}
