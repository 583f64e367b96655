//! Layers that a policy can ask for by name and that are not built yet.
//!
//! Asking for one is refused rather than passed over: a person who wrote `git: guard` must not believe in a guard that
//! is not there. The issue that builds a layer removes its line here and turns its default on in the types.

use super::{
    Agent, Policy, Sharing,
    yaml::{Kind, Node},
};
use crate::model::AccountName;
use std::collections::BTreeMap;

/// Lines and columns of keys, by agent and path of the key.
pub(super) type Places = BTreeMap<(AccountName, String), (u32, u32)>;

/// A layer that a policy asks for and that is not built yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The agent that asks.
    pub agent: AccountName,
    /// The key below the agent, such as `network.allow[2].preset`.
    pub key: String,
    /// The value, as the file has it.
    pub asked: String,
    /// Its line, from 1; 0 for a policy that was not read from a file.
    pub line: u32,
    /// Its column, from 1; 0 for a policy that was not read from a file.
    pub column: u32,
    /// What to write until the layer is built.
    pub mend: String,
}

/// What a policy asks for by name and does not get yet; empty for one that leaves it to the defaults.
pub fn unsupported(policy: &Policy) -> Vec<Unsupported> {
    let mut found = Vec::new();
    for (name, agent) in &policy.agents {
        for (key, asked, mend) in asked(agent) {
            let place = policy.places.get(&(name.clone(), key.clone()));
            let (line, column) = place.copied().unwrap_or_default();
            found.push(Unsupported { agent: name.clone(), key, asked, line, column, mend: mend.into() });
        }
    }
    found
}

/// Where the keys stand that [`unsupported`] names.
pub(super) fn places(policy: &Policy, root: &Node<'_>) -> Places {
    let mut places = Places::new();
    let Some((_, Node { kind: Kind::Map(agents), .. })) = root.get("agents") else { return places };
    for (key, node) in agents {
        let Some((name, agent)) = key.name.parse().ok().and_then(|name| policy.agents.get_key_value(&name))
        else {
            continue;
        };
        for (key, ..) in asked(agent) {
            if let Some(Node { at, .. }) = node.find(&key) {
                places.insert((name.clone(), key), (at.line, at.column));
            }
        }
    }
    places
}

type Asked = (String, String, &'static str);

fn asked(agent: &Agent) -> Vec<Asked> {
    let mut found: Vec<Asked> = Vec::new();
    let mut ask = |key: &str, asked: String, mend| found.push((key.into(), asked, mend));
    if agent.sharing == Sharing::Mount {
        ask("sharing", "mount".into(), "write `sharing: acl`");
    }
    found
}
