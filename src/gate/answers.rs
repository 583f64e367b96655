//! The answers that live: which name had which addresses, until when. The keeper writes them to
//! `/run/agentuser/NAME.answers.json`, root's alone; the audit log finds names there, and a changed policy takes over what it
//! still allows.

use super::rules::{Fate, Rules};
use crate::{
    formats::ipset,
    host::places,
    model::{AbsPath, AccountName, Family, desired::Firewall},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

/// The most addresses that are remembered.
const ROOM: usize = 50_000;

/// Where the answers of an agent are.
pub fn path(agent: &AccountName) -> AbsPath {
    places::fixed(places::RUNTIME).join(&format!("{agent}.answers.json"))
}

/// Answers, by name and address, each with the second since 1970 when it leaves the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    names: BTreeMap<String, BTreeMap<IpAddr, u64>>,
    #[serde(skip)]
    total: usize,
    #[serde(skip)]
    by_address: HashMap<IpAddr, String>,
    #[serde(skip)]
    changed: bool,
}

impl Answers {
    /// Reads what [`Answers::to_json`] wrote; nothing where it is something else.
    pub fn from_json(bytes: &[u8]) -> Self {
        let mut read: Self = serde_json::from_slice(bytes).unwrap_or_default();
        read.index();
        read
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// How many addresses are remembered.
    pub fn len(&self) -> usize {
        self.total
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// As JSON, without what has left the sets, where anything changed since the last time.
    pub fn changed_json(&mut self, now: u64) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.forget_ended(now);
        Some(self.to_json())
    }

    fn index(&mut self) {
        self.total = self.names.values().map(BTreeMap::len).sum();
        let pairs = self
            .names
            .iter()
            .flat_map(|(name, addresses)| addresses.keys().map(move |one| (*one, name.clone())));
        self.by_address = pairs.collect();
    }

    /// Remembers that a name has an address until then.
    pub fn put(&mut self, name: &str, address: IpAddr, until: u64, now: u64) {
        self.changed = true;
        if self.total >= ROOM {
            self.forget_ended(now);
        }
        if self.total >= ROOM {
            self.names.clear();
            self.index();
        }
        if self.by_address.get(&address).is_none_or(|known| known != name) {
            self.by_address.insert(address, name.to_owned());
        }
        let addresses = match self.names.get_mut(name) {
            Some(addresses) => addresses,
            None => self.names.entry(name.to_owned()).or_default(),
        };
        if addresses.insert(address, until).is_none() {
            self.total += 1;
        }
    }

    /// Forgets what has left the sets.
    pub fn forget_ended(&mut self, now: u64) {
        for addresses in self.names.values_mut() {
            addresses.retain(|_, until| *until > now);
        }
        self.names.retain(|_, addresses| !addresses.is_empty());
        self.index();
    }

    /// The name that an address was last the answer for.
    pub fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }
}

/// What of these answers belongs into the sets of a policy: set, address, and the seconds that are left.
///
/// A changed list of names has another set. What is taken over before the rules switch keeps programs going that hold an
/// address already.
pub fn still_allowed(answers: &Answers, firewall: &Firewall, now: u64) -> Vec<(String, IpAddr, u32)> {
    let (rules, sets) = (Rules::of(firewall), ipset::answer_sets(firewall));
    let mut found = Vec::new();
    for (name, addresses) in &answers.names {
        let Ok(allowed) = rules.name(name) else { continue };
        for (address, until) in addresses {
            let left = u32::try_from(until.saturating_sub(now)).unwrap_or(u32::MAX);
            if left == 0 || rules.address(*address) != Fate::Opened {
                continue;
            }
            let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
            let right = sets.iter().filter(|set| set.family == family && allowed.lists.contains(&set.index));
            found.extend(right.map(|set| (set.name.clone(), *address, left)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{formats::iptables::tests::firewall, model::desired::Names};

    #[test]
    fn what_a_changed_policy_takes_over() {
        let mut answers = Answers::default();
        for (name, address, until) in [
            ("api.example.com", "203.0.113.1", 1_100),
            ("api.example.com", "10.0.0.1", 1_100),
            ("old.example.com", "203.0.113.2", 1_100),
            ("www.example.org", "2001:db8::3", 1_050),
            ("www.example.org", "203.0.113.4", 1_000),
        ] {
            answers.put(name, address.parse().unwrap(), until, 900);
        }
        let names = ["*.example.org", "api.example.com"].map(String::from).to_vec();
        let ports = ["443".parse().unwrap()].into_iter().collect();
        let policy = Firewall { names: vec![Names { ports, names }], ..firewall() };
        let sets = ipset::answer_sets(&policy);
        let wanted = [
            (sets[0].name.clone(), "203.0.113.1".parse().unwrap(), 100),
            (sets[1].name.clone(), "2001:db8::3".parse().unwrap(), 50),
        ];
        assert_eq!(still_allowed(&Answers::from_json(&answers.to_json()), &policy, 1_000), wanted);
    }

    #[test]
    fn names_are_found_by_address_and_forgotten() {
        let mut answers = Answers::default();
        let address = "192.0.2.1".parse().unwrap();
        answers.put("a.example", address, 100, 0);
        answers.put("b.example", address, 200, 0);
        assert_eq!(answers.name_of(address), Some("b.example"));
        answers.forget_ended(150);
        assert_eq!(answers.name_of(address), Some("b.example"));
        answers.forget_ended(200);
        assert_eq!((answers.name_of(address), answers.total), (None, 0));
    }
}
