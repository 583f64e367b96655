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
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long an answer that the tree is shared holds, in microseconds. Taking a project back goes over the tree more than once,
/// from its root on, and takes longer for each time.
const HOLDS: u64 = 300;

/// How often a file with another name is looked at once more, and how long after the first time; after each, four times that.
const LOOKS: u32 = 6;
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// How many wait for that at most. The others are left to a sweep.
const MOST_AGAIN: usize = 1024;

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
    /// When the tree was opened, and how many microseconds later it was last found to be shared.
    opened: Instant,
    shared_at: AtomicU64,
    /// Files of the human's that had another name, each with how often it was looked at.
    again: Mutex<Vec<(Place, CString, u32)>>,
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
            opened: Instant::now(),
            shared_at: AtomicU64::new(0),
            again: Mutex::default(),
        })
    }

    /// When files are to be looked at once more that had another name, if there are any. A name that goes raises no event where
    /// the other one stays, and git gives its objects their names so.
    pub fn again_in(&self) -> Option<Duration> {
        let looks = self.waiting().iter().map(|(_, _, looks)| *looks).min()?;
        Some(FIRST_LOOK * 4_u32.pow(looks))
    }

    /// Looks at these files, and mends those that have one name by now.
    pub fn look_again(&self, inotify: BorrowedFd<'_>) {
        let names = std::mem::take(&mut *self.waiting());
        let (pass, mut local) = (self.pass(inotify), Local::default());
        for (place, name, looks) in names {
            let Ok(dir) = place.open(&self.root) else { continue };
            let Ok(meta) = dir.meta_at(&name) else { continue };
            if meta.kind != FileType::RegularFile || meta.dev != self.device {
            } else if meta.nlink == 1 {
                pass.visit(&mut local, Spot { dir: &dir, above: &place, name: &name }, &meta);
                let _ = pass.leave(&mut local, &dir, &place);
            } else if looks + 1 < LOOKS {
                self.waiting().push((place, name, looks + 1));
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(Place, CString, u32)>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
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
        let now = || u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        let asked_at = now();
        let last = self.shared_at.load(Ordering::Relaxed);
        if last != 0 && asked_at < last + HOLDS {
            return true;
        }
        let is_shared = self.ask_whether_shared();
        self.shared_at.store(if is_shared { asked_at } else { 0 }, Ordering::Relaxed);
        is_shared
    }

    fn ask_whether_shared(&self) -> bool {
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

/// What events that wait tell of a name. One look answers all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// It was made here.
    pub made: bool,
    /// It was moved here.
    pub moved_in: bool,
    /// Its mode or owner changed.
    pub changed: bool,
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
        }
        // A walk through its parent may have been there since it was made.
        let came = told.moved_in || told.made && meta.is_dir() && !kept.watches(meta.ino, &place.child(name));
        if meta.is_dir() && !came && !told.changed {
            return true;
        }
        let Ok(dir) = place.open(&kept.root) else {
            self.local.deferred.clear();
            return true;
        };
        if !meta.is_dir() {
            let _ = self.pass.leave(&mut self.local, &dir, place);
        } else if came {
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
        meta.uid == self.kept.owner && !self.is_linked(meta) && !is_private_key(name, meta)
    }

    /// Whether another name of a file may be one that the agent must not write to. Its own it may write anyway.
    fn is_linked(&self, meta: &Meta) -> bool {
        let has_more = meta.kind == FileType::RegularFile && meta.nlink > 1;
        has_more && self.kept.owner == meta.uid && self.kept.owner != self.kept.job.agent
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
        if self.is_linked(meta) {
            let mut waiting = self.kept.waiting();
            if waiting.len() < MOST_AGAIN {
                waiting.push((spot.above.clone(), spot.name.to_owned(), 0));
            }
        } else if !later && self.is_of_concern(spot.name, meta) {
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
