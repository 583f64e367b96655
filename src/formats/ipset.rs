//! Sets of ipset(8): the names that the rules use, the input of `ipset restore`, and what `ipset save` prints.
//!
//! A set is never changed in place: a new one is filled beside it, swapped in and destroyed, so that every packet meets
//! either the old list or the new one.

use crate::model::{
    Family, PortSet, Protocol, Uid,
    desired::{Destinations, Firewall},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{collections::BTreeSet, fmt::Write};

/// One set with its elements in the form in which `ipset save` prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name, at most 31 bytes.
    pub name: String,
    kind: String,
    /// Its elements.
    pub elements: BTreeSet<String>,
}

/// The part that a list of destinations plays: it is in the set's name.
#[derive(Clone, Copy)]
pub enum Role {
    /// Refused before anything else.
    Deny,
    /// Let out.
    Allow,
}

/// The name of the set for one list of destinations.
pub fn name(uid: Uid, role: Role, index: usize, family: Family) -> String {
    let role = match role {
        Role::Deny => 'x',
        Role::Allow => 'a',
    };
    format!("au{uid}{role}{index}{}", suffix(family))
}

/// The name of the set of loopback ports of one protocol.
pub fn loopback_name(uid: Uid, protocol: Protocol) -> String {
    format!("au{uid}{protocol}")
}

fn suffix(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}

/// All sets of one agent.
pub fn sets(firewall: &Firewall) -> Vec<Set> {
    let lists = |role, lists: &[Destinations]| {
        let mut sets = Vec::new();
        for (index, to) in lists.iter().enumerate() {
            for family in Family::BOTH {
                let nets: Vec<_> = to.of(family).copied().collect();
                if !nets.is_empty() {
                    sets.push(net_set(name(firewall.uid, role, index, family), family, &nets));
                }
            }
        }
        sets
    };
    let mut all = lists(Role::Deny, &firewall.deny);
    all.extend(lists(Role::Allow, &firewall.allow));
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        all.extend(port_set(loopback_name(firewall.uid, protocol), &firewall.loopback, protocol));
    }
    all
}

fn net_set(name: String, family: Family, nets: &[IpNet]) -> Set {
    let elements: BTreeSet<_> = nets.iter().flat_map(|net| halves(*net)).map(|net| element(&net)).collect();
    let inet = if family == Family::V4 { "inet" } else { "inet6" };
    let room = elements.len().max(65_536);
    Set { name, kind: format!("hash:net family {inet} maxelem {room}"), elements }
}

fn port_set(name: String, ports: &PortSet, protocol: Protocol) -> Option<Set> {
    let elements: BTreeSet<_> =
        ports.of(protocol).flat_map(|r| r.first..=r.last).map(|port| port.to_string()).collect();
    (!elements.is_empty()).then(|| Set { name, kind: "bitmap:port range 0-65535".into(), elements })
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
    for Set { name, kind, elements } in sets {
        let _ = writeln!(text, "create {name} {kind} -exist");
        let _ = writeln!(text, "create {name}_new {kind}");
        for element in elements {
            let _ = writeln!(text, "add {name}_new {element}");
        }
        let _ = writeln!(text, "swap {name} {name}_new\ndestroy {name}_new");
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

    #[test]
    fn the_whole_internet_is_two_halves() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let set = net_set("s".into(), Family::V4, &[net("0.0.0.0/0")]);
        assert_eq!(set.elements, ["0.0.0.0/1", "128.0.0.0/1"].map(String::from).into());
        let set = net_set("s".into(), Family::V6, &[net("::/0")]);
        assert_eq!(set.elements, ["::/1", "8000::/1"].map(String::from).into());
    }

    #[test]
    fn another_agents_sets_are_not_ours() {
        let saved = "create au99x0v4 hash:net family inet hashsize 1024 maxelem 65536\nadd au99x0v4 10.0.0.0/8\n\
                     create au997x0v4 hash:net family inet hashsize 1024 maxelem 65536\nadd au997x0v4 10.0.0.1\n";
        assert_eq!(parse(saved, Uid(99)), [("au99x0v4".into(), ["10.0.0.0/8".to_owned()].into())]);
        assert_eq!(parse(saved, Uid(9)), []);
    }
}
