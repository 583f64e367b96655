//! Who the agent and the human are, by root's own files, and how root becomes the agent.

use super::SessionError;
use crate::{
    formats::accounts,
    host::users,
    launch::brief::Brief,
    model::{Gid, Uid, facts::Person, view::Private},
};
use nix::unistd;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use std::{fs, io};

/// The accounts of a session.
pub(super) struct Accounts {
    pub(super) agent: Person,
    /// Its groups, its own included.
    pub(super) groups: Vec<Gid>,
    pub(super) human: Person,
    /// All accounts that passwd(5) lists.
    pub(super) all: Vec<Person>,
}

impl Accounts {
    /// Reads them. Those that passwd(5) and group(5) lack are asked for by name.
    pub(super) fn read(brief: &Brief, private: &Private) -> Result<Self, SessionError> {
        let read = |path: &str| {
            let text = fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
            text.map_err(|error| SessionError::Account(format!("can't read {path}: {error}")))
        };
        let all: Vec<_> = read("/etc/passwd")?.lines().filter_map(accounts::person).collect();
        let person = |name: &str| {
            let local = all.iter().find(|person| person.name == name).cloned();
            let found = local.or_else(|| users::person(name).ok().flatten());
            found.ok_or_else(|| SessionError::Account(format!("no account is called `{name}`")))
        };
        let (agent, human) = (person(brief.name.as_str())?, person(&brief.human)?);
        let mut groups = vec![agent.gid];
        let lines: Vec<_> = match private.groups[..] {
            [] => vec![],
            _ => read("/etc/group")?.lines().filter_map(accounts::group).collect(),
        };
        for name in &private.groups {
            let local = lines.iter().find(|group| group.name == *name).cloned();
            let found = local.or_else(|| users::group(name).ok().flatten());
            let group = found.ok_or_else(|| SessionError::Account(format!("no group is called `{name}`")))?;
            groups.push(group.gid);
        }
        let ids_of_root = agent.uid == Uid(0) || human.uid == Uid(0) || groups.contains(&Gid(0));
        if ids_of_root || agent.uid == human.uid {
            let ids = format!("{} has uid {} and gid {}", agent.name, agent.uid, agent.gid);
            return Err(SessionError::Account(format!("{ids}: an agent has ids of its own")));
        }
        Ok(Self { agent, groups, human, all })
    }
}

/// Gives up root's rights, in every form, and makes sure that they can't come back (credentials(7), capabilities(7)).
pub(super) fn become_for_good(accounts: &Accounts) -> io::Result<()> {
    let (uid, gid) =
        (unistd::Uid::from_raw(accounts.agent.uid.0), unistd::Gid::from_raw(accounts.agent.gid.0));
    let mut groups: Vec<_> = accounts.groups.iter().map(|group| unistd::Gid::from_raw(group.0)).collect();
    unistd::setgroups(&groups)?;
    unistd::setresgid(gid, gid, gid)?;
    unistd::setresuid(uid, uid, uid)?;
    // A change of ids leaves the inheritable set as it is, and others too where the securebits say so.
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    let (uids, gids) = (unistd::getresuid()?, unistd::getresgid()?);
    let mut now = unistd::getgroups()?;
    now.sort_unstable_by_key(|group| group.as_raw());
    groups.sort_unstable_by_key(|group| group.as_raw());
    groups.dedup();
    now.dedup();
    let dropped = [uids.real, uids.effective, uids.saved] == [uid; 3]
        && [gids.real, gids.effective, gids.saved] == [gid; 3]
        && now == groups;
    if dropped && unistd::setuid(unistd::Uid::from_raw(0)).is_err() {
        return Ok(());
    }
    Err(io::Error::other("root's rights could not be given up"))
}
