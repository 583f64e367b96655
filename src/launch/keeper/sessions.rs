//! Whether sessions run: processes of the agents', as /proc tells. Keepers don't count. An agent may call its own processes by
//! a keeper's name: then nobody keeps its files until its next session.

use super::NAME;
use crate::model::Uid;
use std::{fs, os::unix::fs::MetadataExt};

/// Whether one of these accounts has a process.
pub(super) fn run(agents: &[Uid]) -> bool {
    processes().any(|(pid, owner)| agents.contains(&owner) && keeper(&pid).is_none())
}

/// Those of the accounts that have no keeper.
pub(super) fn without_keeper(agents: &[Uid]) -> Vec<Uid> {
    let kept: Vec<Uid> = processes().filter_map(|(pid, _)| keeper(&pid)).collect();
    agents.iter().copied().filter(|agent| !kept.contains(agent)).collect()
}

fn processes() -> impl Iterator<Item = (String, Uid)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry
            .file_name()
            .into_string()
            .ok()
            .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))?;
        Some((name, Uid(entry.metadata().ok()?.uid())))
    })
}

/// The account whose keeper a process is.
fn keeper(pid: &str) -> Option<Uid> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    if name.strip_suffix(b"\n")? != NAME.to_bytes() {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next());
    Some(Uid(uid?.parse().ok()?))
}
