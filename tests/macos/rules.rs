//! The rules of pf for policies, whole; what each of them must be by the grammar; and what they come to, packet by packet.

use crate::grammar::{Anchor, Fate, Packet, parse};
use agentuser::{
    formats::{ipset, pf, seatbelt},
    model::{
        PortRange, PortSet, Protocol, Uid,
        desired::{Access, Destinations, Firewall, Inbound, Log, Names, SharedDir},
    },
    plan, policy,
};
use ipnet::IpNet;
use proptest::prelude::*;
use std::net::IpAddr;

const UID: u32 = 612;

/// Twelve policies, by what is particular about each.
const POLICIES: [(&str, &str); 12] = [
    ("closed", "{}"),
    ("one-port", "{allow: [{cidr: 192.0.2.0/24, ports: [443]}]}"),
    ("several-ports", "{allow: [{cidr: 192.0.2.0/24, ports: [22, 443, '8000-8099']}]}"),
    ("both-families", "{allow: [{cidr: 192.0.2.0/24, ports: [443]}, {cidr: '2001:db8::/32', ports: [443]}]}"),
    ("udp", "{allow: [{cidr: 198.51.100.0/24, ports: [53/udp, 443/udp, 443]}]}"),
    ("every-port", "{allow: [{cidr: 203.0.113.0/24}]}"),
    ("loopback", "{allow: [{loopback: [3000, 8080, '20000-29999', 53/udp]}]}"),
    (
        "denied",
        "{allow: [{cidr: 192.0.2.0/24}], deny: [{cidr: 192.0.2.7/32}, {cidr: 192.0.2.8/32, ports: [25]}]}",
    ),
    ("outbound-allowed", "{outbound: allow, deny: [{cidr: 198.51.100.0/24}]}"),
    ("no-callers", "{inbound: none, allow: [{loopback: [5432]}]}"),
    ("any-caller", "{inbound: any, log: none}"),
    ("logged", "{log: all, allow: [{cidr: 192.0.2.0/24, ports: [443]}, {loopback: [5432]}]}"),
];

fn firewall(network: &str) -> Firewall {
    let text = format!("version: 1\nagents:\n  agent:\n    human: ann\n    network: {network}\n");
    let policy = policy::parse(&text, "policy.yaml").unwrap();
    plan::firewall(Uid(UID), vec![], &policy.agents[&"agent".parse().unwrap()].network)
}

/// The same with a DNS gate, which answers for names at two lists of ports.
fn gated(network: &str) -> Firewall {
    let list = |ports: &[&str], names: &[&str]| Names {
        ports: ports.iter().map(|port| port.parse().unwrap()).collect(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let names = vec![
        list(&["443"], &["*.example.org", "api.example.com"]),
        list(&["22", "53/udp"], &["git.example.com"]),
    ];
    Firewall { gate: Some(1023), names, ..firewall(network) }
}

#[test]
fn of_twelve_policies() {
    for (name, network) in POLICIES {
        insta::assert_snapshot!(name, pf::render(&firewall(network)));
    }
}

#[test]
fn with_a_gate() {
    let closed = gated("{allow: [{cidr: 192.0.2.0/24}], deny: [{cidr: 192.0.2.7/32}]}");
    insta::assert_snapshot!("gate", pf::render(&closed));
    let set = ipset::answer_sets(&closed)[1].name.clone();
    let answered: Vec<_> =
        ["2001:db8::1", "2001:db8::2"].map(|address| (set.clone(), address.parse().unwrap())).into();
    insta::assert_snapshot!("gate-with-answers", pf::render_with(&closed, &answered));
    insta::assert_snapshot!("gate-outbound-allowed", pf::render(&gated("{outbound: allow, log: all}")));
    for firewall in [closed, gated("{outbound: allow, log: all}")] {
        assert_form(&firewall, &pf::render(&firewall));
    }
}

/// Port 53 is no way out of a machine whose agent has a gate, whatever else is open; without one it is as the policy says.
#[test]
fn port_53_leads_to_the_gate_alone() {
    let network = "{outbound: allow, allow: [{loopback: [53, 53/udp]}]}";
    let fate = |firewall: &Firewall, on, proto, to: &str, user| {
        let packet = Packet { out: true, on, proto, to: to.parse().unwrap(), port: 53, user };
        parse(&pf::render(firewall)).unwrap().fate(&packet)
    };
    for proto in ["tcp", "udp"] {
        for (on, v4, v6) in [("en0", "192.0.2.53", "2001:db8::53"), ("lo0", "127.0.0.1", "::1")] {
            assert_eq!(fate(&gated(network), on, proto, v4, UID), Fate::Turned(1023));
            assert_eq!(fate(&gated(network), on, proto, v6, UID), Fate::Refused);
            assert_eq!(
                fate(&gated(network), on, proto, v4, 501),
                Fate::Through,
                "the human's is the human's"
            );
            assert_eq!(fate(&firewall(network), on, proto, v4, UID), Fate::Through);
            // Where the main ruleset asks nobody for translation any more, no resolver of the machine is reached.
            let mut anchor = parse(&pf::render(&gated(network))).unwrap();
            anchor.turns.clear();
            let packet = |user| Packet { out: true, on, proto, to: v4.parse().unwrap(), port: 53, user };
            assert_eq!(anchor.fate(&packet(UID)), Fate::Refused);
            assert_eq!(anchor.fate(&packet(501)), Fate::Through);
        }
    }
}

/// The rules of `iptables/example/policy.yaml`, and a profile for two projects, whole, as the project's `pf/example` shows them.
#[test]
fn the_examples_are_current() {
    let policy = policy::parse(include_str!("../../iptables/example/policy.yaml"), "policy.yaml").unwrap();
    let firewall = plan::firewall(Uid(UID), vec![], &policy.agents[&"agent".parse().unwrap()].network);
    let shared = |path: &str, access| SharedDir { path: path.parse().unwrap(), access, deploy_key: None };
    let projects =
        [shared("/Users/ann/src/shop", Access::ReadWrite), shared("/Users/ann/src/docs", Access::ReadOnly)];
    for (path, text) in [
        ("pf/example/agentuser.anchor", pf::render(&firewall)),
        ("pf/example/agentuser.sb", seatbelt::agent(&projects)),
    ] {
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap_or_default(),
            text,
            "UPDATE_EXAMPLES=1 writes {path}"
        );
    }
}

/// What section 3 of the notes on macOS demands of every text, beside what the strict reader refuses by itself.
fn assert_form(firewall: &Firewall, text: &str) -> Anchor {
    let anchor = parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let code = || text.lines().map(|line| line.split('#').next().unwrap_or_default());
    for word in ["@", "set ", "skip", "flags", "icmp", "anchor", "label"] {
        assert!(code().all(|line| !line.contains(word)), "{word}\n{text}");
    }
    let tag = pf::tag(firewall.uid);
    for rule in &anchor.rules {
        let by_tag = rule.user.is_none() && rule.tagged.as_ref() == Some(&tag);
        assert!(by_tag || rule.user == Some(firewall.uid.0), "no rule is about anybody else: {rule:?}");
        assert!(!(rule.pass && rule.quick), "a quick pass would lead around a VPN's block: {rule:?}");
        assert_eq!(rule.pass, rule.keep_state, "{rule:?}");
        assert_eq!(rule.tag.as_ref(), (rule.pass && rule.out).then_some(&tag), "{rule:?}");
        assert!(rule.pass || rule.quick, "a block that is not quick could be passed later: {rule:?}");
    }
    for rule in anchor.rules.iter().filter(|rule| rule.v6.is_some() || rule.route_to.is_some()) {
        assert_eq!((&rule.ports[..], &rule.to), (&[(53, 53)][..], &None), "of a gate: {rule:?}");
    }
    assert_eq!(anchor.turns.len(), usize::from(firewall.gate.is_some()));
    for turn in &anchor.turns {
        assert_eq!((turn.on.as_str(), &turn.tagged), ("lo0", &tag), "nobody else's is turned");
        assert_eq!((turn.to.0.is_loopback(), Some(turn.to.1)), (true, firewall.gate));
    }
    let components = pf::anchor(firewall.uid);
    assert!(components.split('/').all(|component| component.len() < 64), "{components}");
    assert_eq!(components.split('/').count(), 2, "a direct child of com.apple");
    assert!(tag.len() < 64);
    anchor
}

#[test]
fn the_twelve_keep_to_the_grammar() {
    for (_, network) in POLICIES {
        let firewall = firewall(network);
        assert_form(&firewall, &pf::render(&firewall));
    }
}

/// The reader that the texts are held against refuses what macOS refuses.
#[test]
fn what_the_grammar_refuses() {
    let good = "pass out on lo0 proto tcp from any to any port 80 user 612 keep state tag AU612";
    parse(good).unwrap();
    for bad in [
        "pass out on lo0 user 612 proto tcp from any to any keep state",
        "pass out on lo0 proto tcp from any to any user 612 port 80 keep state",
        "pass out proto icmp from any to any user 612",
        "pass out proto udp from any to any user 612 flags S/SA keep state",
        "pass out proto tcp from any to any port 80-90 user 612",
        "pass out proto tcp from any to <none> user 612",
        "set skip on lo0",
        "pass out route-to (lo0 127.0.0.1) proto tcp from any to any port 53 user 612 keep state",
        "pass out inet route-to (lo0 127.0.0.1) proto tcp from any to any port 53 user 612 keep state",
        "rdr pass on lo0 inet proto tcp from any to any port 53 user 612 -> 127.0.0.1 port 1023",
        "rdr pass on lo0 inet proto tcp from any to any port 53 tagged AU612 -> ::1 port 1023",
        "pass out proto tcp from any to any user 612 keep state\nrdr pass on lo0 inet proto tcp from any to any port 53 \
         tagged AU612 -> 127.0.0.1 port 1023",
        "pass out proto tcp from any to any user ann",
        "table <a> persist { example.com }",
        &format!("table <{}> persist", "a".repeat(32)),
        &format!("pass out proto tcp from any to any user 612 keep state tag {}", "a".repeat(64)),
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

fn port_set() -> impl Strategy<Value = PortSet> {
    let range = (any::<bool>(), 1..=u16::MAX, 0..2000_u16).prop_map(|(udp, first, more)| PortRange {
        protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
        first,
        last: first.saturating_add(more),
    });
    proptest::collection::vec(range, 1..4).prop_map(PortSet::from)
}

fn net() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<[u8; 4]>(), 8..=32_u8).prop_map(|(a, len)| IpNet::new(a.into(), len).unwrap().trunc());
    let v6 = (any::<[u8; 16]>(), 8..=128_u8).prop_map(|(a, len)| IpNet::new(a.into(), len).unwrap().trunc());
    prop_oneof![v4, v6]
}

fn destinations() -> impl Strategy<Value = Vec<Destinations>> {
    let one = (proptest::option::of(port_set()), proptest::collection::vec(net(), 0..4));
    proptest::collection::vec(one.prop_map(|(ports, nets)| Destinations { ports, nets }), 0..4)
}

fn any_names() -> impl Strategy<Value = (Option<u16>, Vec<Names>)> {
    let names = proptest::collection::btree_set("[a-z]{1,9}\\.example", 1..3);
    let list =
        (port_set(), names).prop_map(|(ports, names)| Names { ports, names: names.into_iter().collect() });
    let lists = proptest::collection::vec(list, 0..3);
    prop_oneof![Just((None, vec![])), (600..1024_u16, lists).prop_map(|(port, names)| (Some(port), names))]
}

fn any_firewall() -> impl Strategy<Value = Firewall> {
    let choices = (any::<bool>(), 0..3_usize, 0..3_usize, 500..u32::MAX);
    let lists = (destinations(), destinations(), proptest::option::of(port_set()));
    let resolvers = proptest::collection::vec(net().prop_map(|net| net.addr()), 0..3);
    (choices, lists, resolvers, any_names()).prop_map(
        |((outbound_allowed, inbound, log, uid), (deny, allow, loopback), resolvers, (gate, names))| {
            Firewall {
                outbound_allowed,
                gate,
                names,
                inbound: [Inbound::None, Inbound::Loopback, Inbound::Any][inbound],
                deny,
                allow,
                loopback: loopback.unwrap_or_default(),
                resolvers,
                log: [Log::None, Log::Blocked, Log::All][log],
                ..plan::firewall(Uid(uid), vec![], &policy::Network::default())
            }
        },
    )
}

fn includes(set: Option<&PortSet>, protocol: Protocol, port: u16) -> bool {
    set.is_none_or(|set| set.of(protocol).any(|range| (range.first..=range.last).contains(&port)))
}

/// What the policy says of a packet on its way out, written down without a thought of pf. `answered` has the list of names.
fn may_leave(
    firewall: &Firewall,
    answered: Option<(usize, IpAddr)>,
    on: &str,
    protocol: Protocol,
    to: IpAddr,
    port: u16,
) -> Fate {
    let listed = |list: &[Destinations]| {
        list.iter()
            .any(|d| includes(d.ports.as_ref(), protocol, port) && d.nets.iter().any(|net| net.contains(&to)))
    };
    if listed(&firewall.deny) {
        return Fate::Refused;
    }
    if let (53, Some(gate)) = (port, firewall.gate) {
        return if to.is_ipv4() { Fate::Turned(gate) } else { Fate::Refused };
    }
    let by_name = || {
        answered.is_some_and(|(at, address)| {
            address == to && includes(Some(&firewall.names[at].ports), protocol, port)
        })
    };
    let through = if on == "lo0" {
        includes(Some(&firewall.loopback), protocol, port)
    } else {
        firewall.outbound_allowed
            || listed(&firewall.allow)
            || (port == 53 && firewall.resolvers.contains(&to))
            || by_name()
    };
    if through { Fate::Through } else { Fate::Refused }
}

fn may_call(firewall: &Firewall, on: &str) -> bool {
    match firewall.inbound {
        Inbound::None => false,
        Inbound::Loopback => on == "lo0",
        Inbound::Any => true,
    }
}

proptest! {
    #[test]
    fn every_text_keeps_to_the_grammar(firewall in any_firewall()) {
        assert_form(&firewall, &pf::render(&firewall));
    }

    /// Destinations are drawn from the lists, so that packets that match are not rare.
    #[test]
    fn the_rules_say_what_the_policy_says(
        firewall in any_firewall(),
        (out, lo0, udp, other) in any::<(bool, bool, bool, bool)>(),
        (which, elsewhere, port) in (any::<proptest::sample::Index>(), net(), 1..=u16::MAX),
    ) {
        // One of the lists of names has one address.
        let lists = firewall.names.len();
        let answered = (lists > 0).then(|| (which.index(lists), elsewhere.addr()));
        let sets = ipset::answer_sets(&firewall);
        let set = answered.and_then(|(at, address)| {
            let set = sets.iter().filter(|set| set.index == at).nth(usize::from(address.is_ipv6()))?;
            Some((set.name.clone(), address))
        });
        let anchor = parse(&pf::render_with(&firewall, set.as_slice())).unwrap();
        let lists = firewall.deny.iter().chain(&firewall.allow);
        let mut to: Vec<IpAddr> = lists.clone().flat_map(|list| &list.nets).map(IpNet::addr).collect();
        to.extend(&firewall.resolvers);
        to.push(elsewhere.addr());
        let names = firewall.names.iter().map(|list| &list.ports);
        let sets = lists.filter_map(|list| list.ports.as_ref()).chain([&firewall.loopback]).chain(names);
        let mut ports: Vec<u16> = sets.flat_map(PortSet::ranges).map(|range| range.last).collect();
        ports.extend([53, port]);
        let (to, port) = (to[which.index(to.len())], ports[which.index(ports.len())]);
        let on = if lo0 { "lo0" } else { "en0" };
        let (protocol, proto) = if udp { (Protocol::Udp, "udp") } else { (Protocol::Tcp, "tcp") };
        let user = if other { firewall.uid.0 - 1 } else { firewall.uid.0 };
        let fate = anchor.fate(&Packet { out, on, proto, to, port, user });
        let wanted = match (other, out) {
            (true, _) => Fate::Through,
            (_, true) => may_leave(&firewall, answered, on, protocol, to, port),
            _ if may_call(&firewall, on) => Fate::Through,
            _ => Fate::Refused,
        };
        prop_assert_eq!(fate, wanted);
    }
}
