//! How a child is sent on an errand, and what it does before: root's rights go by all four uids, and the human's tools are
//! asked in a network namespace without a network.

use super::Human;
use crate::{
    discover::Found,
    host::{
        role::{self, Role, Started},
        tools,
    },
    model::{Gid, Uid},
};
use nix::sched::{CloneFlags, unshare};
use std::{collections::BTreeMap, io, os::fd::OwnedFd, path::Path};

/// The account that owns nothing.
const NOBODY: u32 = 65_534;

/// Starts the child.
pub(super) fn start(stdin: OwnedFd, stdout: OwnedFd) -> io::Result<Started> {
    role::start(Role::Errand, stdin, Some(stdout))
}

/// Becomes nobody.
pub(super) fn become_nobody() -> io::Result<()> {
    give_up_rights(Uid(NOBODY), Gid(NOBODY))
}

/// Becomes the human, in a network namespace without a network, and asks their tools.
pub(super) fn ask_tools(human: &Human, presets: Vec<String>) -> io::Result<BTreeMap<String, Found>> {
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| unkept(&error))?;
        give_up_rights(human.uid, human.gid)?;
    }
    let programs = tools::locate(&human.home, &human.path, human.uid.0);
    if !is_root {
        leave_the_network(human)?;
        give_up_rights(human.uid, human.gid)?;
    }
    let asked = tools::Human { name: &human.name, home: &human.home, programs: &programs };
    Ok(presets.into_iter().map(|preset| (preset.clone(), asked.discover(&preset))).collect())
}

fn unkept(error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("tools are not asked, for they could not be kept from the network: {error}"))
}

/// Moves to a network namespace without a network, where nobody has root's rights to do so: by a user namespace.
fn leave_the_network(human: &Human) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(|error| unkept(&error))?;
    let map = |file: &str, text: String| std::fs::write(Path::new("/proc/self").join(file), text);
    map("setgroups", "deny".into())
        .and_then(|()| map("uid_map", format!("{0} {0} 1", human.uid)))
        .and_then(|()| map("gid_map", format!("{0} {0} 1", human.gid)))
        .map_err(|error| unkept(&error))
}

/// Becomes an account in every form, and makes sure that root's rights can't come back. Whoever has none to give up must be
/// that account already.
fn give_up_rights(uid: Uid, gid: Gid) -> io::Result<()> {
    use nix::unistd::{getresgid, getresuid, setgroups, setresgid, setresuid, setuid};
    let (user, group) = (nix::unistd::Uid::from_raw(uid.0), nix::unistd::Gid::from_raw(gid.0));
    if user.is_root() {
        return Err(io::Error::other("an errand is never done as root"));
    }
    if rustix::process::geteuid().is_root() {
        setgroups(&[])?;
        setresgid(group, group, group)?;
        setresuid(user, user, user)?;
    } else if uid.0 == NOBODY {
        return Err(io::Error::other("only root can send a child to the network as nobody"));
    }
    rustix::thread::set_no_new_privs(true)?;
    let (uids, gids) = (getresuid()?, getresgid()?);
    let dropped = [uids.real, uids.effective, uids.saved] == [user; 3]
        && [gids.real, gids.effective, gids.saved] == [group; 3];
    if dropped && setuid(nix::unistd::Uid::from_raw(0)).is_err() {
        return Ok(());
    }
    Err(io::Error::other("root's rights could not be given up"))
}
