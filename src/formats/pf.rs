//! Rules of pf(4) on macOS: the text that pfctl(8) loads into an agent's anchor.
//!
//! macOS has the grammar of OpenBSD 4.3 (pf.conf(5)). Within a rule the order is fixed: action, direction, log, quick,
//! interface, protocol, addresses and ports, user, state, tag.

use super::ipset;
use crate::model::{
    PortRange, PortSet, Protocol, Uid,
    desired::{Destinations, Firewall, Inbound, Log},
};
use ipnet::IpNet;
use std::net::IpAddr;

/// The anchor's text, as an administrator may read it in the project's `pf/` directory.
const SKELETON: &str = include_str!("../../pf/agentuser.anchor");

/// The call in the main ruleset of macOS that leads to every anchor just below `com.apple`, in the order of their names.
pub const CALL: &str = "com.apple/*";

/// Both protocols for which pf knows a user.
const BOTH: &str = "proto { tcp, udp }";

/// The anchor of an agent: ahead of Apple's own by its name, and kept when the main ruleset is loaded again.
pub fn anchor(uid: Uid) -> String {
    format!("com.apple/000.agentuser.{uid}")
}

/// The tag of a packet that a rule let out.
pub fn tag(uid: Uid) -> String {
    format!("AU{uid}")
}

/// A table of an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, at most 31 bytes.
    pub name: String,
    /// Its networks.
    pub nets: Vec<IpNet>,
}

/// An address that a gate answered, for a table.
pub type Answered = (String, IpAddr);

/// The tables of an agent whose content the policy says, in the order in which they stand.
pub fn tables(firewall: &Firewall) -> Vec<Table> {
    let numbered = |role: &'static str, all: &[Destinations]| -> Vec<Table> {
        let table = |(at, to): (usize, &Destinations)| Table { name: name(role, at), nets: to.nets.clone() };
        all.iter().enumerate().map(table).collect()
    };
    let mut tables = numbered("deny", &firewall.deny);
    tables.extend(numbered("allow", &firewall.allow));
    if !firewall.resolvers.is_empty() {
        let nets = firewall.resolvers.iter().copied().map(IpNet::from).collect();
        tables.push(Table { name: "resolvers".into(), nets });
    }
    tables
}

fn name(role: &str, at: usize) -> String {
    format!("{role}{at}")
}

/// The tables that the gate of an agent fills.
fn answer_tables<'a>(firewall: &'a Firewall, answered: &'a [Answered]) -> impl Iterator<Item = String> + 'a {
    ipset::answer_sets(firewall).into_iter().map(|set| {
        let of_it = answered.iter().filter(|(table, _)| *table == set.name);
        let addresses: Vec<_> = of_it.map(|(_, address)| address.to_string()).collect();
        // Without a list it would keep what it has over a load.
        let list = if addresses.is_empty() { String::new() } else { addresses.join(", ") + " " };
        format!("table <{}> persist {{ {list}}}", set.name)
    })
}

/// The whole text for one agent: tables and rules.
pub fn render(firewall: &Firewall) -> String {
    render_with(firewall, &[])
}

/// The same, with addresses that the gate answered and that live.
pub fn render_with(firewall: &Firewall, answered: &[Answered]) -> String {
    let log = if firewall.log == Log::None { "" } else { "log (user) " };
    let mut text = String::new();
    for line in SKELETON.lines() {
        match line {
            "@TABLES@" => {
                push(&mut text, tables(firewall).iter().map(table));
                push(&mut text, answer_tables(firewall, answered));
            }
            "@TURNED@" => push(&mut text, turned(firewall)),
            "@GATE@" => push(&mut text, gate(firewall)),
            "@DENY@" => push(&mut text, denied(firewall)),
            "@INBOUND@" => push(&mut text, inbound(firewall)),
            "@LOOPBACK@" => push(&mut text, loopback(firewall)),
            "@RESOLVERS@" => push(&mut text, resolvers(firewall)),
            "@ALLOW@" => push(&mut text, allowed(firewall)),
            "@CALLERS@" => push(&mut text, callers(firewall)),
            _ => push(&mut text, [line.to_owned()]),
        }
    }
    let passed = if firewall.log == Log::All { "log (user) " } else { "" };
    text.replace("@LOG_NO@", log)
        .replace("@LOG_OK@", passed)
        .replace("@TAG@", &tag(firewall.uid))
        .replace("@UID@", &firewall.uid.to_string())
}

fn push(text: &mut String, lines: impl IntoIterator<Item = String>) {
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
}

fn table(table: &Table) -> String {
    if table.nets.is_empty() {
        return format!("table <{}> persist", table.name);
    }
    let nets: Vec<_> = table.nets.iter().map(ToString::to_string).collect();
    format!("table <{}> persist {{ {} }}", table.name, nets.join(", "))
}

/// `port 443`, `port { 22, 443, 8000:8099 }`.
fn ports(ranges: &[PortRange]) -> String {
    let one = |range: &PortRange| {
        if range.first == range.last {
            range.first.to_string()
        } else {
            format!("{}:{}", range.first, range.last)
        }
    };
    match ranges {
        [only] => format!("port {}", one(only)),
        _ => format!("port {{ {} }}", ranges.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

/// Protocols and ports of a list, one rule each.
fn services(set: Option<&PortSet>) -> Vec<(String, String)> {
    let Some(set) = set else { return vec![(BOTH.into(), String::new())] };
    let of = |protocol| {
        let ranges: Vec<_> = set.of(protocol).collect();
        (!ranges.is_empty()).then(|| (format!("proto {protocol}"), format!(" {}", ports(&ranges))))
    };
    [Protocol::Tcp, Protocol::Udp].into_iter().filter_map(of).collect()
}

fn denied(firewall: &Firewall) -> Vec<String> {
    let rules = firewall.deny.iter().enumerate().flat_map(|(at, to)| {
        services(to.ports.as_ref()).into_iter().map(move |(proto, ports)| {
            let table = name("deny", at);
            format!("block return out @LOG_NO@quick {proto} from any to <{table}>{ports} user @UID@")
        })
    });
    // From the loopback address no answer reaches an address of the network over IPv6, so that nothing could be turned there.
    let v6 = firewall
        .gate
        .map(|_| format!("block return out @LOG_NO@quick inet6 {BOTH} from any to any port 53 user @UID@"));
    rules.chain(v6).collect()
}

/// The way from lo0 to the gate. A query that comes in there with the tag was let out by this agent's rules.
fn turned(firewall: &Firewall) -> Option<String> {
    let port = firewall.gate?;
    Some(format!("rdr pass on lo0 inet {BOTH} from any to any port 53 tagged @TAG@ -> 127.0.0.1 port {port}"))
}

/// Port 53 goes to lo0, from wherever it would leave, and where it is not turned there, nobody else answers it.
fn gate(firewall: &Firewall) -> Vec<String> {
    if firewall.gate.is_none() {
        return vec![];
    }
    let on = ["on lo0 inet", "on ! lo0 route-to (lo0 127.0.0.1) inet"];
    let mut rules: Vec<_> = on.map(|on| pass(on, BOTH, "any", " port 53")).into();
    // What is turned meets no rule of filtering any more. On its way in a packet has the user of who listens.
    rules.push(format!("block return in @LOG_NO@quick on lo0 {BOTH} from any to any port 53 tagged @TAG@"));
    rules
}

fn inbound(firewall: &Firewall) -> Option<String> {
    let on = match firewall.inbound {
        Inbound::None => return None,
        Inbound::Loopback => "on lo0 ",
        Inbound::Any => "",
    };
    Some(format!("pass in @LOG_OK@{on}{BOTH} from any to any user @UID@ keep state"))
}

fn loopback(firewall: &Firewall) -> Vec<String> {
    let set = Some(&firewall.loopback);
    let rules = services(set).into_iter().map(|(proto, ports)| pass("on lo0", &proto, "any", &ports));
    rules.collect()
}

fn resolvers(firewall: &Firewall) -> Option<String> {
    (!firewall.resolvers.is_empty()).then(|| pass("on ! lo0", BOTH, "<resolvers>", " port 53"))
}

fn allowed(firewall: &Firewall) -> Vec<String> {
    if firewall.outbound_allowed {
        return vec![pass("on ! lo0", BOTH, "any", "")];
    }
    let to = |table: String, ports: Option<&PortSet>| {
        let table = format!("<{table}>");
        let pass = move |(proto, ports): (String, String)| pass("on ! lo0", &proto, &table, &ports);
        services(ports).into_iter().map(pass)
    };
    let nets = firewall.allow.iter().enumerate();
    let nets = nets.flat_map(|(at, list)| to(name("allow", at), list.ports.as_ref()));
    let names = ipset::answer_sets(firewall).into_iter();
    let names = names.flat_map(|set| to(set.name, Some(&firewall.names[set.index].ports)));
    nets.chain(names).collect()
}

/// A rule that lets out, and says so with the tag.
fn pass(on: &str, proto: &str, to: &str, ports: &str) -> String {
    format!("pass out @LOG_OK@{on} {proto} from any to {to}{ports} user @UID@ keep state tag @TAG@")
}

/// Who may not call the agent. Whether a caller on loopback is the agent itself can't be told: `inbound: none` shuts out both.
fn callers(firewall: &Firewall) -> Option<String> {
    let on = match firewall.inbound {
        Inbound::None => "",
        Inbound::Loopback => "on ! lo0 ",
        Inbound::Any => return None,
    };
    Some(format!("block return in @LOG_NO@quick {on}{BOTH} from any to any user @UID@"))
}
