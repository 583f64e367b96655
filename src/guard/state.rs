//! What the guard tells of itself, for `status`: `/run/agentuser/guard.json`, readable to all.

use crate::host::places;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path, time::SystemTime};

/// A guard, as of the last time that something happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its process.
    pub pid: i32,
    /// The network namespace that it guards, as `/proc/PID/ns/net` names it.
    pub namespace: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// The agents that it guards.
    pub agents: Vec<Guarded>,
    /// Whether it hears at once when another tool changes rules, or has to look (iptables-legacy tells nobody).
    pub hears_changes: bool,
    /// The last repair.
    pub last_repair: Option<Repair>,
    /// How many repairs there were.
    pub repairs: u64,
    /// Lines of audit logs that were lost.
    pub lost_lines: u64,
}

/// An agent of a guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// Its name.
    pub name: String,
    /// The port of its DNS gate, where it has one.
    pub gate: Option<u16>,
    /// How often the gate's parser had to be started again.
    pub restarts: u64,
    /// Why its rules could not be put in force, or its gate could not be opened.
    pub fault: Option<String>,
}

/// Rules that another tool had put out of force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// The agent.
    pub agent: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// From the moment that the guard heard of it to the one that the rules were in force again, in milliseconds. How many
    /// packets passed meanwhile can't be known.
    pub gap_ms: u64,
}

/// Where the state of the guard of this network namespace is.
pub fn path() -> String {
    format!("{}/guard.json", places::RUNTIME)
}

/// The network namespace of this process.
pub(super) fn namespace() -> String {
    fs::read_link("/proc/self/ns/net").map(|link| link.display().to_string()).unwrap_or_default()
}

/// The guard of this network namespace; none where none runs.
pub fn state() -> Option<State> {
    let state: State = serde_json::from_slice(&fs::read(path()).ok()?).ok()?;
    let runs =
        fs::read_to_string(format!("/proc/{}/comm", state.pid)).is_ok_and(|name| name.trim() == "agentuser");
    (runs && state.namespace == namespace() && Path::new(places::STATE).exists()).then_some(state)
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
