//! The keeper's pass: watches each directory, and gives back to both parties what a tool has just closed to one.
//!
//! A mode that a tool chooses (0600, `mkdir -m 700`, `tar -p`) becomes the mask of a file's ACL and voids our entries;
//! what is moved in from elsewhere has none. Of an owner's files those that lack our entries get them, others lose what a
//! wider mask would let through ([`super::entries::grant`]). The watch comes before the look: what is made meanwhile is in
//! the listing or in an event.
//!
//! What had an ACL that is not ours is left alone, for its record could not be kept; so are private keys, which ssh and gpg
//! refuse as soon as a group's bit shows, and git's short-lived locks.

use super::{
    Job, NoSink, ShareError,
    entries::is_ours,
    grant::{Grant, Groups},
    only_as,
    walk::{Local, Pass, Spot, walk, walk_from},
    xattr::{Calls, Target},
};
use crate::{
    formats::posix_acl::{ACCESS, Acl},
    host::dir::{Dir, Meta, Place},
    model::Uid,
};
use rustix::{
    fs::{
        FileType,
        inotify::{WatchFlags, add_watch},
    },
    io::Errno,
};
use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What the kernel tells of a directory: names that come, and modes that change.
const TOLD: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);

/// A shared tree under watch, for one owner's files.
pub struct Kept {
    job: Job,
    owner: Uid,
    root: Dir,
    device: u64,
    calls: Calls,
    watched: Mutex<Watched>,
    /// Whether the kernel had no watch left for some directory.
    blind: AtomicBool,
    groups: Groups,
}

/// Directories under watch.
#[derive(Default)]
struct Watched {
    /// By the number of the watch: where it was when the watch was set, and its inode number.
    places: HashMap<i32, (Place, u64)>,
    /// The number of the watch by that of the inode, which nobody else gets before the watch is gone.
    watches: HashMap<u64, i32>,
}

impl Kept {
    /// Opens a tree whose files of `owner`, who runs this, are to be kept usable.
    pub fn open(job: Job, owner: Uid) -> Result<Self, ShareError> {
        only_as(owner)?;
        let root = super::open(&job.root)?;
        let meta = root.meta().map_err(|errno| ShareError::call("fstat", &job.root)(errno.into()))?;
        let calls = Calls::probe(&root)?;
        let watched = Mutex::default();
        Ok(Self {
            job,
            owner,
            root,
            device: meta.dev,
            calls,
            watched,
            blind: AtomicBool::new(false),
            groups: Groups::mine(),
        })
    }

    /// Whether some directory could not be watched, so that only a sweep sees what is made there.
    pub fn is_blind(&self) -> bool {
        self.blind.load(Ordering::Relaxed)
    }

    /// Watches and mends everything. A tree that is no longer shared is left alone.
    pub fn sweep(&self, inotify: BorrowedFd<'_>) -> Result<(), ShareError> {
        if !self.is_shared() {
            return Ok(());
        }
        self.blind.store(false, Ordering::Relaxed);
        walk(&self.root, &self.job, &NoSink, &self.pass(inotify)).map(drop)
    }

    /// Begins to work off events that are waiting.
    pub fn mending<'a>(&'a self, inotify: BorrowedFd<'a>) -> Mending<'a> {
        Mending { pass: self.pass(inotify), local: Local::default(), at: None }
    }

    /// Forgets a watch that the kernel has taken away.
    pub fn forget(&self, watch: i32) {
        let mut watched = self.watched();
        if let Some((_, inode)) = watched.places.remove(&watch) {
            watched.watches.remove(&inode);
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this directory is watched there, so that all it held then has been looked at.
    fn watches(&self, inode: u64, place: &Place) -> bool {
        let watched = self.watched();
        let known = watched.watches.get(&inode).and_then(|watch| watched.places.get(watch));
        known.is_some_and(|(known, _)| known.path() == place.path())
    }

    /// Whether the root still has our entries: taking a project back begins there.
    fn is_shared(&self) -> bool {
        let bytes = self.calls.get(Target::Name(self.root.as_fd(), c"."), ACCESS).ok().flatten();
        let acl = bytes.and_then(|bytes| Acl::parse(&bytes).ok());
        acl.is_some_and(|acl| is_ours(&acl, &self.job.tags()))
    }

    fn pass<'a>(&'a self, inotify: BorrowedFd<'a>) -> Keep<'a> {
        let (job, owner, calls) = (&self.job, self.owner, self.calls);
        let grant = Grant { job, owner, calls, sink: Some(&NoSink), groups: self.groups.clone() };
        Keep { kept: self, inotify, grant }
    }
}

/// What an event tells of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was made here.
    Made,
    /// It was moved here.
    MovedIn,
    /// Its mode or owner changed.
    Changed,
}

/// One tree's part in a batch of events. Most events that come together are about one directory, which stays open to look
/// at what it holds. Before anything of the human's is changed there, it is opened anew: it may have been moved out of the
/// project since.
pub struct Mending<'a> {
    pass: Keep<'a>,
    local: Local,
    at: Option<(i32, Place, Dir)>,
}

impl Mending<'_> {
    /// Mends what an event names, and all below it where it is a directory that came. Answers false for an event of
    /// another tree.
    pub fn mend(&mut self, watch: i32, name: &CStr, told: Told) -> bool {
        let kept = self.pass.kept;
        if self.at.as_ref().is_none_or(|(at, ..)| *at != watch) {
            let known = kept.watched().places.get(&watch).cloned();
            let Some((place, _)) = known else { return false };
            // What can't be reached any more is gone, or was moved; then an event from where it is now tells of it.
            let Ok(dir) = place.open(&kept.root) else { return true };
            self.at = Some((watch, place, dir));
        }
        let Some((_, place, dir)) = &self.at else { return true };
        let Ok(meta) = dir.meta_at(name) else { return true };
        if meta.kind == FileType::Symlink || meta.dev != kept.device {
            return true;
        }
        if !meta.is_dir() {
            self.pass.visit(&mut self.local, Spot { dir, above: place, name }, &meta);
            if self.local.deferred.is_empty() {
                return true;
            }
        } else if told == Told::Made && kept.watches(meta.ino, &place.child(name)) {
            // A walk through its parent has been here since it was made.
            return true;
        }
        let Ok(dir) = place.open(&kept.root) else {
            self.local.deferred.clear();
            return true;
        };
        if !meta.is_dir() {
            let _ = self.pass.leave(&mut self.local, &dir, place);
        } else if told != Told::Changed {
            let spot = Spot { dir: &dir, above: place, name };
            let _ = walk_from(&kept.root, &kept.job, &self.pass, spot, &meta);
        } else if let Ok(itself) = dir.open_child(name) {
            let _ = self.pass.done(&mut self.local, &itself, &place.child(name));
        }
        true
    }
}

struct Keep<'a> {
    kept: &'a Kept,
    inotify: BorrowedFd<'a>,
    grant: Grant<'a>,
}

impl Keep<'_> {
    fn is_of_concern(&self, name: &CStr, meta: &Meta) -> bool {
        let files_with_other_names = meta.kind == FileType::RegularFile && meta.nlink > 1;
        let own = meta.uid == self.kept.owner;
        // Another name of a file of the human's may be one that the agent must not write to. Its own it may write anyway.
        own && !(files_with_other_names && self.kept.owner != self.kept.job.agent)
            && !is_private_key(name, meta)
    }

    /// Mends an object that can't be replaced by one of somebody else's under us. What fails is left to the next sweep.
    fn settle(
        &self,
        local: &mut Local,
        target: Target<'_>,
        meta: &Meta,
        path: impl FnOnce() -> crate::host::dir::PathBytes,
    ) {
        match self.grant.change(&mut local.fresh, target, meta, false) {
            Ok(Some(change)) if change.record => {}
            found @ Ok(Some(_)) => {
                let path = path();
                if !is_left_alone(path.as_bytes()) && self.kept.is_shared() {
                    self.grant.finish(&mut local.report, target, found, || path);
                }
            }
            _ => {}
        }
    }
}

impl Pass for Keep<'_> {
    fn enter(&self, dir: &Dir, place: &Place, inode: u64) {
        let path = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
        match add_watch(self.inotify, path, TOLD) {
            Ok(watch) => {
                let mut watched = self.kept.watched();
                watched.places.insert(watch, (place.clone(), inode));
                watched.watches.insert(inode, watch);
            }
            Err(Errno::NOSPC | Errno::NOMEM) => self.kept.blind.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
    }

    fn visit(&self, local: &mut Local, spot: Spot<'_>, meta: &Meta) {
        // Directories have their turn in `done`, when what they hold is watched and mended.
        let later = meta.is_dir() && meta.mode & 0o400 != 0;
        if !later && self.is_of_concern(spot.name, meta) {
            let target = Target::Name(spot.dir.as_fd(), spot.name);
            if self.kept.owner == self.kept.job.agent {
                // Whoever could put another file in its place is the agent itself, or the human.
                return self.settle(local, target, meta, || spot.path());
            }
            let by_name = self.grant.change(&mut local.fresh, target, meta, false);
            if matches!(by_name, Ok(Some(_))) {
                local.deferred.push(spot.name.to_owned());
            }
        }
    }

    fn leave(&self, local: &mut Local, dir: &Dir, above: &Place) -> Result<(), ShareError> {
        let names: Vec<CString> = std::mem::take(&mut local.deferred);
        for name in names {
            let Ok((pin, meta)) = super::grant::pin(dir, &name) else { continue };
            if self.is_of_concern(&name, &meta) {
                self.settle(local, Target::Pin(pin.as_fd()), &meta, || above.path_of(&name));
            }
        }
        Ok(())
    }

    fn done(&self, local: &mut Local, dir: &Dir, place: &Place) -> Result<(), ShareError> {
        if let Ok(meta) = dir.meta()
            && meta.uid == self.kept.owner
        {
            self.settle(local, Target::Name(dir.as_fd(), c"."), &meta, || place.path());
        }
        Ok(())
    }
}

/// A key as ssh and openssl make them, as long as nobody but its owner may read it.
fn is_private_key(name: &CStr, meta: &Meta) -> bool {
    let name = name.to_bytes();
    let key = name.starts_with(b"id_") && !name.ends_with(b".pub")
        || name.ends_with(b".pem")
        || name.ends_with(b".key");
    let by_others = 0o077;
    key && meta.kind == FileType::RegularFile && meta.mode & by_others == 0
}

/// Directories of keys, and git's locks, which become the file that they are for in a moment.
fn is_left_alone(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/');
    let is_in = |name: &[u8]| path.split(|byte| *byte == b'/').any(|part| part == name);
    parts.any(|part| part == b".ssh" || part == b".gnupg") || path.ends_with(b".lock") && is_in(b".git")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_locks_are_left_alone() {
        for path in [".ssh/config", "a/.gnupg", ".git/index.lock", "sub/.git/refs/heads/main.lock"] {
            assert!(is_left_alone(path.as_bytes()), "{path}");
        }
        for path in ["Cargo.lock", "yarn.lock", ".git/index", ".sshd", "a/ssh/b", ".env"] {
            assert!(!is_left_alone(path.as_bytes()), "{path}");
        }
    }
}
