//! Which rule decides about one destination, and the command that changes it.
//!
//! The order is that of the rules in the kernel: what is denied, then what is let out, then the default.

use super::{
    expand::{Expansion, Opened, What},
    place::{Host, Place},
};
use crate::{
    model::{PortSet, Protocol, desired::Firewall},
    policy::{Dns, DomainName, Network, Outbound},
};
use ipnet::IpNet;
use serde::Serialize;
use std::net::IpAddr;

/// What becomes of a connection to a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The place, as it was understood.
    pub place: String,
    /// Whether it is open.
    pub open: bool,
    /// The rule that decides, in words.
    pub rule: String,
    /// Where the rule comes from: an entry of the policy, or a default.
    pub because: String,
    /// The command that changes it, if there is one.
    pub change: Option<String>,
    /// What else a person should know.
    pub notes: Vec<String>,
}

/// Judges a place by the policy, what it came to, and the rules.
pub fn verdict(network: &Network, found: &Expansion, firewall: &Firewall, place: &Place) -> Verdict {
    let judge = Judge { network, found, firewall, place };
    match &place.host {
        Host::Loopback => judge.loopback(),
        Host::Address(address) => judge.address(*address),
        Host::Name(name) => judge.name(name),
    }
}

/// Whether a name is one that an entry names, or lies below one with `*.`.
pub fn covers(entry: &DomainName, name: &DomainName) -> bool {
    if !entry.is_wildcard() {
        return entry == name;
    }
    name.as_str().strip_suffix(entry.base()).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
}

fn has(ports: Option<&PortSet>, protocol: Protocol, port: u16) -> bool {
    ports.is_none_or(|set| set.of(protocol).any(|range| (range.first..=range.last).contains(&port)))
}

struct Judge<'a> {
    network: &'a Network,
    found: &'a Expansion,
    firewall: &'a Firewall,
    place: &'a Place,
}

impl Judge<'_> {
    fn say(&self, open: bool, rule: impl Into<String>, because: impl Into<String>) -> Verdict {
        Verdict {
            place: self.place.to_string(),
            open,
            rule: rule.into(),
            because: because.into(),
            change: None,
            notes: vec![],
        }
    }

    fn entry(&self, opened: &Opened) -> String {
        let entry = self.network.allow.get(opened.entry).map(ToString::to_string).unwrap_or_default();
        match &opened.from {
            super::expand::Origin::Policy => format!("`{entry}`"),
            from => format!("`{entry}`: {from}"),
        }
    }

    /// The command that takes the entry of something open away.
    fn close(&self, opened: &Opened) -> Option<String> {
        self.network
            .allow
            .get(opened.entry)
            .map(|entry| format!("agentuser net deny {}", quoted(&entry.target())))
    }

    fn port(&self) -> String {
        let Place { port, protocol, .. } = self.place;
        if *protocol == Protocol::Udp { format!("{port}/udp") } else { port.to_string() }
    }

    fn has_port(&self, ports: Option<&PortSet>) -> bool {
        has(ports, self.place.protocol, self.place.port)
    }

    fn loopback(&self) -> Verdict {
        let mut listed = self.found.opened.iter().filter(|opened| opened.what == What::Loopback);
        if let Some(opened) = listed.find(|opened| self.has_port(opened.ports.as_ref())) {
            let rule = "a service of any account on this port of loopback is open";
            return Verdict { change: self.close(opened), ..self.say(true, rule, self.entry(opened)) };
        }
        let rule =
            "on loopback the agent reaches its own servers and listed ports, and this port is not listed";
        let change = Some(format!("agentuser net allow loopback:{}", self.port()));
        let mut verdict = Verdict { change, ..self.say(false, rule, "the default for loopback") };
        verdict.notes.push("a server of the agent's own on this port is open to it".into());
        verdict
    }

    fn address(&self, address: IpAddr) -> Verdict {
        let holds = |net: &IpNet| net.contains(&address);
        let denied = |deny: &&crate::policy::Deny| holds(&deny.net) && self.has_port(deny.ports.as_ref());
        if let Some(deny) = self.network.deny.iter().find(denied) {
            let change = Some(format!("agentuser net allow {}", deny.target()));
            let rule = "this network is refused before anything else is asked";
            return Verdict { change, ..self.say(false, rule, format!("`deny`: `{deny}`")) };
        }
        let ours = |to: &crate::model::desired::Destinations| {
            to.nets.iter().any(holds) && self.has_port(to.ports.as_ref())
        };
        if self.firewall.deny.iter().any(ours) {
            let rule = "clouds give out the machine's credentials here: refused whatever a policy says";
            return self.say(false, rule, "built in");
        }
        let opens = |opened: &&Opened| {
            matches!(&opened.what, What::Nets(nets) if nets.iter().any(holds))
                && self.has_port(opened.ports.as_ref())
        };
        if let Some(opened) = self.found.opened.iter().find(opens) {
            let rule = "a network that holds it is let out on this port";
            return Verdict { change: self.close(opened), ..self.say(true, rule, self.entry(opened)) };
        }
        let one = IpNet::from(address);
        if self.place.port == 53 && self.firewall.resolvers.contains(&address) {
            return self.say(true, "a resolver of this machine is open", "`dns: system`");
        }
        if self.network.outbound == Outbound::Allow {
            let change = Some(format!("agentuser net deny {one}"));
            let rule = "what no rule names is let out";
            return Verdict { change, ..self.say(true, rule, "`outbound: allow`") };
        }
        let change = Some(format!("agentuser net allow {}", with_port(&one.to_string(), &self.port())));
        let mut verdict = Verdict {
            change,
            ..self.say(false, "no entry of `allow` lets it out on this port", "`outbound: deny`")
        };
        if self.found.opened.iter().any(|opened| matches!(opened.what, What::Name(_))) {
            let note = "while an allowed name resolves to this address, it is open on the name's ports";
            verdict.notes.push(note.into());
        }
        verdict
    }

    fn name(&self, name: &DomainName) -> Verdict {
        let allow = format!("agentuser net allow {name}:{}", self.port());
        if self.network.dns == Dns::None {
            let rule = "no name is resolved for the agent";
            let change = Some(format!("{allow} --dns gate"));
            return Verdict { change, ..self.say(false, rule, "`dns: none`") };
        }
        let opens = |opened: &Opened| match (&opened.what, &opened.from) {
            (What::Name(entry), _) => covers(entry, name),
            (What::Nets(nets), super::expand::Origin::Resolved(entry, _)) => {
                entry == name && !nets.is_empty()
            }
            _ => false,
        };
        let mut entries = self.found.opened.iter().filter(|opened| opens(opened));
        if let Some(opened) = entries.clone().find(|opened| self.has_port(opened.ports.as_ref())) {
            let rule = match self.network.dns {
                Dns::System => "the addresses that it had when it was last resolved are let out on this port",
                _ => "the gate answers for it, and lets its addresses out on this port",
            };
            return Verdict { change: self.close(opened), ..self.say(true, rule, self.entry(opened)) };
        }
        if self.network.outbound == Outbound::Allow {
            let rule = "what no rule names is let out, wherever the name leads";
            return self.say(true, rule, "`outbound: allow`");
        }
        let change = Some(allow);
        if let Some(opened) = entries.next() {
            let ports = opened.ports.as_ref().map(ToString::to_string).unwrap_or_default();
            let rule = format!("it is open on other ports only: {ports}");
            return Verdict { change, ..self.say(false, rule, self.entry(opened)) };
        }
        let rule = match self.network.dns {
            Dns::System => "it resolves, but no entry of `allow` opens its addresses by name",
            _ => "the gate refuses to resolve it: no entry of `allow` names it",
        };
        Verdict { change, ..self.say(false, rule, "`outbound: deny`") }
    }
}

/// A target as a shell takes it for one word.
pub fn quoted(target: &str) -> String {
    if target.contains('*') { format!("'{target}'") } else { target.into() }
}

/// A network and a port as `net allow` reads them.
fn with_port(net: &str, port: &str) -> String {
    format!("{net}:{port}")
}

#[cfg(test)]
mod tests;
