//! What the kernel tells of watched directories, taken in before its queue is full and worked off when there is time.
//!
//! The queue has 16384 places by default (`fs.inotify.max_queued_events`, inotify(7)), and a keeper's own changes go through it,
//! too: a walk that did not take in what comes meanwhile would lose events by itself.

use crate::host::dir::Dir;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch},
    io::Errno,
};
use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Room for what one read(2) answers.
const ROOM: usize = 64 * 1024;
/// How many names are held at most. Whoever makes more at once has the tree swept.
const MOST: usize = 200_000;

/// What the kernel tells of a directory: names that come,
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK)
    // Else the kernel empties the mask for a moment before it sets the new one, and names that come then are lost.
    .union(WatchFlags::MASK_ADD);
/// and modes that change.
const NAMES_AND_MODES: WatchFlags = NAMES.union(WatchFlags::ATTRIB);

/// What events tell of a name. One look answers all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// It was made here.
    pub made: bool,
    /// It was moved here.
    pub moved_in: bool,
    /// Its mode or owner changed.
    pub changed: bool,
}

/// Events that were taken in together. All of them happened before anything is looked at, so that one look at a name is enough.
#[derive(Default)]
pub struct Batch {
    /// Watches and names in the order in which they came up.
    pub named: Vec<((i32, CString), Told)>,
    /// Watches that the kernel took away, because their directory is gone.
    pub gone: Vec<i32>,
    /// Whether events were lost.
    pub lost: bool,
    /// Where each name is in the list.
    known: HashMap<(i32, CString), usize>,
}

/// The watches of one keeper, and what was taken in of their events.
pub struct Inbox {
    inotify: OwnedFd,
    taken: Mutex<(Batch, Vec<MaybeUninit<u8>>)>,
}

impl Inbox {
    /// One without a watch.
    pub fn new() -> io::Result<Self> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { inotify, taken: Mutex::new((Batch::default(), vec![MaybeUninit::uninit(); ROOM])) })
    }

    /// Watches a directory, or goes on to: there is one watch an inode.
    pub(super) fn watch(&self, dir: &Dir, modes: bool) -> Result<i32, Errno> {
        let told = if modes { NAMES_AND_MODES } else { NAMES };
        add_watch(&self.inotify, format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()), told)
    }

    /// Ends a watch. One that is gone already needs no end.
    pub fn unwatch(&self, watch: i32) {
        let _ = remove_watch(&self.inotify, watch);
    }

    /// Waits until there is something to take in or to work off, for some time; answers whether there is.
    pub fn wait(&self, most: Duration) -> io::Result<bool> {
        if !self.taken().0.is_empty() {
            return Ok(true);
        }
        let mut one = [PollFd::new(&self.inotify, PollFlags::IN)];
        let most = Timespec { tv_sec: most.as_secs().cast_signed(), tv_nsec: most.subsec_nanos().into() };
        match poll(&mut one, Some(&most)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes in what waits.
    pub fn take_in(&self) -> io::Result<()> {
        let (batch, room) = &mut *self.taken();
        let mut events = Reader::new(&self.inotify, room);
        while !batch.lost {
            match events.next() {
                Ok(event) => batch.add(event.wd(), event.events(), event.file_name()),
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// What was taken in, to be worked off.
    pub fn batch(&self) -> Batch {
        std::mem::take(&mut self.taken().0)
    }

    fn taken(&self) -> MutexGuard<'_, (Batch, Vec<MaybeUninit<u8>>)> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.gone.is_empty() && !self.lost
    }

    fn add(&mut self, watch: i32, events: ReadFlags, name: Option<&CStr>) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) || self.named.len() >= MOST {
            (self.named, self.known, self.lost) = (Vec::new(), HashMap::new(), true);
        } else if events.contains(ReadFlags::IGNORED) {
            self.gone.push(watch);
        } else if let Some(name) = name {
            let key = (watch, name.to_owned());
            let at = *self.known.entry(key.clone()).or_insert_with(|| {
                self.named.push((key, Told::default()));
                self.named.len() - 1
            });
            let told = &mut self.named[at].1;
            told.made |= events.contains(ReadFlags::CREATE);
            told.moved_in |= events.contains(ReadFlags::MOVED_TO);
            told.changed |= events.contains(ReadFlags::ATTRIB);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_at_a_name_for_all_that_was_told_of_it() {
        let mut batch = Batch::default();
        batch.add(1, ReadFlags::CREATE | ReadFlags::ISDIR, Some(c"a"));
        batch.add(2, ReadFlags::ATTRIB, Some(c"a"));
        batch.add(1, ReadFlags::ATTRIB, Some(c"a"));
        batch.add(2, ReadFlags::IGNORED, None);
        let told = |watch, made, changed| ((watch, c"a".to_owned()), Told { made, changed, moved_in: false });
        assert_eq!(batch.named, [told(1, true, true), told(2, false, true)]);
        assert_eq!(batch.gone, [2]);
        assert!(!batch.lost);
        batch.add(-1, ReadFlags::QUEUE_OVERFLOW, None);
        assert!(batch.lost && batch.named.is_empty() && batch.gone == [2]);
    }
}
