//! The rendered chains are pinned by snapshots; that they read back as rendered is shown on text as iptables-save prints it.

use super::*;
use crate::model::{
    IdRange,
    desired::{Destinations, Names},
};
use proptest::prelude::*;

pub(crate) fn firewall() -> Firewall {
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let ports = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Firewall {
        uid: Uid(997),
        sub_uids: vec![IdRange { first: 100_000, last: 165_535 }],
        outbound_allowed: false,
        inbound: Inbound::Loopback,
        deny: vec![Destinations { ports: None, nets: nets(&["169.254.169.254/32", "fd00:ec2::254/128"]) }],
        allow: vec![
            Destinations { ports: None, nets: nets(&["203.0.113.0/24"]) },
            Destinations {
                ports: Some(ports(&["443", "53/udp"])),
                nets: nets(&["192.0.2.0/24", "2001:db8::/32"]),
            },
        ],
        loopback: ports(&["5432", "8000-8099", "53/udp"]),
        names: vec![],
        gate: None,
        generation: 0,
        resolvers: vec![],
        log: Log::None,
    }
}

/// The same with names, a gate and a log of everything.
pub(crate) fn by_name() -> Firewall {
    let names = |ports: &str, names: &[&str]| Names {
        ports: ports.split(' ').map(|port| port.parse().unwrap()).collect(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    Firewall {
        names: vec![
            names("443", &["*.example.net", "api.example.com"]),
            names("22 443/udp", &["git.example.com"]),
        ],
        gate: Some(1001),
        generation: 5,
        resolvers: vec!["192.0.2.53".parse().unwrap()],
        log: Log::All,
        ..firewall()
    }
}

#[test]
fn rendered_by_name() {
    insta::assert_snapshot!(render(&by_name(), Family::V6));
    insta::assert_snapshot!(crate::formats::nft::render(&by_name()));
}

#[test]
fn rendered_v4() {
    insta::assert_snapshot!(render(&firewall(), Family::V4));
}

#[test]
fn rendered_v6() {
    insta::assert_snapshot!(render(&firewall(), Family::V6));
}

#[test]
fn an_open_policy_still_guards_loopback() {
    let open = Firewall { outbound_allowed: true, inbound: Inbound::Any, allow: vec![], ..firewall() };
    let rules = parse(&render(&open, Family::V4), Uid(997)).rules;
    let place = |rule: &str| rules.iter().position(|r| *r == normal(rule)).unwrap();
    assert!(place("AU_997 -o lo -j AU_997_NO") < place("AU_997 -j ACCEPT"));
}

#[test]
fn order_of_options_does_not_count_but_their_words_do() {
    let a = "AU_1 -o lo -p tcp -m connmark ! --mark 0x1/0xff -m conntrack --ctdir REPLY -j ACCEPT";
    let b = "AU_1 -o lo -p tcp -m tcp -m conntrack --ctdir REPLY -m connmark ! --mark 0x1/0xff -j ACCEPT";
    assert_eq!(normal(a), normal(b));
    assert_ne!(normal(a), normal(&b.replace("! ", "")));
    assert_ne!(normal(a), normal(&b.replace("REPLY", "ORIGINAL")));
}

#[test]
fn reads_its_own_chains_among_others() {
    let text = "*filter\n:INPUT ACCEPT [1:2]\n:AU_997 - [0:0]\n:AU_9970 - [0:0]\n:AU_997_NO - [0:0]\n\
                -A OUTPUT -m owner --uid-owner 997 -j AU_997\n-A AU_9970 -j ACCEPT\n-A AU_997_NO -j DROP\n-A AU_997 -j AU_997_NO\nCOMMIT\n";
    let chains = parse(text, Uid(997));
    assert_eq!(chains.names, ["AU_997", "AU_997_NO"]);
    assert_eq!(chains.rules, [normal("AU_997 -j AU_997_NO"), normal("AU_997_NO -j DROP")]);
}

#[test]
fn port_lists_keep_to_the_limit_of_multiport() {
    let ranges = (0..20).map(|i| PortRange { protocol: Protocol::Tcp, first: 10 * i + 1, last: 10 * i + 2 });
    let lists = multiport(ranges);
    assert_eq!(lists.len(), 3);
    assert!(lists.iter().all(|list| list.split([',', ':']).count() <= 15));
}

proptest! {
    /// Lines of others, in whatever spelling, neither bring the reader down nor change what it finds of an agent.
    #[test]
    fn text_of_others_changes_nothing(
        lines: Vec<String>,
        rules in prop::collection::vec("(-A|-I|:|#|)[ ]?(OUTPUT|INPUT|AU_99|AU_9970|AU_x|)( [!-~]{1,8}){0,6}", 0..20),
        at in 0_usize..200,
    ) {
        let whole = render(&by_name(), Family::V4);
        let wanted = parse(&whole, Uid(997));
        let mut text: Vec<&str> = whole.lines().collect();
        let ours = |line: &str| line.contains("AU_997 ") || line.contains("AU_997_");
        let alien = |line: &&String| !line.lines().any(|line| ours(&format!("{line} ")));
        let place = at.min(text.len());
        text.splice(place..place, lines.iter().chain(&rules).filter(alien).map(String::as_str));
        let text = text.join("\n");
        prop_assert_eq!(parse(&text, Uid(997)), wanted);
        let _ = output(&text);
    }

    /// A line that is cut or garbled brings nothing down.
    #[test]
    fn garbled_text_brings_nothing_down(cut in 0_usize..8000, junk: String) {
        let mut text = render(&by_name(), Family::V6);
        let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.insert_str(cut, &junk);
        let chains = parse(&text, Uid(997));
        prop_assert!(chains.rules.iter().all(|rule| !rule.is_empty()));
        let _ = (parse(&junk, Uid(997)), output(&junk), normal(&junk));
    }
}
