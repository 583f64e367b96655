//! The keeper's pass: watches each directory, and gives back to both parties what a tool has just closed to one.
//!
//! A mode that a tool chooses (0600, `mkdir -m 700`, `tar -p`) becomes the mask of a file's ACL and voids our entries;
//! what is moved in from elsewhere has none. Of an owner's files those that lack our entries get them, others lose what a
//! wider mask would let through ([`super::entries::grant`]). The watch comes before the look: what is made meanwhile is in
//! the listing or in an event.
//!
//! A keeper's own changes would be events, too. So a new directory is watched for modes only when what it holds has been mended,
//! and looked at once more; elsewhere they are known by the mode that was left, and cost one look and no reading of an ACL.
//!
//! Places are opened from the root each time, and are taken for the directory that is watched only where they have its inode
//! number: directories are moved, within a project, to another one, and out of all of them.
//!
//! What had an ACL that is not ours is left alone, for its record could not be kept; so are private keys, which ssh and gpg
//! refuse as soon as a group's bit shows, and git's short-lived locks.

mod inbox;
mod mending;
mod pass;

pub use inbox::Inbox;
pub use mending::Mending;

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
use inbox::Told;
use pass::Keep;
use rustix::{fs::FileType, io::Errno};
use std::{
    collections::{HashMap, HashSet},
    ffi::{CStr, CString},
    os::fd::AsFd,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// How long an answer that the tree is shared holds, in microseconds. Taking a project back goes over the tree more than once,
/// from its root on, and takes longer for each time.
const HOLDS: u64 = 300;

/// How often a file with another name is looked at once more, and how long after the first time; after each, four times that.
const LOOKS: u32 = 6;
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// How long the other party's new directory waits. What that party unpacks is not this keeper's to mend, and to watch it meanwhile
/// would take a processor from the keeper whose it is.
const THEIRS: Duration = Duration::from_millis(200);
/// How often it waits on, while names come there.
const MOST_LOOKS_AT_THEIRS: u32 = 10;
/// How many names wait at most.
const MOST_AGAIN: usize = 1024;

/// How many objects are known by the mode that was left. The others are read again.
const MOST_LEFT: usize = 16 * 1024;

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
    /// What is to be looked at once more.
    again: Mutex<Vec<Again>>,
    /// The permission bits that changed objects were left with, by inode number.
    left: Mutex<HashMap<u64, u32>>,
    /// How many changes were made, to take in now and then what the kernel tells of them.
    changes: AtomicU64,
}

/// A name that is looked at once more.
struct Again {
    at: Instant,
    above: Place,
    name: CString,
    /// How often it was.
    looks: u32,
}

/// Directories under watch.
#[derive(Default)]
struct Watched {
    /// By the number of the watch: where it was when the watch was set, and its inode number.
    places: HashMap<i32, (Place, u64)>,
    /// The number of the watch by that of the inode.
    watches: HashMap<u64, i32>,
    /// Those that a sweep came by, while there is one.
    seen: Option<HashSet<i32>>,
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
            left: Mutex::default(),
            changes: AtomicU64::new(0),
        })
    }

    /// When something is to be looked at once more, if anything is: directories of the other party's, and files that had
    /// another name. A name that goes raises no event where the other one stays, and git gives its objects their names so.
    pub fn again_at(&self) -> Option<Instant> {
        self.waiting().iter().map(|again| again.at).min()
    }

    /// Looks at what it is time for.
    pub fn look_again(&self, inbox: &Inbox) {
        let now = Instant::now();
        let due: Vec<Again> = self.waiting().extract_if(.., |again| again.at <= now).collect();
        let (pass, mut local) = (self.pass(inbox), Local::default());
        for Again { above, name, looks, .. } in due {
            let Ok(dir) = above.open_anew(&self.root) else { continue };
            let Ok(meta) = dir.meta_at(&name) else { continue };
            let spot = Spot { dir: &dir, above: &above, name: &name };
            if meta.dev != self.device {
            } else if meta.is_dir() {
                if self.watches(meta.ino, &above.child(&name)) {
                } else if looks < MOST_LOOKS_AT_THEIRS && is_busy(&dir, &name) {
                    self.later(THEIRS, above, name, looks + 1);
                } else {
                    let spot = Spot { above: &above.anew(), ..spot };
                    let _ = walk_from(&self.root, &self.job, &pass, spot, &meta);
                }
            } else if meta.kind == FileType::RegularFile && meta.nlink == 1 {
                pass.visit(&mut local, spot, &meta);
                let _ = pass.leave(&mut local, &dir, &above);
            } else if looks + 1 < LOOKS {
                self.later(FIRST_LOOK * 4_u32.pow(looks + 1), above, name, looks + 1);
            }
        }
    }

    /// Has a name looked at once more; answers false where too many wait.
    fn later(&self, after: Duration, above: Place, name: CString, looks: u32) -> bool {
        let mut waiting = self.waiting();
        let has_room = waiting.len() < MOST_AGAIN;
        if has_room {
            waiting.push(Again { at: Instant::now() + after, above, name, looks });
        }
        has_room
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Again>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, HashMap<u64, u32>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the next event of an object will find, if nobody changes it before.
    fn leave(&self, meta: &Meta, mode: u32) {
        let mut left = self.left();
        if left.len() >= MOST_LEFT {
            left.clear();
        }
        left.insert(meta.ino, mode);
    }

    /// Whether an object is as it was left: chmod(1) shows, for an ACL's mask is in the mode. Answers yes once for each time.
    fn is_as_left(&self, meta: &Meta) -> bool {
        self.left().remove(&meta.ino) == Some(meta.mode & 0o777)
    }

    /// Whether some directory could not be watched, so that only a sweep sees what is made there.
    pub fn is_blind(&self) -> bool {
        self.blind.load(Ordering::Relaxed)
    }

    /// Watches and mends everything. A tree that is no longer shared is left alone. Answers the watches of directories that
    /// are not in it any more, and of which it was not told.
    pub fn sweep(&self, inbox: &Inbox) -> Result<Vec<i32>, ShareError> {
        if !self.is_shared() {
            return Ok(Vec::new());
        }
        self.blind.store(false, Ordering::Relaxed);
        self.watched().seen = Some(HashSet::new());
        let walked = walk(&self.root, &self.job, &NoSink, &self.pass(inbox));
        let seen = self.watched().seen.take().unwrap_or_default();
        walked?;
        let stale: Vec<i32> =
            self.watched().places.keys().filter(|watch| !seen.contains(watch)).copied().collect();
        for watch in &stale {
            self.forget(*watch);
        }
        Ok(stale)
    }

    /// Begins to work off events that are waiting.
    pub fn mending<'a>(&'a self, inbox: &'a Inbox) -> Mending<'a> {
        Mending::new(self.pass(inbox))
    }

    /// Forgets a watch that the kernel has taken away, or that stands for a directory which is not where it was.
    pub fn forget(&self, watch: i32) {
        let mut watched = self.watched();
        let Some((_, inode)) = watched.places.remove(&watch) else { return };
        // Another directory may have the number, and a watch of its own, by now.
        if watched.watches.get(&inode) == Some(&watch) {
            watched.watches.remove(&inode);
        }
    }

    /// Forgets what is known of the directory with this inode number, so that it is looked through when it comes up again.
    fn doubt(&self, inode: u64) {
        self.watched().watches.remove(&inode);
    }

    /// Opens a directory that is watched, if it is where it was.
    fn reach(&self, (place, inode): &(Place, u64)) -> Result<Dir, Errno> {
        let dir = place.open_anew(&self.root)?;
        if dir.meta()?.ino == *inode { Ok(dir) } else { Err(Errno::NOENT) }
    }

    /// A directory on the way was closed to us, with its owner, for a moment perhaps. What happened below it meanwhile is looked for
    /// when it is opened again.
    fn doubt_closed(&self, place: &Place) {
        let mut way: Vec<&Place> = std::iter::successors(Some(place), |place| place.above()).collect();
        way.reverse();
        for pair in way.windows(2) {
            let Ok(above) = pair[0].open_anew(&self.root) else { return };
            let Ok(meta) = above.meta_at(pair[1].name()) else { return };
            if let Err(Errno::ACCESS) = above.open_child(pair[1].name()) {
                return self.doubt(meta.ino);
            }
        }
    }

    /// Whether a watch is one of this tree's.
    pub fn has(&self, watch: i32) -> bool {
        self.watched().places.contains_key(&watch)
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

    fn pass<'a>(&'a self, inbox: &'a Inbox) -> Keep<'a> {
        let (job, owner, calls) = (&self.job, self.owner, self.calls);
        let grant = Grant { job, owner, calls, sink: Some(&NoSink), groups: self.groups.clone() };
        Keep { kept: self, inbox, grant }
    }
}

/// Whether names came or went in a directory since it was last looked at.
fn is_busy(above: &Dir, name: &CStr) -> bool {
    let Ok(stat) = above.open_child(name).and_then(rustix::fs::fstat) else { return false };
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let changed = SystemTime::UNIX_EPOCH + Duration::new(stat.st_mtime.try_into().unwrap_or(0), nanoseconds);
    // A time in the future, after the clock was set, tells nothing.
    changed.elapsed().is_ok_and(|since| since <= THEIRS)
}
