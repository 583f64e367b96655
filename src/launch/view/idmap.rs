//! The mapping of ids for projects: what is the human's on the disk is the agent's in a session, and the other way round
//! (`mount_setattr(2)`, `user_namespaces(7)`).
//!
//! Of uids the human's alone is mapped: files of anybody else are nobody's through the mount, and can't be written whatever
//! their mode. Of gids all are, for the kernel refuses to make a file in a directory whose group has no mapping: those of human
//! and agent change places, the others stay.

use crate::{host::sys, model::facts::Person};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, WaitOptions, waitpid},
};
use std::{
    fmt::Write as _,
    fs, io,
    os::fd::{AsFd, OwnedFd},
};

/// A user namespace with the mapping; nothing runs in it.
pub(super) fn namespace(human: &Person, agent: &Person) -> io::Result<OwnedFd> {
    let (wait_on, ours) = pipe_with(PipeFlags::CLOEXEC)?;
    let pid = sys::child_in_user_namespace(wait_on.as_fd(), ours.as_fd())?;
    let made = || {
        fs::write(format!("/proc/{pid}/uid_map"), format!("{} {} 1\n", human.uid, agent.uid))?;
        fs::write(format!("/proc/{pid}/gid_map"), swapped(human.gid.0, agent.gid.0))?;
        Ok(openat(CWD, format!("/proc/{pid}/ns/user"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    };
    let made: io::Result<OwnedFd> = made();
    // The child ends with the pipe.
    drop(ours);
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    while let Err(rustix::io::Errno::INTR) = waitpid(pid, WaitOptions::empty()) {}
    made
}

/// All ids, two of which change places, as lines of `gid_map`.
fn swapped(one: u32, other: u32) -> String {
    let (low, high) = (one.min(other), one.max(other));
    let mut map = String::new();
    let mut line = |inside: u32, outside: u32, count: u32| {
        if count > 0 {
            // Writing to a string can't fail.
            let _ = writeln!(map, "{inside} {outside} {count}");
        }
    };
    line(0, 0, low);
    line(low, high, 1);
    if high > low {
        line(low + 1, low + 1, high - low - 1);
        line(high, low, 1);
    }
    // The last id of all is no id (chown(2)).
    let rest = high.saturating_add(1);
    line(rest, rest, u32::MAX - rest);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_change_places_and_none_is_left_out() {
        assert_eq!(swapped(1000, 998), "0 0 998\n998 1000 1\n999 999 1\n1000 998 1\n1001 1001 4294966294\n");
        assert_eq!(swapped(998, 999), "0 0 998\n998 999 1\n999 998 1\n1000 1000 4294966295\n");
        assert_eq!(swapped(5, 5), "0 0 5\n5 5 1\n6 6 4294967289\n");
    }
}
