//! The uid and gid of an agent.

use super::DesireError;
use crate::{
    formats::iptables::mark,
    model::{
        AccountName, Gid, IdRange, Uid,
        facts::{Facts, marker},
    },
    policy,
};
use std::collections::BTreeSet;

/// Ids of agents on macOS.
const MAC_IDS: IdRange = IdRange { first: 600, last: 999 };

/// The ids and the marker of an agent that is set up already, or new ones: the highest id that is free as both uid and
/// gid, as useradd(8) picks for system accounts, and that gives the agent a connection mark of its own. Agents of one
/// policy that are new together are served in the order of their names.
pub(super) fn ids(
    name: &AccountName,
    human: &str,
    policy: &policy::Policy,
    facts: &Facts,
) -> Result<(Uid, Gid, String), DesireError> {
    if let Some(known) = facts.agents.get(name) {
        return Ok((known.uid, known.gid, known.marker.clone()));
    }
    if facts.mac.is_some() {
        let id = mac_id(name, policy, facts).ok_or_else(|| DesireError::NoFreeId(MAC_IDS.to_string()))?;
        return Ok((Uid(id), Gid(id), marker(name, human, &facts.nonce)));
    }
    let range = facts.system_ids.unwrap_or(IdRange { first: 101, last: 999 });
    let mut taken: BTreeSet<u32> = facts.uids.union(&facts.gids).copied().collect();
    taken.extend(facts.agents.values().flat_map(|agent| [agent.uid.0, agent.gid.0]));
    let mut marks: BTreeSet<u32> = facts.agents.values().map(|agent| mark(agent.uid)).collect();
    let mut next = || {
        let free = |id: &u32| !taken.contains(id);
        let of_its_own = |id: &u32| free(id) && !marks.contains(&mark(Uid(*id)));
        let mut ids = (range.first..=range.last).rev();
        let id = ids.clone().find(of_its_own).or_else(|| ids.find(free))?;
        taken.insert(id);
        marks.insert(mark(Uid(id)));
        Some(id)
    };
    let earlier = policy.agents.keys().take_while(|other| *other != name);
    for _ in earlier.filter(|other| !facts.agents.contains_key(*other)) {
        next();
    }
    let id = next().ok_or_else(|| DesireError::NoFreeId(range.to_string()))?;
    Ok((Uid(id), Gid(id), marker(name, human, &facts.nonce)))
}

/// On macOS the lowest id from 600 that is free as both: people begin at 501, and what is below 500 is Apple's. Agents of one
/// policy that are new together are served in the order of their names.
fn mac_id(name: &AccountName, policy: &policy::Policy, facts: &Facts) -> Option<u32> {
    let known = facts.agents.values().flat_map(|agent| [agent.uid.0, agent.gid.0]);
    let taken: BTreeSet<u32> = facts.uids.union(&facts.gids).copied().chain(known).collect();
    let earlier = policy.agents.keys().take_while(|other| *other != name);
    let earlier = earlier.filter(|other| !facts.agents.contains_key(*other)).count();
    (MAC_IDS.first..=MAC_IDS.last).filter(|id| !taken.contains(id)).nth(earlier)
}
