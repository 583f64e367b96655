//! Gives what one account owns in a tree to another. Run as root over a tree which the first account shaped and may still
//! be changing, so each object is pinned by a descriptor, judged there and changed there: no name is looked up twice.

use super::{Dir, DirError, Listed, Meta, PathBytes, Place, listing};
use crate::model::{Gid, Uid};
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};

/// What a hand-over did, with paths below its root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOverReport {
    /// Objects that changed hands.
    pub changed: u64,
    /// Left alone: they have more than one name, and another may lie elsewhere.
    pub linked: Listed<PathBytes>,
    /// Left alone: on another device, or a mount point.
    pub other_device: Listed<PathBytes>,
    /// Left alone: gone or replaced meanwhile, or the kernel refused.
    pub failed: Listed<PathBytes>,
}

struct HandOver {
    from: Uid,
    owner: (rustix::fs::Uid, rustix::fs::Gid),
    dev: u64,
    report: HandOverReport,
}

/// Gives every object of `from` below and including `root` to `to` and `group`: on the same device only, and nothing but
/// directories may have more than one link. Symbolic links change hands themselves; the kernel drops set-id bits.
pub fn hand_over(root: &Dir, from: Uid, to: Uid, group: Gid) -> Result<HandOverReport, DirError> {
    let meta = root.meta().map_err(|errno| DirError::call("fstat", ".", errno))?;
    let owner = (rustix::fs::Uid::from_raw(to.0), rustix::fs::Gid::from_raw(group.0));
    let mut work = HandOver { from, owner, dev: meta.dev, report: HandOverReport::default() };
    let mut buffer = listing();
    let mut pending = vec![Place::root()];
    while let Some(place) = pending.pop() {
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
    work.object(root, &Place::root(), c".");
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
            Ok(meta) if meta.uid != self.from => {}
            Ok(meta) if !meta.is_dir() && meta.nlink != 1 => self.report.linked.push(listed),
            Ok(_) => {
                let (uid, gid) = self.owner;
                match rustix::fs::chownat(&pin, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH) {
                    Ok(()) => self.report.changed += 1,
                    Err(_) => self.report.failed.push(listed),
                }
            }
            Err(_) => self.report.failed.push(listed),
        }
    }
}
