//! The network policy of an agent in numbers, and what its names need: a gate and a mark.

use super::DesireError;
use crate::{
    model::{
        AccountName, IdRange, Uid,
        desired::{Firewall, Inbound, Log},
        facts::{Facts, KnownAgent},
    },
    policy,
    presets::{Expansion, expand::grouped},
};
use std::{collections::BTreeSet, ops::RangeInclusive};

/// Addresses at which clouds give out credentials of the machine; refused whatever a policy allows.
const METADATA: [&str; 4] =
    ["169.254.169.254/32", "168.63.129.16/32", "100.100.100.200/32", "fd00:ec2::254/128"];

/// Ports for DNS gates: only root may listen there, so that no agent takes the place of its gate.
pub(super) const GATES: RangeInclusive<u16> = 600..=1023;

/// The port of an agent's DNS gate, where it has one: that which it had, or the highest below 1024 that nobody else has.
/// Agents of one policy that are new together are served in the order of their names.
pub(super) fn gate(
    policy: &policy::Policy,
    name: &AccountName,
    facts: &Facts,
) -> Result<Option<u16>, DesireError> {
    let had = |name: &AccountName| facts.agents.get(name)?.firewall.as_ref()?.gate;
    let of_others = facts.agents.keys().filter(|other| *other != name).filter_map(had);
    let mut taken: BTreeSet<u16> = of_others.collect();
    let gated = policy.agents.iter().filter(|(_, agent)| agent.network.dns == policy::Dns::Gate);
    if facts.mac.is_none() && !facts.nft && policy.agents[name].network.dns == policy::Dns::Gate {
        return Err(DesireError::GateNeedsNft);
    }
    for (agent, _) in gated.take_while(|(agent, _)| *agent <= name) {
        let free = |port: &u16| !taken.contains(port) && !facts.service_ports.contains(port);
        let port = had(agent).or_else(|| GATES.rev().find(free)).ok_or(DesireError::NoFreePort)?;
        if agent == name {
            return Ok(Some(port));
        }
        taken.insert(port);
    }
    Ok(None)
}

/// The mark of flows to names: that of before for the same names, else the next.
pub(super) fn generation(firewall: &Firewall, known: Option<&KnownAgent>) -> u8 {
    match known.and_then(|known| known.firewall.as_ref()) {
        Some(old) if old.names == firewall.names => old.generation,
        Some(old) => (old.generation + 1) % 64,
        None => 0,
    }
}

/// The network policy in numbers, as far as the policy itself says it: without presets and names.
pub fn firewall(uid: Uid, sub_uids: Vec<IdRange>, network: &policy::Network) -> Firewall {
    firewall_of(uid, sub_uids, network, &Expansion::of_numbers(network), &Facts::default())
}

/// The network policy in numbers. Entries with the same ports become one list.
pub(super) fn firewall_of(
    uid: Uid,
    sub_uids: Vec<IdRange>,
    network: &policy::Network,
    open: &Expansion,
    facts: &Facts,
) -> Firewall {
    let metadata = METADATA.iter().filter_map(|net| net.parse().ok()).map(|net| (None, net));
    let denied = network.deny.iter().map(|deny| (deny.ports.clone(), deny.net));
    let resolvers = if network.dns == policy::Dns::System { facts.catalog.resolvers.clone() } else { vec![] };
    Firewall {
        uid,
        sub_uids,
        outbound_allowed: network.outbound == policy::Outbound::Allow,
        inbound: match network.inbound {
            policy::Inbound::None => Inbound::None,
            policy::Inbound::Loopback => Inbound::Loopback,
            policy::Inbound::Any => Inbound::Any,
        },
        deny: grouped(metadata.chain(denied)),
        allow: open.nets(),
        loopback: open.loopback(),
        names: open.names(),
        gate: None,
        generation: 0,
        resolvers,
        log: match network.log {
            policy::Log::None => Log::None,
            policy::Log::Blocked => Log::Blocked,
            policy::Log::All => Log::All,
        },
    }
}
