//! A policy that changes under load, and rules of others beside ours.

use crate::support::sh;
use crate::world::{AGENT, PROGRAM, Who, World};

/// Sends without a pause to addresses that no policy lists and to such as each lists, until it is told to end; then tells what
/// went out and what was refused.
const LOOP: &str = "
import errno, signal, socket, time
end = time.monotonic() + 120
def stop(*_):
    global end
    end = 0
signal.signal(signal.SIGTERM, stop)
counts = dict.fromkeys(('blocked', 'leaked', 'passed', 'refused'), 0)
def udp(address):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        return s.sendto(b'x', (address, 53)) == 1
    except OSError as error:
        assert error.errno == errno.EPERM, error
        return False
def tcp(address):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
    s.setblocking(False)
    error = s.connect_ex((address, 8000))
    if error in (0, errno.EINPROGRESS):
        error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    # A reset that comes a moment after the connection is a refusal, too.
    assert error in (0, errno.ECONNREFUSED, errno.ECONNRESET), error
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    return error == 0
print('looping', flush=True)
while time.monotonic() < end:
    for send in (udp, tcp):
        for address in ('198.51.100.2', 'fd99::2'):
            counts['leaked' if send(address) else 'blocked'] += 1
        for address in ('192.0.2.2', '2001:db8::2'):
            counts['passed' if send(address) else 'refused'] += 1
print('counted', *(f'{name}={count}' for name, count in counts.items()), flush=True)
";

const POLICIES: [&str; 2] = [
    "{allow: [{cidr: 192.0.2.0/24}, {cidr: '2001:db8::/64'}, {cidr: 10.98.0.0/16, ports: [443]}, {loopback: [5432]}]}",
    "{allow: [{cidr: 192.0.2.0/24, ports: ['8000-8099', 53/udp]}, {cidr: '2001:db8::/32'}], deny: [{cidr: 10.98.7.0/24}]}",
];

const LISTENERS: [&str; 8] = [
    "tcp/198.51.100.2/8000",
    "tcp/fd99::2/8000",
    "udp/198.51.100.2/53",
    "udp/fd99::2/53",
    "tcp/192.0.2.2/8000",
    "tcp/2001:db8::2/8000",
    "udp/192.0.2.2/53",
    "udp/2001:db8::2/53",
];

#[test]
fn nothing_leaks_and_nothing_is_refused_while_the_policy_changes() {
    let Some(world) = World::with(POLICIES[0]) else { return };
    change_under_load(&world);
}

#[test]
fn nor_does_it_with_iptables_alone() {
    let Some(mut world) = World::take() else { return };
    world.hide("nft");
    world.set_up(POLICIES[0]);
    change_under_load(&world);
}

/// What nft made goes without it, or stays where it is in nobody's way.
#[test]
fn without_nft_the_first_belt_alone_goes_on() {
    let Some(mut world) = World::with("{}") else { return };
    let _remote = world.serve(Who::Remote, &LISTENERS);
    let mirror = |world: &World| world.host.sh("nft list tables").contains("inet agentuser_");
    assert!(mirror(&world));
    world.hide("nft");
    world.set_up(POLICIES[0]);
    assert!(!mirror(&world));
    world.agentuser(&["status"]).ok();
    world.open(Who::Human, &LISTENERS);
    world.refused(Who::Agent, &LISTENERS[..4]);
    world.open(Who::Agent, &LISTENERS[4..]);
    // What came with nft is remembered without it, and goes when it can.
    let tables = |world: &World| world.host.sh("nft list tables");
    assert!(tables(&world).contains("table ip filter"), "{}", tables(&world));
    world.show();
    world.run(Who::Root, &[PROGRAM, "--quiet", "--agent", AGENT, "teardown", "--yes"]).ok();
    assert_eq!(tables(&world), "");
    // Nor is nft needed to begin with.
    world.hide("nft");
    world.set_up(POLICIES[0]);
    world.refused(Who::Agent, &LISTENERS[..4]);
    world.show();
    world.run(Who::Root, &[PROGRAM, "--quiet", "--agent", AGENT, "teardown", "--yes"]).ok();
    assert_eq!(tables(&world), "");
}

fn change_under_load(world: &World) {
    let _remote = world.serve(Who::Remote, &LISTENERS);
    world.open(Who::Human, &LISTENERS);
    world.refused(Who::Agent, &LISTENERS[..4]);
    let looping = world.start(Who::Uid, &["/usr/bin/python3", "-c", LOOP]);
    looping.wait_for("looping");
    for round in 1..=20 {
        world.set_up(POLICIES[round % 2]);
    }
    sh(&format!("kill -TERM {}", looping.pid()));
    let counted = looping.wait_for("counted");
    eprintln!("{counted}");
    assert!(counted.contains("leaked=0 ") && counted.ends_with("refused=0"), "{counted}");
    for name in ["blocked=", "passed="] {
        let count = counted.split(' ').find_map(|word| word.strip_prefix(name)?.parse::<u64>().ok());
        assert!(count.unwrap() > 100, "{counted}");
    }
}

/// Rules of somebody else.
const FOREIGN: [&str; 17] = [
    "ipset create theirs hash:net family inet",
    "ipset add theirs 203.0.113.0/24",
    "ipset create au_not_ours hash:ip family inet6",
    "ipset add au_not_ours 2001:db8::9",
    "iptables -N THEIRS",
    "iptables -A THEIRS -m set --match-set theirs dst -j REJECT",
    "iptables -A OUTPUT -j THEIRS",
    "iptables -A OUTPUT -m owner --uid-owner 4242 -j DROP",
    "iptables -A INPUT -i wg0 -p tcp --dport 9999 -j DROP",
    "iptables -t nat -A OUTPUT -d 203.0.113.7 -j DNAT --to-destination 192.0.2.2",
    "iptables -t mangle -A POSTROUTING -j MARK --set-xmark 0x1/0xff",
    "ip6tables -N AU_LOOKALIKE",
    "ip6tables -A AU_LOOKALIKE -m set --match-set au_not_ours dst -j DROP",
    "ip6tables -A OUTPUT -j AU_LOOKALIKE",
    "nft add table inet theirs",
    "nft add chain inet theirs out { type filter hook output priority 5 ; }",
    "nft add rule inet theirs out ip daddr 203.0.113.9 drop",
];

const LISTINGS: [&str; 4] = ["iptables-save", "ip6tables-save", "ipset save", "nft --stateless list ruleset"];

/// What is there, without counters and times.
fn all_rules(world: &World) -> Vec<String> {
    let plain = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines =
            lines.map(|line| if line.starts_with(':') { line.split(" [").next().unwrap() } else { line });
        lines.collect::<Vec<_>>().join("\n")
    };
    LISTINGS.iter().map(|listing| plain(world.root(listing))).collect()
}

/// The parts of somebody else, out of what iptables and ipset print.
fn foreign(world: &World) -> Vec<String> {
    let (chain, set) = (format!("AU_{}", world.uid()), format!("au{}", world.uid()));
    let ours = |line: &&str| {
        let mut words = line.split([' ', ':']);
        !words.any(|word| word.starts_with(&chain) || word.starts_with(&set))
    };
    let of_iptables = |text: &String| text.lines().filter(ours).collect::<Vec<_>>().join("\n");
    let mut parts: Vec<String> = all_rules(world)[..3].iter().map(of_iptables).collect();
    parts.push(world.root("nft --stateless list table inet theirs"));
    parts
}

#[test]
fn rules_of_others_are_left_alone() {
    let Some(world) = World::take() else { return };
    for line in FOREIGN {
        world.root(line);
    }
    let before = all_rules(&world);
    world.set_up(POLICIES[0]);
    let theirs = foreign(&world);
    assert_eq!(theirs[..3], before[..3]);
    world.set_up(POLICIES[1]);
    assert_eq!(foreign(&world), theirs);
    world.root("iptables -I OUTPUT -o wg0 -j ACCEPT");
    world.root("iptables -D OUTPUT -o wg0 -j ACCEPT");
    world.set_up("{}");
    assert_eq!(foreign(&world), theirs);
    world.run(Who::Root, &[PROGRAM, "--agent", AGENT, "teardown", "--yes"]).ok();
    assert_eq!(all_rules(&world), before);
}
