//! What a keeper does with each object that it comes by, in a walk or for an event.

use super::{FIRST_LOOK, Inbox, Kept};
use crate::{
    host::dir::{Dir, Meta, PathBytes, Place},
    share::posix::{
        ShareError,
        grant::{Grant, pin},
        walk::{Local, Pass, Spot},
        xattr::Target,
    },
};
use rustix::{fs::FileType, io::Errno};
use std::{
    ffi::{CStr, CString},
    os::fd::AsFd,
    sync::atomic::Ordering,
};

/// After how many changes of its own a keeper takes in what the kernel tells of them.
const OWN_CHANGES: u64 = 1024;

/// The pass over one tree.
pub(super) struct Keep<'a> {
    pub(super) kept: &'a Kept,
    pub(super) inbox: &'a Inbox,
    pub(super) grant: Grant<'a>,
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

    /// Mends an object that can't be replaced by one of somebody else's under us, and answers whether it did, and which permission
    /// bits it has then. What fails is left to the next sweep.
    fn settle(
        &self,
        local: &mut Local,
        target: Target<'_>,
        meta: &Meta,
        path: impl FnOnce() -> PathBytes,
    ) -> (bool, u32) {
        if let Ok(Some(change)) = self.grant.change(&mut local.fresh, target, meta, false)
            && !change.record
        {
            let path = path();
            if !is_left_alone(path.as_bytes()) && self.kept.is_shared() {
                let mode = change.mode;
                self.grant.finish(&mut local.report, target, Ok(Some(change)), || path);
                return (true, mode);
            }
        }
        (false, meta.mode & 0o777)
    }

    /// The same for a name in an open directory.
    fn settle_name(
        &self,
        local: &mut Local,
        target: Target<'_>,
        meta: &Meta,
        (above, name): (&Place, &CStr),
    ) {
        let (changed, mode) = self.settle(local, target, meta, || above.path_of(name));
        if let Some(untold) = &mut local.untold {
            untold.push((name.to_owned(), mode));
        } else if changed {
            self.own_change(meta, mode);
        }
    }

    /// Notes a change that an event will tell of.
    fn own_change(&self, meta: &Meta, mode: u32) {
        self.kept.leave(meta, mode);
        if self.kept.changes.fetch_add(1, Ordering::Relaxed) % OWN_CHANGES == OWN_CHANGES - 1 {
            // What it can't take in it is told to have lost.
            let _ = self.inbox.take_in();
        }
    }

    fn watch(&self, dir: &Dir, place: &Place, inode: u64, modes: bool) {
        match self.inbox.watch(dir, modes) {
            Ok(watch) => {
                let mut watched = self.kept.watched();
                watched.places.insert(watch, (place.clone(), inode));
                watched.watches.insert(inode, watch);
                if let Some(seen) = &mut watched.seen {
                    seen.insert(watch);
                }
            }
            Err(Errno::NOSPC | Errno::NOMEM) => self.kept.blind.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
    }
}

impl Pass for Keep<'_> {
    fn enter(&self, local: &mut Local, dir: &Dir, place: &Place, inode: u64) {
        let is_new = !self.kept.watches(inode, place);
        self.watch(dir, place, inode, !is_new);
        local.untold = is_new.then(Vec::new);
    }

    fn visit(&self, local: &mut Local, spot: Spot<'_>, meta: &Meta) {
        // Directories have their turn in `done`, when what they hold is watched and mended.
        let later = meta.is_dir() && meta.mode & 0o400 != 0;
        if self.is_linked(meta) {
            // Where too many wait, the others are left to a sweep.
            let _ = self.kept.later(FIRST_LOOK, spot.above.clone(), spot.name.to_owned(), 0);
        } else if !later && self.is_of_concern(spot.name, meta) {
            let target = Target::Name(spot.dir.as_fd(), spot.name);
            if self.kept.owner == self.kept.job.agent {
                // Whoever could put another file in its place is the agent itself, or the human.
                return self.settle_name(local, target, meta, (spot.above, spot.name));
            }
            let by_name = self.grant.change(&mut local.fresh, target, meta, false);
            if matches!(by_name, Ok(Some(_))) {
                local.deferred.push(spot.name.to_owned());
            } else if let Some(untold) = &mut local.untold {
                untold.push((spot.name.to_owned(), meta.mode & 0o777));
            }
        }
    }

    fn leave(&self, local: &mut Local, dir: &Dir, above: &Place) -> Result<(), ShareError> {
        let names: Vec<CString> = std::mem::take(&mut local.deferred);
        for name in names {
            let Ok((pin, meta)) = pin(dir, &name) else { continue };
            if self.is_of_concern(&name, &meta) {
                self.settle_name(local, Target::Pin(pin.as_fd()), &meta, (above, &name));
            }
        }
        Ok(())
    }

    fn done(&self, local: &mut Local, dir: &Dir, place: &Place) -> Result<(), ShareError> {
        let Ok(meta) = dir.meta() else { return Ok(()) };
        if meta.uid == self.kept.owner {
            let (changed, mode) = self.settle(local, Target::Name(dir.as_fd(), c"."), &meta, || place.path());
            if changed {
                self.own_change(&meta, mode);
            }
        }
        let Some(untold) = local.untold.take() else { return Ok(()) };
        self.watch(dir, place, meta.ino, true);
        for (name, mode) in untold {
            if let Ok(meta) = dir.meta_at(&name)
                && meta.mode & 0o777 != mode
                && meta.kind != FileType::Symlink
            {
                self.visit(local, Spot { dir, above: place, name: &name }, &meta);
            }
        }
        self.leave(local, dir, place)
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
