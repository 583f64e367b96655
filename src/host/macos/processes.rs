//! Ending every process of an account.

use super::super::{Command, HostError, Program};
use crate::model::Uid;
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
    let command = Command::new(Program::Ps, ["-axo", "pid=,uid=,ruid=,state="]);
    let output = command.output()?;
    let output = command.expect_success(output)?;
    let pid = |line: &str| {
        let [pid, effective, real, state] = line.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let ours = [effective, real].iter().any(|id| id.parse() == Ok(uid.0));
        (ours && !state.starts_with('Z')).then(|| pid.parse().ok())?
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(pid).filter(|pid| *pid > 1).collect())
}
