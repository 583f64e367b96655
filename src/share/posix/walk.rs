//! Walks a tree with several threads.
//!
//! Work is a list of places below the root. Each is opened from the root's descriptor, or that of a directory on the way,
//! by openat2(2), which never leads up, aside or through a link; so few descriptors are open, however deep or wide the
//! tree is. A directory that was swapped for another between listing and opening is told by its inode number.

use super::fresh::Fresh;
use super::xattr::{Calls, Target};
use super::{Job, ShareError, Sink};
use crate::formats::posix_acl::{ACCESS, Acl, Perm, Tag};
use crate::host::dir::{Dir, Listing, Meta, PathBytes, Place, listing};
use crate::model::Uid;
use crate::share::report::{Report, Why};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// An object by its directory and name.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    /// The directory that holds it.
    pub(super) dir: &'a Dir,
    /// Where the directory is.
    pub(super) above: &'a Place,
    /// Its name; `.` for the root.
    pub(super) name: &'a CStr,
}

impl Spot<'_> {
    pub(super) fn path(self) -> PathBytes {
        self.above.path_of(self.name)
    }
}

/// A name of a file which has more than one.
pub(super) struct Link {
    pub(super) inode: u64,
    pub(super) above: Place,
    pub(super) name: CString,
}

impl Link {
    pub(super) fn path(&self) -> PathBytes {
        self.above.path_of(&self.name)
    }
}

/// What one thread gathers.
#[derive(Default)]
pub(super) struct Local {
    pub(super) report: Report,
    /// What objects without an ACL need.
    pub(super) fresh: Fresh,
    /// Files with more than one link, for later.
    pub(super) links: Vec<Link>,
    /// Names in the directory at hand which need more than a look.
    pub(super) deferred: Vec<CString>,
    /// Files in the directory at hand and their permission bits, where changes of these are not told of yet.
    pub(super) untold: Option<Vec<(CString, u32)>>,
    /// Whether names in the directory at hand may change under us, where that was asked.
    renamable: Option<bool>,
    /// Inode numbers of recorded objects that were found.
    pub(super) found: HashSet<u64>,
}

impl Local {
    /// Whether somebody but `owner` may rename what the directory at hand holds, so that a name may lead to another object
    /// with each call. Asked once a directory, where something has to be done; what can't be told is taken for so.
    pub(super) fn renamable(&mut self, calls: Calls, dir: &Dir, owner: Uid) -> bool {
        *self.renamable.get_or_insert_with(|| others_may_write(calls, dir, owner).unwrap_or(true))
    }

    fn merge(&mut self, other: Self) {
        self.report.merge(other.report);
        self.links.extend(other.links);
        self.found.extend(other.found);
    }
}

/// What is done to each object.
pub(super) trait Pass: Sync {
    /// Comes into a directory with this inode number, before it is listed.
    fn enter(&self, _local: &mut Local, _dir: &Dir, _place: &Place, _inode: u64) {}

    /// Looks at an object that is no symbolic link and lies on the root's device.
    fn visit(&self, local: &mut Local, spot: Spot<'_>, meta: &Meta);

    /// Works off `local.deferred`, once all of a directory has been visited.
    fn leave(&self, local: &mut Local, dir: &Dir, above: &Place) -> Result<(), ShareError>;

    /// Works on a directory itself, after what it holds but for what lies in its directories.
    fn done(&self, _local: &mut Local, _dir: &Dir, _place: &Place) -> Result<(), ShareError> {
        Ok(())
    }
}

/// A directory that waits. Each thread has some of its own, and gives of them when another has none.
struct Waiting {
    place: Place,
    inode: u64,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    busy: usize,
    failed: Option<ShareError>,
}

struct Walk<'a, P> {
    root: &'a Dir,
    dev: u64,
    pass: &'a P,
    sink: &'a dyn Sink,
    objects: AtomicU64,
    queue: Mutex<Queue>,
    more: Condvar,
    /// How many threads wait for work.
    idle: AtomicUsize,
}

/// Visits the root and everything below it.
pub(super) fn walk(root: &Dir, job: &Job, sink: &dyn Sink, pass: &impl Pass) -> Result<Local, ShareError> {
    let meta = root.meta().map_err(|errno| ShareError::call("fstat", &job.root)(errno.into()))?;
    let mut all = Local::default();
    let place = Place::root();
    pass.visit(&mut all, Spot { dir: root, above: &place, name: c"." }, &meta);
    pass.leave(&mut all, root, &place)?;
    below(root, job, sink, pass, all, vec![Waiting { place, inode: meta.ino }])
}

/// Visits a directory of the tree and everything below it.
pub(super) fn walk_from(
    root: &Dir,
    job: &Job,
    pass: &impl Pass,
    spot: Spot<'_>,
    meta: &Meta,
) -> Result<Local, ShareError> {
    let mut all = Local::default();
    pass.visit(&mut all, spot, meta);
    pass.leave(&mut all, spot.dir, spot.above)?;
    let waiting = vec![Waiting { place: spot.above.child(spot.name), inode: meta.ino }];
    below(root, job, &super::NoSink, pass, all, waiting)
}

fn below(
    root: &Dir,
    job: &Job,
    sink: &dyn Sink,
    pass: &impl Pass,
    mut all: Local,
    waiting: Vec<Waiting>,
) -> Result<Local, ShareError> {
    let meta = root.meta().map_err(|errno| ShareError::call("fstat", &job.root)(errno.into()))?;
    let queue = Mutex::new(Queue { waiting, ..Queue::default() });
    let objects = AtomicU64::new(1);
    let walk = Walk {
        root,
        dev: meta.dev,
        pass,
        sink,
        objects,
        queue,
        more: Condvar::new(),
        idle: AtomicUsize::new(0),
    };
    let joined: Vec<_> = thread::scope(|scope| {
        // One is this one: to start a thread takes longer than to look at a small directory.
        let others: Vec<_> =
            (1..job.threads.clamp(1, super::MOST_THREADS)).map(|_| scope.spawn(|| walk.work())).collect();
        let own = walk.work();
        let others = others.into_iter().map(thread::ScopedJoinHandle::join);
        std::iter::once(Ok(own)).chain(others).collect()
    });
    for local in joined {
        all.merge(local.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    }
    walk.queue.into_inner().unwrap_or_else(PoisonError::into_inner).failed.map_or(Ok(all), Err)
}

impl<P: Pass> Walk<'_, P> {
    fn work(&self) -> Local {
        let mut local = Local::default();
        let mut buffer = listing();
        let mut mine = Vec::new();
        while let Some(dir) = mine.pop().or_else(|| self.take()) {
            match self.directory(&mut local, &mut buffer, &dir) {
                Ok(below) => mine.extend(below),
                Err(error) => {
                    let mut queue = self.lock();
                    queue.failed = queue.failed.take().or(Some(error));
                    mine.clear();
                }
            }
            if mine.is_empty() {
                let mut queue = self.lock();
                queue.busy -= 1;
                // They wait with the lock given back, so that none is missed.
                if self.idle.load(Ordering::Relaxed) > 0 {
                    self.more.notify_all();
                }
            } else if self.idle.load(Ordering::Relaxed) > 0 {
                // The oldest are the highest in the tree, and stand for the most work.
                self.lock().waiting.extend(mine.drain(..mine.len() / 2));
                self.more.notify_all();
            }
        }
        local
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next directory; none when all are done, or one failed for good.
    fn take(&self) -> Option<Waiting> {
        let mut queue = self.lock();
        loop {
            if queue.failed.is_some() {
                return None;
            }
            if let Some(dir) = queue.waiting.pop() {
                queue.busy += 1;
                return Some(dir);
            }
            if queue.busy == 0 {
                return None;
            }
            self.idle.fetch_add(1, Ordering::Relaxed);
            queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Visits what a directory holds, and answers the directories among it.
    fn directory(
        &self,
        local: &mut Local,
        buffer: &mut Listing,
        waiting: &Waiting,
    ) -> Result<Vec<Waiting>, ShareError> {
        let mut below = Vec::new();
        let place = &waiting.place;
        let Some(dir) = self.open(local, waiting) else { return Ok(below) };
        self.pass.enter(local, &dir, place, waiting.inode);
        let before = local.report.objects;
        local.renamable = None;
        let listed = dir.each_once(buffer, |name, kind| {
            if kind == FileType::Symlink {
                return;
            }
            let spot = Spot { dir: &dir, above: place, name };
            match dir.meta_at(name) {
                Ok(meta) if meta.kind == FileType::Symlink => {}
                Ok(meta) if meta.dev != self.dev => local.report.other_device.push(|| spot.path()),
                Ok(meta) => {
                    self.pass.visit(local, spot, &meta);
                    if meta.is_dir() {
                        below.push(Waiting { place: place.child(name), inode: meta.ino });
                    }
                }
                Err(Errno::NOENT) => {}
                Err(errno) => local.report.lack(refused(errno), || spot.path()),
            }
        });
        if let Err(errno) = listed {
            local.report.lack(refused(errno), || place.path());
        }
        self.pass.leave(local, &dir, place)?;
        self.pass.done(local, &dir, place)?;
        let new = local.report.objects - before;
        self.sink.progress(self.objects.fetch_add(new, Ordering::Relaxed) + new);
        Ok(below)
    }

    fn open(&self, local: &mut Local, waiting: &Waiting) -> Option<Dir> {
        let opened = waiting.place.open(self.root);
        let report = &mut local.report;
        match opened.and_then(|dir| Ok((dir.meta()?, dir))) {
            Ok((meta, dir)) if meta.ino == waiting.inode && meta.dev == self.dev => return Some(dir),
            Ok(_) | Err(Errno::LOOP | Errno::NOTDIR) => report.lack(Why::Replaced, || waiting.place.path()),
            Err(Errno::NOENT) => {}
            Err(Errno::XDEV) => report.other_device.push(|| waiting.place.path()),
            Err(Errno::ACCESS) => report.lack(Why::Unreadable, || waiting.place.path()),
            Err(errno) => report.lack(refused(errno), || waiting.place.path()),
        }
        None
    }
}

fn others_may_write(calls: Calls, dir: &Dir, owner: Uid) -> io::Result<bool> {
    let meta = dir.meta()?;
    let bytes = calls.get(Target::Name(dir.as_fd(), c"."), ACCESS)?;
    let acl = match bytes {
        Some(bytes) => Acl::parse(&bytes).map_err(io::Error::other)?,
        None => Acl::from_mode(meta.mode),
    };
    let owners = [Tag::UserObj, Tag::User(owner), Tag::Mask];
    let mut others = acl.entries().iter().filter(|entry| !owners.contains(&entry.tag));
    let writes = |tag| acl.effective(tag).is_some_and(|perm| perm.contains(Perm::WRITE));
    Ok(meta.uid != owner || others.any(|entry| writes(entry.tag)))
}

/// Why an object is not as it should be, after a call that failed.
pub(super) fn refused(error: impl Into<io::Error>) -> Why {
    let error = error.into();
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => Why::Gone,
        _ => Why::Refused(error.to_string()),
    }
}

/// Counts an object that `owner` does not own; answers whether it was one. `stale` tells whether an object of the agent
/// needs the agent's own pass.
pub(super) fn foreign(
    local: &mut Local,
    (job, owner): (&Job, Uid),
    spot: Spot<'_>,
    meta: &Meta,
    stale: impl FnOnce() -> bool,
) -> bool {
    let report = &mut local.report;
    if meta.uid == owner {
        return false;
    } else if meta.uid == job.agent {
        report.agent_owned += 1;
        report.agent_owned_lacking += u64::from(stale());
    } else if meta.uid == job.human {
        report.human_owned += 1;
    } else {
        report.foreign_owner.push(|| spot.path());
    }
    true
}
