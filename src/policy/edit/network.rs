//! Changes to what an agent's network lets through.

use super::{EARLY, EditError, add_item, change, first_key, insert, read, remove};
use crate::{
    model::AccountName,
    policy::{
        Agent, Allow, Deny, Setting, render,
        splice::Page,
        yaml::{Kind, Node},
    },
};

/// Adds an entry of `allow` after the last one.
pub fn add_allow(text: &str, agent: &AccountName, entry: &Allow) -> Result<String, EditError> {
    let keys = render::allow_keys(entry);
    add(text, agent, "allow", &keys, |agent| {
        let there = agent.network.allow.contains(entry);
        agent.network.allow.push(entry.clone());
        there
    })
}

/// Removes an entry of `allow`, with the comments that belong to it.
pub fn remove_allow(text: &str, agent: &AccountName, entry: &Allow) -> Result<String, EditError> {
    take(text, agent, "allow", &entry.to_string(), |agent| {
        let index = agent.network.allow.iter().position(|other| other == entry)?;
        agent.network.allow.remove(index);
        Some(index)
    })
}

/// Adds an entry of `deny` after the last one.
pub fn add_deny(text: &str, agent: &AccountName, entry: &Deny) -> Result<String, EditError> {
    let keys = render::deny_keys(entry);
    add(text, agent, "deny", &keys, |agent| {
        let there = agent.network.deny.contains(entry);
        agent.network.deny.push(entry.clone());
        there
    })
}

/// Removes an entry of `deny`, with the comments that belong to it.
pub fn remove_deny(text: &str, agent: &AccountName, entry: &Deny) -> Result<String, EditError> {
    take(text, agent, "deny", &entry.to_string(), |agent| {
        let index = agent.network.deny.iter().position(|other| other == entry)?;
        agent.network.deny.remove(index);
        Some(index)
    })
}

/// Says what a key of the network is that takes one word.
pub fn set(text: &str, agent: &AccountName, setting: Setting) -> Result<String, EditError> {
    let mut wanted = read(text)?;
    let there = wanted.agents.get_mut(agent).ok_or_else(|| EditError::NoAgent(agent.clone()))?;
    setting.put(&mut there.network);
    let (name, word) = (setting.key(), setting.word());
    let line = format!("{name}: {word}");
    let mend = format!("write by hand, below `network` of the agent `{agent}`:\n      {line}");
    change(text, &wanted, &mend, |page, root| {
        let (_, node) = root.get("agents")?.1.get(agent.as_str())?;
        let Some((_, network)) = node.get("network") else {
            let lines = render::line_below(&["network"], line.clone());
            return first_key(page, node, &before_network(), &lines, &format!("network: {{ {line} }}"));
        };
        if let Some((_, value)) = network.get(name) {
            let end = page.end(value)?;
            return Some(page.replace(value.at.start..end, word));
        }
        key(page, network, &render::line_below(&[], line.clone()), &line)
    })
}

/// Keys of an agent that stand before its network.
fn before_network() -> Vec<&'static str> {
    EARLY.into_iter().chain(["projects"]).collect()
}

fn add(
    text: &str,
    agent: &AccountName,
    list: &'static str,
    keys: &[String],
    put: impl FnOnce(&mut Agent) -> bool,
) -> Result<String, EditError> {
    let mut wanted = read(text)?;
    let there = wanted.agents.get_mut(agent).ok_or_else(|| EditError::NoAgent(agent.clone()))?;
    if put(there) {
        return Err(EditError::EntryThere(keys.join(", ")));
    }
    let lines = render::entry_below(&[], keys);
    let flow = render::flow(keys);
    let mend =
        format!("add by hand, below `network` and `{list}` of the agent `{agent}`:\n{}", lines.text(8));
    change(text, &wanted, &mend, |page, root| {
        let (_, node) = root.get("agents")?.1.get(agent.as_str())?;
        let Some((_, network)) = node.get("network") else {
            let lines = render::entry_below(&["network", list], keys);
            let flow = format!("network: {{ {list}: [{flow}] }}");
            return first_key(page, node, &before_network(), &lines, &flow);
        };
        let Some((at, there)) = network.get(list) else {
            return key(page, network, &render::entry_below(&[list], keys), &format!("{list}: [{flow}]"));
        };
        add_item(page, network, at, there, &lines, &flow)
    })
}

/// Adds a key at the end of the network.
fn key(page: Page<'_>, network: &Node<'_>, lines: &render::Lines, flow: &str) -> Option<String> {
    let Kind::Map(_) = network.kind else { return None };
    let Some(last) = page.entries(network)?.pop() else {
        // Only braces can hold nothing.
        return Some(page.replace(network.at.start..page.end(network)?, &format!("{{ {flow} }}")));
    };
    if page.is_flow(network) {
        return Some(page.replace(last.end..last.end, &format!(", {flow}")));
    }
    Some(insert(page, page.lines(&last)?.end, &lines.text(page.column(last.first)?)))
}

fn take(
    text: &str,
    agent: &AccountName,
    list: &'static str,
    entry: &str,
    put: impl FnOnce(&mut Agent) -> Option<usize>,
) -> Result<String, EditError> {
    let mut wanted = read(text)?;
    let there = wanted.agents.get_mut(agent).ok_or_else(|| EditError::NoAgent(agent.clone()))?;
    let index = put(there).ok_or_else(|| EditError::NoEntry(entry.into()))?;
    let mend = format!("remove the entry `{entry}` by hand");
    change(text, &wanted, &mend, |page, root| {
        let (_, node) = root.get("agents")?.1.get(agent.as_str())?;
        let (key, entries) = node.get("network")?.1.get(list)?;
        remove(page, key, entries, index, "[]")
    })
}

#[cfg(test)]
mod tests;
