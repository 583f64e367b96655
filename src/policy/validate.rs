//! What only the whole policy tells: names that collide, directories that lie in each other.

use super::{
    Access, Agent, Allow, Outbound, Policy,
    error::{Place, Refusal, quote},
    groups, paths,
    reader::Reader,
    yaml::{Kind, Node},
};
use crate::model::{AbsPath, AccountName};
use std::collections::{BTreeMap, BTreeSet};

/// Judges the agents that were read, each with the place of its name and its node.
pub(super) fn policy<'t>(
    reader: &mut Reader<'t>,
    agents: &BTreeMap<AccountName, Agent>,
    read: &[(AccountName, Place, &Node<'t>)],
) {
    let projects = agents.values().flat_map(|agent| &agent.projects);
    let written =
        projects.filter(|project| project.access == Access::ReadWrite).map(|project| &project.path).collect();
    for (name, at, node) in read {
        let Some(agent) = agents.get(name) else { continue };
        let human = node.find("human").map_or(*at, |node| node.at);
        for (at, refusal) in names(name, agent, agents, *at, human) {
            reader.refuse(at, &refusal);
        }
        overlaps(reader, node);
        for (i, path) in agent.path.iter().enumerate() {
            let place = node.find(&format!("path[{i}]")).map_or(*at, |node| node.at);
            if let Some(refusal) = writable(name, path, "an entry of `path`", &written) {
                reader.refuse(place, &refusal);
            }
        }
        if let Some(refusal) = writable(name, &agent.shell, "`shell`", &written) {
            reader.refuse(node.find("shell").map_or(*at, |node| node.at), &refusal);
        }
    }
}

fn names(
    name: &AccountName,
    agent: &Agent,
    agents: &BTreeMap<AccountName, Agent>,
    at: Place,
    human_at: Place,
) -> Vec<(Place, Refusal)> {
    let mut found = Vec::new();
    let hint = "give the agent an account of its own, such as `agent`";
    let human = agent.human.as_str();
    if name.as_str() == "root" {
        found.push((at, Refusal::new("`root` can't be an agent", hint)));
    } else if name.as_str() == human {
        found.push((at, Refusal::new(format!("{} is its own human", quote(human)), hint)));
    } else if human.parse().is_ok_and(|human: AccountName| agents.contains_key(&human)) {
        let message = format!("the human {} is an agent of this policy", quote(human));
        found.push((human_at, Refusal::new(message, "name the person who works with the agent")));
    }
    found
}

/// Finds projects that are the same, or lie in each other.
fn overlaps<'t>(reader: &mut Reader<'t>, agent: &Node<'t>) {
    let Some((_, Node { kind: Kind::List(items), .. })) = agent.get("projects") else { return };
    let read = |item: &Node<'t>| {
        let (_, node) = item.get("path")?;
        Some((node.scalar(reader.text)?.parse::<AbsPath>().ok()?, node.at))
    };
    let mut places: BTreeMap<AbsPath, Place> = BTreeMap::new();
    let mut found = Vec::new();
    for (path, at) in items.iter().filter_map(read) {
        if let Some(first) = places.get(&path) {
            let hint = format!("remove one of the two; the other is on line {}", first.line);
            found.push((
                at,
                Refusal::new(format!("the project {} stands here twice", quote(path.as_str())), hint),
            ));
        } else {
            places.insert(path, at);
        }
    }
    for (path, at) in &places {
        if let Some((dir, outer)) = path.ancestors().find_map(|dir| places.get_key_value(&dir)) {
            let message = format!("the project {} lies in {}", quote(path.as_str()), quote(dir.as_str()));
            let hint = format!("keep one of the two; the outer one is on line {}", outer.line);
            found.push((*at, Refusal::new(message, hint)));
        }
    }
    for (at, refusal) in found {
        reader.refuse(at, &refusal);
    }
}

/// Why a program directory is one that an agent could write to, if it is.
fn writable(name: &AccountName, path: &AbsPath, what: &str, written: &BTreeSet<&AbsPath>) -> Option<Refusal> {
    let shown = quote(path.as_str());
    let hint = "name a directory that only root or the human writes to, such as `/opt/node/bin`";
    let mut dirs = std::iter::once(path.clone()).chain(path.ancestors());
    if let Some(project) = dirs.find(|dir| written.contains(dir)) {
        let message = format!(
            "{what} lies in the project {}: the agent could write to {shown}",
            quote(project.as_str())
        );
        return Some(Refusal::new(message, hint));
    }
    if paths::is_public(path) {
        return Some(Refusal::new(format!("{what} can be written to by all: {shown}"), hint));
    }
    let home = AbsPath::root().join("home").join(name.as_str());
    path.is_within(&home).then(|| Refusal::new(format!("{what} lies in the agent's home: {shown}"), hint))
}

/// What a policy allows and a person may not expect, one line each.
pub fn warnings(policy: &Policy) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, agent) in &policy.agents {
        for group in &agent.groups {
            if let Some(what) = groups::warning(group) {
                lines.push(format!("agent `{name}`: the group `{group}` {what}"));
            }
        }
        let open = agent.network.outbound == Outbound::Allow;
        if open && !agent.network.allow.is_empty() {
            lines.push(format!(
                "agent `{name}`: `outbound: allow` lets everything out, so `allow` has no effect"
            ));
        }
        for entry in &agent.network.allow {
            if let Allow::Cidr { net, ports: None } = entry
                && net.prefix_len() == 0
            {
                lines.push(format!("agent `{name}`: `cidr: {net}` lets everything out"));
            }
        }
    }
    lines
}
