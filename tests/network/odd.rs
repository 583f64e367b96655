//! Odd ways to send.

use crate::world::{Who, World};

const OUT: [&str; 8] = [
    "udp/192.0.2.2/53/4000",
    "udp/2001:db8::2/53/4000",
    "mptcp/192.0.2.2/8000",
    "mptcp/2001:db8::2/8000",
    "tcp/::ffff:192.0.2.2/8000",
    "udp/::ffff:192.0.2.2/53",
    "ping/192.0.2.2",
    "ping/2001:db8::2",
];
const LISTENERS: [&str; 4] = ["tcp/0.0.0.0/8000", "tcp/::/8000", "udp/0.0.0.0/53", "udp/::/53"];

#[test]
fn fragments_multipath_and_mapped_addresses_are_refused() {
    let Some(world) = World::with("{}") else { return };
    let _remote = world.serve(Who::Remote, &LISTENERS);
    world.open(Who::Human, &OUT);
    world.refused(Who::Agent, &OUT);
    world.set_up("{allow: [{cidr: 192.0.2.0/24}, {cidr: '2001:db8::/64'}]}");
    world.open(Who::Agent, &OUT);
}

#[test]
fn nobody_is_shouted_to() {
    let Some(world) = World::with("{}") else { return };
    let everybody = [
        "shout/255.255.255.255/53",
        "shout/192.0.2.255/53",
        "shout/224.0.0.251/5353",
        "shout/ff02::fb%wg0/5353",
        "shout/127.255.255.255/53",
        "shout/ff02::fb%lo/5353",
    ];
    world.all(Who::Human, "sent", &everybody[..5]);
    world.all(Who::Agent, "EPERM", &everybody);
}

#[test]
fn the_first_packet_carries_nothing_out() {
    let Some(world) = World::with("{}") else { return };
    world.remote.set("net.ipv4.tcp_fastopen", "3");
    let remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000/16/fast"]);
    world.probe(Who::Agent, &["fastopen/192.0.2.2/8000"]);
    assert!(!remote.lines().iter().any(|line| line.starts_with("accepted")), "{:?}", remote.lines());
    world.probe(Who::Human, &["fastopen/192.0.2.2/8000"]);
    remote.wait_for("data");
}

#[test]
fn sctp_and_raw_sockets_are_refused() {
    const RAW: &str = "
import errno, socket
for family, kind, protocol in ((2, socket.SOCK_RAW, 255), (10, socket.SOCK_RAW, 58), (socket.AF_PACKET, socket.SOCK_RAW, 0)):
    try:
        socket.socket(family, kind, protocol)
        print('made')
    except OSError as error:
        print(errno.errorcode[error.errno])
";
    let Some(world) = World::with("{}") else { return };
    // In a session seccomp has no such sockets at all; the account has no right to them either.
    let answers = world.run(Who::Agent, &["/usr/bin/python3", "-c", RAW]).ok();
    assert_eq!(answers, "EAFNOSUPPORT\nEPERM\nEAFNOSUPPORT\n");
    assert_eq!(world.run(Who::Uid, &["/usr/bin/python3", "-c", RAW]).ok(), "EPERM\nEPERM\nEPERM\n");
    assert_eq!(world.run(Who::Root, &["/usr/bin/python3", "-c", RAW]).ok(), "made\nmade\nmade\n");
    assert_eq!(world.probe(Who::Agent, &["sctp/192.0.2.2/8000"]), ["EAFNOSUPPORT"]);
    let sctp = world.probe(Who::Uid, &["sctp/192.0.2.2/8000"]).remove(0);
    assert!(["EPROTONOSUPPORT", "EPERM", "ECONNREFUSED"].contains(&sctp.as_str()), "{sctp}");
}
