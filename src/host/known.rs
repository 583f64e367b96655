//! Facts that every system tells in the same way: agents that there are, directories, and what nobody can guess.

use super::{HostError, Observe, places, users};
use crate::{
    engine::{Receipt, Scope},
    model::{
        AbsPath, AccountName, Uid,
        facts::{DirFact, Facts, KnownAgent, marker},
    },
    policy::{Dns, Policy},
    step::AnyStep,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
};

/// What is known of the agents that have a state directory, and of those of the policy.
pub(super) fn agents(
    policy: &Policy,
    machine: &dyn Observe,
) -> Result<BTreeMap<AccountName, KnownAgent>, HostError> {
    let there = machine.names(&places::fixed(places::STATE))?;
    let there = there.iter().filter(|name| *name != places::machine_state().name());
    let names: BTreeSet<AccountName> =
        policy.agents.keys().cloned().chain(there.filter_map(|name| name.parse().ok())).collect();
    let mut agents = BTreeMap::new();
    for name in names {
        let human = policy.agents.get(&name).map_or("", |agent| agent.human.as_str());
        if let Some(known) = agent(&name, human, machine)? {
            agents.insert(name, known);
        }
    }
    Ok(agents)
}

/// What a receipt, or without the right to read it the account itself, tells of an agent.
fn agent(name: &AccountName, human: &str, machine: &dyn Observe) -> Result<Option<KnownAgent>, HostError> {
    match Receipt::load(&Scope::Agent(name.clone()), machine) {
        Ok(receipt) => {
            let steps = || receipt.entries.iter().map(|entry| &entry.step);
            let firewall = steps().find_map(|step| match step {
                AnyStep::Netfilter(step) => Some(step.firewall.clone()),
                AnyStep::PfAnchor(step) => Some(step.firewall.clone()),
                _ => None,
            });
            let account = receipt.account().map(|step| (step.uid, step.gid, step.marker.clone()));
            // Interrupted before the account, which comes after the group on Linux and after the home on macOS: the id is
            // ours, no marker was used yet.
            let begun = steps().find_map(|step| match step {
                AnyStep::Group(step) => Some((Uid(step.gid.0), step.gid)),
                AnyStep::Home(home) if home.bare => Some((home.uid, home.gid)),
                _ => None,
            });
            let fresh = marker(name, human, &nonce()?);
            let known = account.or_else(|| begun.map(|(uid, gid)| (uid, gid, fresh)));
            Ok(known.map(|(uid, gid, marker)| KnownAgent { uid, gid, marker, firewall }))
        }
        Err(error) if error.is_permission() => {
            let person = users::person(name.as_str())?;
            let ours = |gecos: &str| gecos.starts_with(&format!("agentuser {name} of "));
            Ok(person.filter(|person| ours(&person.gecos)).map(|person| KnownAgent {
                uid: person.uid,
                gid: person.gid,
                marker: person.gecos,
                firewall: None,
            }))
        }
        Err(error) => Err(error),
    }
}

/// Whether an agent is to have a DNS gate that has no port yet.
pub(super) fn wants_a_port(policy: &Policy, facts: &Facts) -> bool {
    let has_port = |name| facts.agents.get(name).and_then(|known| known.firewall.as_ref()?.gate).is_some();
    policy.agents.iter().any(|(name, agent)| agent.network.dns == Dns::Gate && !has_port(name))
}

/// Ports that services(5) names.
pub(super) fn named_ports() -> BTreeSet<u16> {
    let services = fs::read("/etc/services").unwrap_or_default();
    let port =
        |line: &str| line.split('#').next()?.split_ascii_whitespace().nth(1)?.split('/').next()?.parse().ok();
    String::from_utf8_lossy(&services).lines().filter_map(port).collect()
}

/// What a directory on the way to a project is; links are not followed.
pub(super) fn directory(path: &AbsPath) -> Option<DirFact> {
    let is = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir)?;
    Some(DirFact { owner: Uid(is.uid()), mode: is.mode() & 0o7777 })
}

/// Sixteen hexadecimal digits that nobody can guess.
pub(super) fn nonce() -> Result<String, HostError> {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| HostError::path("can't read", "/dev/urandom", error))?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}
