//! Gives what one account owns in a tree to another. Run as root over a tree which the first account shaped and may still
//! be changing, so each object is pinned by a descriptor, judged there and changed there: no name is looked up twice.
//!
//! Nothing that the first account chose lets it, or a friend, in afterwards: named entries and default ACLs go, and others
//! can't write. A directory changes hands before it is listed, so that nothing comes into it any more.

use super::{Dir, DirError, Listed, Meta, PathBytes, Place, listing};
use crate::formats::posix_acl::{ACCESS, Acl, DEFAULT, Perm, Tag};
use crate::model::{Gid, Uid};
use rustix::fs::{AtFlags, FileType, Mode, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};

/// What a hand-over did, with paths below its root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOverReport {
    /// Objects that changed hands.
    pub changed: u64,
    /// Left alone: on another device, or a mount point.
    pub other_device: Listed<PathBytes>,
    /// Left alone: gone or replaced meanwhile, or the kernel refused.
    pub failed: Listed<PathBytes>,
}

/// An account's ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: Uid,
    /// Group id.
    pub gid: Gid,
}

struct HandOver {
    from: Account,
    to: Account,
    dev: u64,
    report: HandOverReport,
}

/// Gives every object of `from` below and including `root` to `to`, on the same device only, and every object of `to` that
/// has the group of `from` the group of `to`. What has other names goes too, for through these its owner could go on
/// writing it. Symbolic links change hands themselves; the kernel drops set-id bits.
///
/// `each` is called before each directory: `from` may make them faster than they are taken, and then has to be stopped.
pub fn hand_over(
    root: &Dir,
    from: Account,
    to: Account,
    each: &mut dyn FnMut(),
) -> Result<HandOverReport, DirError> {
    let meta = root.meta().map_err(|errno| DirError::call("fstat", ".", errno))?;
    let mut work = HandOver { from, to, dev: meta.dev, report: HandOverReport::default() };
    work.object(root, &Place::root(), c".");
    let mut buffer = listing();
    let mut pending = vec![Place::root()];
    while let Some(place) = pending.pop() {
        each();
        let dir = match place.open(root) {
            Ok(dir) => dir,
            Err(Errno::XDEV) => continue, // listed as an object already
            Err(_) => {
                work.report.failed.push(|| place.path());
                continue;
            }
        };
        let mut inside = Vec::<CString>::new();
        let listed = dir.each(&mut buffer, |name, kind| {
            work.object(&dir, &place, name);
            if matches!(kind, FileType::Directory | FileType::Unknown) {
                inside.push(name.to_owned());
            }
        });
        if listed.is_err() {
            work.report.failed.push(|| place.path());
        }
        inside.retain(|name| dir.meta_at(name).is_ok_and(|meta| meta.is_dir()));
        pending.extend(inside.iter().map(|name| place.child(name)));
    }
    Ok(work.report)
}

impl HandOver {
    fn object(&mut self, dir: &Dir, place: &Place, name: &CStr) {
        let listed = || place.path_of(name);
        let pin = match dir.pin(name) {
            Ok(pin) => pin,
            Err(Errno::XDEV) => return self.report.other_device.push(listed),
            Err(_) => return self.report.failed.push(listed),
        };
        match Meta::of(&pin) {
            Ok(meta) if meta.dev != self.dev => self.report.other_device.push(listed),
            Ok(meta) => match self.take(&pin, &meta) {
                Ok(changed) => self.report.changed += u64::from(changed),
                Err(_) => self.report.failed.push(listed),
            },
            Err(_) => self.report.failed.push(listed),
        }
    }

    /// Changes the owner, and what the old one let others do.
    fn take(&self, pin: &OwnedFd, meta: &Meta) -> Result<bool, Errno> {
        let (from, to) = (self.from, self.to);
        let chown = |uid: Option<Uid>| {
            let (uid, gid) =
                (uid.map(|uid| rustix::fs::Uid::from_raw(uid.0)), rustix::fs::Gid::from_raw(to.gid.0));
            rustix::fs::chownat(pin, c"", uid, Some(gid), AtFlags::EMPTY_PATH)
        };
        if meta.uid == to.uid && meta.gid == from.gid && to != from {
            chown(None)?;
        }
        if meta.uid != from.uid {
            return Ok(false);
        }
        chown(Some(to.uid))?;
        if meta.kind != FileType::Symlink {
            close_to_others(pin, meta)?;
        }
        Ok(true)
    }
}

/// Leaves of an ACL what a mode can say. Nobody gains by it but the owner of a directory, who may go into it.
fn close_to_others(pin: &OwnedFd, meta: &Meta) -> Result<(), Errno> {
    const LARGEST: usize = 64 * 1024;
    let path = format!("/proc/self/fd/{}", pin.as_raw_fd());
    let mut room = vec![0; LARGEST];
    let found = match rustix::fs::getxattr(&*path, ACCESS, room.as_mut_slice()) {
        Ok(length) => Some(Acl::parse(&room[..length]).map_err(|_| Errno::INVAL)?),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => None,
        Err(errno) => return Err(errno),
    };
    // The last look was before the change of hands; after it the old owner can change nothing.
    let mode = Meta::of(pin)?.mode;
    let perm = |tag| found.as_ref().and_then(|acl| acl.effective(tag));
    let mut bare = Acl::from_mode(mode);
    bare.put(Tag::GroupObj, perm(Tag::GroupObj).or(bare.get(Tag::GroupObj)).unwrap_or_default());
    bare.put(Tag::Other, bare.get(Tag::Other).unwrap_or_default().without(Perm::WRITE));
    if meta.is_dir() {
        bare.put(Tag::UserObj, Perm::ALL);
        match rustix::fs::removexattr(&*path, DEFAULT) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    if found.is_some() {
        // One that says no more than a mode becomes that mode, in one step.
        rustix::fs::setxattr(&*path, ACCESS, &bare.render(), XattrFlags::empty())
    } else if bare.mode() != mode & 0o777 {
        rustix::fs::chmod(&*path, Mode::from_raw_mode(bare.mode() | mode & 0o7000))
    } else {
        Ok(())
    }
}
