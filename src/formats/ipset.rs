//! Sets of ipset(8): the names that the rules use, the input of `ipset restore`, and what `ipset save` prints.
//!
//! A set's name tells its content, so that a changed policy makes other sets: the rules in force keep theirs until the
//! transaction that replaces them, and every packet meets either the old policy or the new one. Filling goes through a
//! second set that is swapped in, so that one which somebody emptied is never seen half full.

use super::digest::fnv1a;
use crate::model::{
    Family, PortSet, Protocol, Uid,
    desired::{Destinations, Firewall, Names},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{collections::BTreeSet, fmt::Write, net::IpAddr};

/// One set with its elements in the form in which `ipset save` prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name, at most 31 bytes with the `_new` of the one that is filled.
    pub name: String,
    kind: String,
    /// Its elements.
    pub elements: BTreeSet<String>,
}

impl Set {
    /// Whether the DNS gate fills it: then its elements say nothing of the policy.
    pub fn holds_answers(&self) -> bool {
        self.kind.starts_with("hash:ip ")
    }
}

/// The part that a list of destinations plays: it is in the set's name.
#[derive(Clone, Copy)]
pub enum Role {
    /// Refused before anything else.
    Deny,
    /// Let out.
    Allow,
}

/// The set of one list of destinations in one family, none where it has no network of it.
pub fn net_set(uid: Uid, role: Role, to: &Destinations, family: Family) -> Option<Set> {
    let elements: BTreeSet<_> = to.of(family).flat_map(|net| halves(*net)).map(|net| element(&net)).collect();
    let role = match role {
        Role::Deny => 'x',
        Role::Allow => 'a',
    };
    let (inet, suffix) = match family {
        Family::V4 => ("inet", "v4"),
        Family::V6 => ("inet6", "v6"),
    };
    let kind = format!("hash:net family {inet} maxelem {}", elements.len().max(65_536));
    named(|digest| format!("au{uid}{role}{digest}{suffix}"), kind, elements)
}

/// The addresses that the DNS gate answered for one list of names, in one family: `hash:ip` with a timeout for ipset(8), and
/// a set of the same name in the agent's table of nftables. The gate alone fills them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerSet {
    /// Its name, made from the uid, the names and the ports.
    pub name: String,
    /// The family of its addresses.
    pub family: Family,
    /// Which of [`Firewall::names`] it serves.
    pub index: usize,
}

/// The sets of answers of one agent, both families for each list of names.
pub fn answer_sets(firewall: &Firewall) -> Vec<AnswerSet> {
    let of = |(index, to): (usize, &Names)| {
        let content = std::iter::once(to.ports.to_string()).chain(to.names.iter().cloned()).collect();
        let digest = digest(&content);
        let uid = firewall.uid;
        [(Family::V4, "v4"), (Family::V6, "v6")].map(|(family, suffix)| AnswerSet {
            name: format!("au{uid}d{digest}{suffix}"),
            family,
            index,
        })
    };
    firewall.names.iter().enumerate().flat_map(of).collect()
}

/// The set of loopback ports of one protocol, none where there are none.
pub fn port_set(uid: Uid, ports: &PortSet, protocol: Protocol) -> Option<Set> {
    let elements = ports.of(protocol).flat_map(|r| r.first..=r.last).map(|port| port.to_string()).collect();
    named(|digest| format!("au{uid}{protocol}{digest}"), "bitmap:port range 0-65535".into(), elements)
}

fn named(name: impl Fn(&str) -> String, kind: String, elements: BTreeSet<String>) -> Option<Set> {
    (!elements.is_empty()).then(|| Set { name: name(&digest(&elements)), kind, elements })
}

/// Twelve hexadecimal digits of the content, which is what fits in a name.
fn digest(elements: &BTreeSet<String>) -> String {
    format!("{:012x}", fnv1a(elements.iter().flat_map(|element| element.bytes().chain([b'\n']))) >> 16)
}

/// All sets of one agent. Lists with the same networks share one.
pub fn sets(firewall: &Firewall) -> Vec<Set> {
    let mut all: Vec<Set> = Vec::new();
    for (role, lists) in [(Role::Deny, &firewall.deny), (Role::Allow, &firewall.allow)] {
        for to in lists {
            let families = Family::BOTH.into_iter();
            all.extend(families.filter_map(|family| net_set(firewall.uid, role, to, family)));
        }
    }
    let protocols = [Protocol::Tcp, Protocol::Udp].into_iter();
    all.extend(protocols.filter_map(|protocol| port_set(firewall.uid, &firewall.loopback, protocol)));
    all.extend(answer_sets(firewall).into_iter().map(|set| {
        let inet = if set.family == Family::V4 { "inet" } else { "inet6" };
        let kind = format!("hash:ip family {inet} maxelem 65536 timeout 300");
        Set { name: set.name, kind, elements: BTreeSet::new() }
    }));
    let mut names = BTreeSet::new();
    all.retain(|set| names.insert(set.name.clone()));
    all
}

/// `hash:net` takes no `/0`: it is written as its two halves.
fn halves(net: IpNet) -> Vec<IpNet> {
    match net {
        IpNet::V4(all) if all.prefix_len() == 0 => {
            all.subnets(1).map(|nets: ipnet::Ipv4Subnets| nets.map(IpNet::V4).collect()).unwrap_or_default()
        }
        IpNet::V6(all) if all.prefix_len() == 0 => {
            all.subnets(1).map(|nets: ipnet::Ipv6Subnets| nets.map(IpNet::V6).collect()).unwrap_or_default()
        }
        other => vec![other],
    }
}

/// A network as `ipset save` prints it: a single address without its length.
fn element(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// The input of `ipset restore` that puts these sets in force: one process, however many elements.
pub fn render(sets: &[Set]) -> String {
    let mut text = String::new();
    for set in sets {
        let Set { name, kind, elements } = set;
        let _ = writeln!(text, "create {name} {kind} -exist");
        if set.holds_answers() {
            continue;
        }
        let _ = writeln!(text, "create {name}_new {kind}");
        for element in elements {
            let _ = writeln!(text, "add {name}_new {element}");
        }
        let _ = writeln!(text, "swap {name} {name}_new\ndestroy {name}_new");
    }
    text
}

/// The input of `ipset restore` that puts answers of the DNS gate into their sets: set, address, seconds.
pub fn render_answers(answers: &[(String, IpAddr, u32)]) -> String {
    let mut text = String::new();
    for (set, address, seconds) in answers {
        let _ = writeln!(text, "add {set} {address} timeout {seconds} -exist");
    }
    text
}

/// The sets of one agent in the output of `ipset save`, with their elements.
pub fn parse(saved: &str, uid: Uid) -> Vec<(String, BTreeSet<String>)> {
    let prefix = format!("au{uid}");
    let ours = |name: &str| {
        name.strip_prefix(&prefix).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let mut sets: Vec<(String, BTreeSet<String>)> = Vec::new();
    for line in saved.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("create"), Some(name), _) if ours(name) => sets.push((name.to_owned(), BTreeSet::new())),
            (Some("add"), Some(name), Some(element)) if ours(name) => {
                if let Some((last, elements)) = sets.last_mut()
                    && last == name
                {
                    elements.insert(element_of(element));
                }
            }
            _ => {}
        }
    }
    sets
}

/// An element in the spelling of [`element`], whatever the version of ipset prints.
fn element_of(text: &str) -> String {
    let v4 = text.parse::<Ipv4Net>().map(IpNet::V4);
    let net = v4.or_else(|_| text.parse::<Ipv6Net>().map(IpNet::V6));
    net.map_or_else(|_| text.to_owned(), |net| element(&net))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_whole_internet_is_two_halves() {
        let set = |text: &str, family| {
            let to = Destinations { ports: None, nets: vec![text.parse().unwrap()] };
            net_set(Uid(99), Role::Allow, &to, family).unwrap()
        };
        let (four, six) = (set("0.0.0.0/0", Family::V4), set("::/0", Family::V6));
        assert_eq!(four.elements, ["0.0.0.0/1", "128.0.0.0/1"].map(String::from).into());
        assert_eq!(six.elements, ["::/1", "8000::/1"].map(String::from).into());
    }

    #[test]
    fn another_content_has_another_name_that_fits() {
        let name = |nets: &[&str], uid| {
            let nets = nets.iter().map(|net| net.parse().unwrap()).collect();
            net_set(Uid(uid), Role::Deny, &Destinations { ports: None, nets }, Family::V4).unwrap().name
        };
        assert_eq!(name(&["10.0.0.0/8"], 9), name(&["10.0.0.0/8"], 9));
        assert_ne!(name(&["10.0.0.0/8"], 9), name(&["10.0.0.0/9"], 9));
        assert_ne!(name(&["10.0.0.0/8"], 9), name(&["10.0.0.0/8", "192.0.2.0/24"], 9));
        assert!((name(&["10.0.0.0/8"], u32::MAX) + "_new").len() <= 31);
    }

    proptest! {
        #[test]
        fn no_text_brings_the_reader_down(text: String, words in prop::collection::vec("(create|add|swap|au99x?|[0-9./:a-f]{1,12}|hash:net| |\n){1,6}", 0..30)) {
            let text = text + &words.join(" ");
            for (name, _) in parse(&text, Uid(99)) {
                prop_assert!(name.starts_with("au99"));
            }
        }

        /// What is put in is read back, for each network.
        #[test]
        fn elements_read_back(networks in prop::collection::btree_set((any::<u32>(), 1_u8..=32), 1..50)) {
            let nets: BTreeSet<IpNet> = networks
                .into_iter()
                .map(|(bits, length)| IpNet::V4(Ipv4Net::new(bits.into(), length).unwrap().trunc()))
                .collect();
            let to = Destinations { ports: None, nets: nets.into_iter().collect() };
            let set = net_set(Uid(9), Role::Allow, &to, Family::V4).unwrap();
            let saved = render(std::slice::from_ref(&set)).replace("_new", "");
            prop_assert_eq!(&parse(&saved, Uid(9)).pop().unwrap().1, &set.elements);
        }
    }

    #[test]
    fn another_agents_sets_are_not_ours() {
        let saved = "create au99x0v4 hash:net family inet hashsize 1024 maxelem 65536\nadd au99x0v4 10.0.0.0/8\n\
                     create au997x0v4 hash:net family inet hashsize 1024 maxelem 65536\nadd au997x0v4 10.0.0.1\n";
        assert_eq!(parse(saved, Uid(99)), [("au99x0v4".into(), ["10.0.0.0/8".to_owned()].into())]);
        assert_eq!(parse(saved, Uid(9)), []);
    }
}
