//! The way to a project: search permission for the agent on a directory above it, and no more, so that it can pass but
//! not list. A directory may be on the way of several agents.
//!
//! The record of such a directory therefore belongs to the machine and not to one agent: it says what was there before
//! the first of them, and serves each that leaves, in any order.

use super::entries::{grant, restore, strip_keeping_chmod, user};
use super::grant::Groups;
use super::record::Prior;
use super::xattr::{Calls, Target};
use super::{Passage, PassageEnd, ShareError, Sink, only_as, open};
use crate::formats::posix_acl::{ACCESS, Acl, Perm, Tag};
use crate::host::dir::{Dir, Meta, PathBytes};
use crate::model::{AbsPath, Uid};
use std::os::fd::AsFd;

/// An opened directory of the owner.
struct Parent<'a> {
    path: &'a AbsPath,
    dir: Dir,
    meta: Meta,
    calls: Calls,
    /// The ACL, or what the mode stands for.
    acl: Acl,
}

impl<'a> Parent<'a> {
    fn open(path: &'a AbsPath, owner: Uid) -> Result<Self, ShareError> {
        let dir = open(path)?;
        let meta = dir.meta().map_err(|errno| ShareError::call("fstat", path)(errno.into()))?;
        if meta.uid != owner {
            return Err(ShareError::NotOwned { path: path.clone(), found: meta.uid, owner });
        }
        let calls = Calls::probe(&dir)?;
        let bytes =
            calls.get(Target::Name(dir.as_fd(), c"."), ACCESS).map_err(ShareError::call("getxattr", path))?;
        let acl = match bytes {
            Some(bytes) => Acl::parse(&bytes).map_err(|_| ShareError::Malformed(path.clone()))?,
            None => Acl::from_mode(meta.mode),
        };
        Ok(Self { path, dir, meta, calls, acl })
    }

    fn passage(&self, agent: Uid) -> Passage {
        let tag = Tag::User(agent);
        match (self.acl.get(tag), self.acl.effective(tag)) {
            (_, Some(perm)) if perm.contains(Perm::EXECUTE) => Passage::Open,
            (Some(perm), _) if perm.contains(Perm::EXECUTE) => Passage::Voided,
            _ => Passage::Missing,
        }
    }

    fn set(&self, bytes: &[u8]) -> Result<(), ShareError> {
        if Groups::mine().cost_set_group_id(&self.meta) {
            return Err(ShareError::SetGroupId(self.path.clone()));
        }
        let target = Target::Name(self.dir.as_fd(), c".");
        self.calls.set(target, ACCESS, bytes).map_err(ShareError::call("setxattr", self.path))
    }
}

/// Lets `agent` pass `dir`, which `owner` owns. Nobody else gains. Answers how it was before.
///
/// The record goes to `sink` unless an entry of the agent is there already; of several records about one directory the
/// first is the one to keep.
pub fn traverse_apply(dir: &AbsPath, agent: Uid, owner: Uid, sink: &dyn Sink) -> Result<Passage, ShareError> {
    only_as(owner)?;
    let parent = Parent::open(dir, owner)?;
    let passage = parent.passage(agent);
    if passage == Passage::Open {
        return Ok(passage);
    }
    let present = parent.acl.get(Tag::User(agent));
    if present.is_none() {
        let prior = Prior::of(
            parent.calls,
            parent.dir.as_fd(),
            PathBytes::default(),
            &parent.meta,
            &[Tag::User(agent)],
        );
        let prior = prior.map_err(ShareError::Record)?;
        sink.prior(&[prior]).map_err(ShareError::Record)?;
    }
    // Only the search bit may rise: what the entry asks for beyond it stays behind the mask.
    let mut raised = grant(&parent.acl, &[user(agent, Perm::EXECUTE)]);
    raised.put(Tag::User(agent), present.unwrap_or_default() | Perm::EXECUTE);
    parent.set(&raised.render())?;
    Ok(passage)
}

/// Tells whether `agent` can pass `dir`; only reads.
pub fn traverse_check(dir: &AbsPath, agent: Uid, owner: Uid) -> Result<Passage, ShareError> {
    Ok(Parent::open(dir, owner)?.passage(agent))
}

/// Takes the agent's entry off `dir`. With the record of what was there before the first agent, exactly that comes back
/// when the last one leaves; without one, the mode or the ACL less our entry. What chmod(1) set since is kept.
pub fn traverse_revert(
    dir: &AbsPath,
    agent: Uid,
    owner: Uid,
    before: Option<&Prior>,
) -> Result<PassageEnd, ShareError> {
    only_as(owner)?;
    let parent = Parent::open(dir, owner)?;
    let tag = Tag::User(agent);
    if parent.acl.get(tag).is_none() {
        return Ok(PassageEnd::Nothing);
    }
    let same = |prior: &&Prior| prior.is_about(parent.dir.as_fd(), &parent.meta).unwrap_or(false);
    let prior = before.filter(same);
    let restored =
        prior.and_then(Prior::access_acl).and_then(|acl| restore(&parent.acl, &acl, &[tag], grant));
    let end = match (&restored, prior) {
        (None, Some(_)) => PassageEnd::Altered,
        (None, None) if parent.acl.mask() != Some(parent.acl.union()) => PassageEnd::Altered,
        _ => PassageEnd::Restored,
    };
    let new = restored.unwrap_or_else(|| strip_keeping_chmod(&parent.acl, tag));
    parent.set(&new.render())?;
    Ok(end)
}
