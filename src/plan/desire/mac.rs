//! What is another thing on macOS, or can't be had there.

use super::DesireError;
use crate::{
    model::{AbsPath, AccountName, facts::Facts},
    policy,
    presets::listed,
};

/// The shell that the policy names. Where it names none, a Mac gives what it gives to everybody: its bash is of 2007.
pub(super) fn shell(agent: &policy::Agent, facts: &Facts) -> AbsPath {
    let is_default = agent.shell == policy::Agent::new(agent.human.clone()).shell;
    if facts.mac.is_some() && is_default { AbsPath::fixed("/bin/zsh") } else { agent.shell.clone() }
}

/// What is made of Linux's own means, or not made on macOS yet, is refused where it is asked for by name: confinement, limits
/// that `enter` would set, and the hosts of tools, which are not asked here for want of a way to keep them from the network.
pub(super) fn refuse_what_linux_has(name: &AccountName, agent: &policy::Agent) -> Result<(), DesireError> {
    let (confine, limits) = (&agent.confine, &agent.limits);
    let set = [("limits.processes", limits.processes), ("limits.open-files", limits.open_files)];
    let set = set.into_iter().filter(|(_, limit)| limit.is_some()).map(|(key, _)| key.to_owned());
    let by_name = |entry: &policy::Allow| match entry {
        // Its hosts are names in the configuration of a tool.
        policy::Allow::Preset { name, .. } if listed::tool(*name).is_some() => {
            Some(format!("preset: {name}"))
        }
        _ => None,
    };
    let lists = [("read", &confine.read), ("write", &confine.write)];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(key, _)| key);
    let lines = policy::Line::ALL.into_iter().filter(|line| confine.demands(*line)).map(policy::Line::key);
    let confined = lines.chain(lists).map(|key| format!("confine.{key}"));
    match confined.chain(set).chain(agent.network.allow.iter().filter_map(by_name)).next() {
        Some(asked) => Err(DesireError::NotOnMac { agent: name.clone(), asked }),
        None => Ok(()),
    }
}
