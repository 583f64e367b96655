//! Whether sessions run: processes of the agents', as /proc tells. Keepers don't count. An agent may call its own processes by
//! a keeper's name: then nobody keeps its files until its next session.

use super::{NAME, watch::LOOK};
use crate::model::Uid;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Whether one of these agents has a process that is no keeper.
pub fn run(agents: &[Uid]) -> bool {
    processes().any(|(pid, owner)| agents.contains(&owner) && lives(&pid) && keeper(&pid).is_none())
}

/// The same for one agent, looked for again and again by a thread that is started before this one is confined: under Landlock
/// nobody sees processes of another domain in a `/proc` with `hidepid` (ptrace(2), "Ptrace access mode checking"). The thread
/// reads nothing but names and states of processes.
pub(super) fn seen_by_a_thread(agent: Uid) -> io::Result<Arc<AtomicBool>> {
    let running = Arc::new(AtomicBool::new(true));
    let told = running.clone();
    std::thread::Builder::new().spawn(move || {
        loop {
            told.store(run(&[agent]), Ordering::Relaxed);
            std::thread::sleep(LOOK);
        }
    })?;
    Ok(running)
}

/// Those of the accounts that have no keeper.
pub(super) fn without_keeper(agents: &[Uid]) -> Vec<Uid> {
    let kept: Vec<Uid> = processes().filter_map(|(pid, _)| keeper(&pid)).collect();
    agents.iter().copied().filter(|agent| !kept.contains(agent)).collect()
}

/// Ends the keepers of these accounts, and waits until they are gone. For root: an account that has a process can't be changed
/// by usermod(8).
pub fn end_keepers(accounts: &[Uid]) {
    let is_one = |pid: &str| keeper(pid).is_some_and(|account| accounts.contains(&account));
    for (name, _) in processes().filter(|(pid, _)| is_one(pid)) {
        let Some(pid) = name.parse().ok().and_then(Pid::from_raw) else { continue };
        // The number may be another process's by now; what the descriptor stands for is asked again.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if is_one(&name) && pidfd_send_signal(&process, Signal::KILL).is_ok() {
            let end = Instant::now() + Duration::from_secs(1);
            while Path::new("/proc").join(&name).exists() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
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
    if ended(&status) {
        return None;
    }
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next());
    Some(Uid(uid?.parse().ok()?))
}

/// Whether a process is more than an entry that its parent has not asked for yet. One that can't be looked into is taken for
/// one that lives: a keeper that stays too long does no harm.
fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).map_or(true, |status| !ended(&status))
}

/// Whether a process has ended, as its `status` tells (proc(5)).
fn ended(status: &str) -> bool {
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_none_or(|state| state.trim_start().starts_with(['Z', 'X']))
}
