//! What could take the place of what is known: hosts of the human's tools, addresses of names, published ranges.
//!
//! A proposal is put into the facts and so into the plan, where it is shown; whoever applies the plan accepts it.

use crate::{
    cli::{invoker, situation::Situation},
    host::{catalog, errand},
    model::{
        AccountName,
        catalog::{Date, Resolved, ToolHost, ToolHosts},
    },
    policy::Allow,
    presets::{expand, listed, ranges},
};
use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

/// Today, in UTC.
fn today() -> Date {
    Date::of_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// Asks the tools of these agents' humans, and answers what differs from what was accepted, one line each.
pub(super) fn hosts(situation: &mut Situation, agents: &[AccountName]) -> Vec<String> {
    let mut lines = Vec::new();
    for name in agents {
        let agent = &situation.policy.agents[name];
        let presets = agent.network.allow.iter().filter_map(|entry| match entry {
            Allow::Preset { name, .. } => listed::tool(*name).map(|_| name.as_str()),
            _ => None,
        });
        let presets: BTreeSet<&str> = presets.collect();
        let Some(person) = situation.facts.humans.get(agent.human.as_str()).filter(|_| !presets.is_empty())
        else {
            continue;
        };
        if !invoker::is_root() && rustix::process::geteuid().as_raw() != person.uid.0 {
            situation
                .told
                .push(format!("agent `{name}`: only {} and root can ask the tools of {0}", person.name));
            continue;
        }
        let human = errand::Human {
            name: person.name.clone(),
            uid: person.uid,
            gid: person.gid,
            home: person.home.clone().into(),
            path: agent.path.iter().map(|dir| dir.as_path().to_owned()).collect(),
        };
        let found = match errand::discover(&human, &presets) {
            Ok(found) => found,
            Err(error) => {
                situation.told.push(format!("agent `{name}`: {error}"));
                continue;
            }
        };
        let known = situation.facts.catalog.hosts.entry(name.clone()).or_default();
        for (preset, found) in found {
            situation.told.extend(found.notes.into_iter().map(|note| format!("agent `{name}`: {note}")));
            lines.extend(take(known, &preset, found.hosts).into_iter().map(|line| format!("{name}: {line}")));
        }
    }
    lines
}

/// Puts the hosts of a preset in place of those that are known, and says what came and went. Where nothing was found, what
/// is known stays: a tool that is gone for a day takes nothing away.
fn take(known: &mut ToolHosts, preset: &str, found: BTreeSet<ToolHost>) -> Vec<String> {
    let before = known.get(preset).cloned().unwrap_or_default();
    if found.is_empty() || found == before {
        return vec![];
    }
    let line = |sign: char, host: &ToolHost| {
        format!("{preset} {sign} {}:{} (`{}` of {})", host.host, host.port, host.setting, host.tool)
    };
    let came = found.difference(&before).map(|host| line('+', host));
    let went = before.difference(&found).map(|host| line('-', host));
    let lines = came.chain(went).collect();
    known.insert(preset.into(), found);
    lines
}

/// Resolves the names that root resolves for agents: all of them, or only those that were never resolved. A name that does
/// not resolve keeps the addresses that it had.
pub(super) fn addresses(situation: &mut Situation, agents: &[AccountName], all: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for name in agents {
        let network = &situation.policy.agents[name].network;
        if !expand::resolves(network, &situation.facts.catalog) || !invoker::is_root() {
            continue;
        }
        let catalog = &mut situation.facts.catalog;
        let mut names = expand::to_resolve(network, name, catalog);
        let known = catalog.addresses.entry(name.clone()).or_default();
        names.retain(|host| all || !known.contains_key(host));
        if names.is_empty() {
            continue;
        }
        let found = match errand::resolve(&names) {
            Ok(found) => found,
            Err(error) => {
                situation.told.push(format!("agent `{name}`: no name was resolved: {error}"));
                continue;
            }
        };
        for (host, answer) in found {
            match answer {
                Ok(addresses) if !addresses.is_empty() => {
                    let before = known.get(&host).map(|known| known.addresses.clone()).unwrap_or_default();
                    if addresses != before {
                        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                        lines.push(format!("{name}: {host} is {}", shown.join(", ")));
                        known.insert(host, Resolved { date: today(), addresses });
                    }
                }
                Ok(_) => {
                    situation
                        .told
                        .push(format!("agent `{name}`: {host} has no address: what it had is kept"));
                }
                Err(why) => {
                    situation.told.push(format!("agent `{name}`: {host}: {why}: what it had is kept"));
                }
            }
        }
    }
    lines
}

/// Fetches the ranges that the policy uses, and answers what changed. What can't be fetched or looks wrong leaves the last
/// good ranges as they are.
pub(super) fn published(situation: &mut Situation) -> Vec<String> {
    let mut lines = Vec::new();
    for publisher in catalog::used(&situation.policy) {
        let Some(last) = situation.facts.catalog.ranges.get(&publisher).cloned() else { continue };
        if !invoker::is_root() {
            situation.told.push(format!("ranges of {publisher}: only root has them fetched, by nobody"));
            continue;
        }
        let now = match errand::fetch(publisher, &last, today()) {
            Ok(now) => now,
            Err(error) => {
                situation.told.push(format!("the ranges of {publisher} of {} are kept: {error}", last.date));
                continue;
            }
        };
        let changes = ranges::difference(&last, &now);
        if changes.is_empty() {
            continue;
        }
        for (group, came, went) in changes {
            lines.push(format!("{publisher} `{group}`: {} networks come, {} go", came.len(), went.len()));
        }
        situation.facts.catalog.fetched.insert(publisher);
        situation.facts.catalog.ranges.insert(publisher, now);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_hosts_is_told_and_nothing_found_changes_nothing() {
        let host = |host: &str| ToolHost {
            host: host.into(),
            port: 443,
            tool: "npm".into(),
            setting: "registry".into(),
        };
        let mut known = ToolHosts::new();
        let first = take(&mut known, "npm", [host("a.example.com")].into());
        assert_eq!(first, ["npm + a.example.com:443 (`registry` of npm)"]);
        assert!(take(&mut known, "npm", [host("a.example.com")].into()).is_empty());
        assert!(take(&mut known, "npm", BTreeSet::new()).is_empty() && known["npm"].len() == 1);
        let moved = take(&mut known, "npm", [host("b.example.com")].into());
        assert_eq!(moved.len(), 2);
        assert!(moved[1].starts_with("npm - a.example.com"), "{moved:?}");
    }
}
