//! Reads what presets and names stand for: the newest good ranges, and what root keeps of an agent.
//!
//! A file that is not as we write it counts as not there: then less is open.

use super::{HostError, Observe, places};
use crate::{
    model::{
        AbsPath,
        catalog::{Addresses, Catalog, Publisher, ToolHosts, kept},
    },
    policy::{Agent, Allow, Policy},
    presets::{expand, listed, ranges},
};
use std::net::IpAddr;

/// The most resolvers that are asked (resolv.conf(5), `MAXNS`).
const MOST_RESOLVERS: usize = 3;

/// What the presets and names of a policy stand for.
pub fn catalog(policy: &Policy, machine: &dyn Observe) -> Result<Catalog, HostError> {
    let mut catalog = Catalog { beside_gate: super::RESOLVES_BESIDE_GATE, ..Catalog::default() };
    for publisher in used(policy) {
        let newest = ranges_of(publisher, machine)?;
        if let Some((ranges, fetched)) = newest {
            catalog.fetched.extend(fetched.then_some(publisher));
            catalog.ranges.insert(publisher, ranges);
        }
    }
    for (name, agent) in &policy.agents {
        let presets = agent.network.allow.iter().filter_map(|entry| match entry {
            Allow::Preset { name, .. } => listed::tool(*name).map(|_| name.as_str()),
            _ => None,
        });
        let presets: Vec<&str> = presets.collect();
        if !presets.is_empty() {
            let mut hosts: ToolHosts = keep(&places::hosts(name), machine)?.unwrap_or_default();
            hosts.retain(|preset, _| presets.contains(&preset.as_str()));
            catalog.hosts.insert(name.clone(), hosts);
        }
        if expand::resolves(&agent.network, &catalog) {
            let mut addresses: Addresses = keep(&places::addresses(name), machine)?.unwrap_or_default();
            let names = expand::to_resolve(&agent.network, name, &catalog);
            addresses.retain(|name, _| names.contains(name));
            catalog.addresses.insert(name.clone(), addresses);
            let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            catalog.resolvers = resolvers(&text);
        }
    }
    Ok(catalog)
}

/// The publishers whose ranges a policy opens.
pub fn used(policy: &Policy) -> Vec<Publisher> {
    let mut publishers: Vec<_> = policy.agents.values().flat_map(used_by).collect();
    publishers.sort_unstable();
    publishers.dedup();
    publishers
}

/// The publishers whose ranges an agent's policy opens.
pub fn used_by(agent: &Agent) -> Vec<Publisher> {
    let publishers = agent.network.allow.iter().filter_map(|entry| match entry {
        Allow::Preset { name, .. } => listed::listed(*name)?.ranges,
        _ => None,
    });
    publishers.collect()
}

/// The newest good ranges of a publisher, and whether they were fetched.
fn ranges_of(
    publisher: Publisher,
    machine: &dyn Observe,
) -> Result<Option<(crate::model::catalog::Ranges, bool)>, HostError> {
    let snapshot = ranges::snapshot(publisher);
    let file = machine.file(&places::ranges().join(&format!("{publisher}.json")))?;
    let fetched = file.and_then(|file| ranges::read(publisher, &file.bytes).ok());
    let newer = fetched.filter(|ranges| snapshot.as_ref().is_none_or(|old| ranges.date > old.date));
    Ok(newer.map(|ranges| (ranges, true)).or(snapshot.map(|ranges| (ranges, false))))
}

fn keep<T: serde::de::DeserializeOwned>(
    path: &AbsPath,
    machine: &dyn Observe,
) -> Result<Option<T>, HostError> {
    Ok(machine.file(path)?.and_then(|file| kept(&file.bytes)))
}

/// The addresses behind `nameserver` in the text of resolv.conf(5), without the zone of a link-local one.
fn resolvers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then_some(())?;
        words.next()?.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(address).take(MOST_RESOLVERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_of_the_system() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver 127.0.0.53\n nameserver fe80::1%eth0 \nnameserver x\n";
        let expected: [IpAddr; 2] = ["127.0.0.53".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(resolvers(text), expected);
    }
}
