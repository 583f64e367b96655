//! Processes, as proc(5) tells of them: finding one, and ending every one of an account: by the account itself, all at once,
//! then by root, one by one.

use super::{HostError, cgroup, users, worker};
use crate::model::{IdRange, Uid};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::{fs, time::Duration};

/// Kills every process whose real, effective, saved or filesystem uid is `uid` or lies in `sub_uids`.
///
/// A child that has become the account signals all of its processes in one call (kill(2) with -1), which no fork bomb
/// outruns; what is left, such as sub-uids, is killed through pidfds after a second look. Answers how many there were at
/// first.
pub(super) fn end(uid: Uid, sub_uids: &[IdRange]) -> Result<usize, HostError> {
    let mut first = None;
    let ours = |id: u32| id == uid.0 || sub_uids.iter().any(|range| range.contains(id));
    for round in 0..100 {
        let left: Vec<i32> = alive()
            .into_iter()
            .filter(|(_, ids)| ids.iter().any(|id| ours(*id)))
            .map(|(pid, _)| pid)
            .collect();
        let at_first = *first.get_or_insert(left.len());
        if left.is_empty() {
            return Ok(at_first);
        }
        if round % 10 == 0 {
            // Best effort: those that these leave are killed below, or counted at the end.
            if let Some(agent) = users::name_of(uid.0).and_then(|name| name.parse().ok()) {
                cgroup::kill(&agent);
            }
            let _ = worker::kill_all(uid);
        }
        for pid in left {
            kill(pid, &ours);
        }
        std::thread::sleep(Duration::from_millis(if round < 10 { 2 } else { 50 }));
    }
    Err(HostError::Unexpected {
        path: format!("uid {uid}"),
        is: "still has processes after five seconds".into(),
    })
}

fn kill(pid: i32, ours: &impl Fn(u32) -> bool) {
    let Some(fd) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return;
    };
    // The number may have gone to another process before the pidfd was opened; now it can't any more.
    if ids(pid).is_some_and(|ids| ids.iter().any(|id| ours(*id))) {
        let _ = pidfd_send_signal(&fd, Signal::KILL);
    }
}

/// Pids and uids of the processes that run.
fn alive() -> Vec<(i32, Vec<u32>)> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, ids(pid)?)))
        .collect()
}

/// The four uids of a process that has not ended. One whose first thread has ended is shown as a zombie as well, and lives
/// on in its other threads.
fn ids(pid: i32) -> Option<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let number = |name| field(name)?.trim().parse::<u32>().ok();
    let first_has_ended = field("State:")
        .is_some_and(|state| matches!(state.trim_start().as_bytes().first(), Some(b'Z' | b'X')));
    if first_has_ended && number("Threads:").is_none_or(|threads| threads <= 1) {
        return None;
    }
    Some(field("Uid:")?.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect())
}

/// The nearest descendant of a process that runs as `uid`.
pub fn descendant(pid: i32, uid: Uid) -> Option<i32> {
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let real = status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next()?.parse().ok());
        if real == Some(uid.0) {
            return Some(pid);
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        next.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    None
}
