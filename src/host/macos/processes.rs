//! Processes, as ps(1) tells of them: finding one, and ending every one of an account.

use super::super::{Command, HostError, Program};
use crate::{
    formats::ps::{self, Process},
    model::Uid,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::time::Duration;

/// Kills every process whose real or effective uid is `uid`, round after round until none is left, and answers how many there
/// were at first.
pub(super) fn end(uid: Uid) -> Result<usize, HostError> {
    let mut first = None;
    for round in 0..100 {
        let left = alive(uid)?;
        let at_first = *first.get_or_insert(left.len());
        if left.is_empty() {
            return Ok(at_first);
        }
        for pid in left {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(if round < 10 { 2 } else { 50 }));
    }
    Err(HostError::Unexpected {
        path: format!("uid {uid}"),
        is: "still has processes after five seconds".into(),
    })
}

/// The pids of an account. What has ended and was not waited for is none any more.
fn alive(uid: Uid) -> Result<Vec<i32>, HostError> {
    let ours = |process: &Process| process.uids.contains(&uid.0) && !process.ended && process.pid > 1;
    Ok(all()?.into_iter().filter(ours).map(|process| process.pid).collect())
}

/// The nearest descendant of a process that runs as `uid`.
pub fn descendant(pid: i32, uid: Uid) -> Option<i32> {
    ps::descendant(&all().ok()?, pid, uid.0)
}

fn all() -> Result<Vec<Process>, HostError> {
    let command = Command::new(Program::Ps, ["-axo", ps::COLUMNS]);
    let output = command.output()?;
    let output = command.expect_success(output)?;
    Ok(ps::processes(&String::from_utf8_lossy(&output.stdout)))
}
