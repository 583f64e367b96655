//! One look at each name that events tell of.

use super::{THEIRS, Told, pass::Keep};
use crate::{
    host::dir::{Dir, Place},
    share::posix::walk::{Local, Pass, Spot, walk_from},
};
use rustix::{fs::FileType, io::Errno};
use std::ffi::CStr;

/// How many directories stay open while events are worked off.
const OPEN: usize = 4;

/// One tree's part in a batch of events. Most events that come together are about few directories, which stay open to look
/// at what they hold. Before anything of the human's is changed there, it is opened anew: it may have been moved out of the
/// project since.
pub struct Mending<'a> {
    pass: Keep<'a>,
    local: Local,
    /// By the number of the watch, the one that was used last at the end.
    open: Vec<(i32, Place, Dir)>,
}

impl<'a> Mending<'a> {
    pub(super) fn new(pass: Keep<'a>) -> Self {
        Self { pass, local: Local::default(), open: Vec::with_capacity(OPEN) }
    }

    /// Mends what an event names, and all below it where it is a directory that came. Answers false for an event of
    /// another tree, or of none any more.
    pub fn mend(&mut self, watch: i32, name: &CStr, told: Told) -> bool {
        let kept = self.pass.kept;
        if let Some(at) = self.open.iter().position(|(at, ..)| *at == watch) {
            self.open[at..].rotate_left(1);
        } else {
            let known = kept.watched().places.get(&watch).cloned();
            let Some(known) = known else { return false };
            let dir = match kept.reach(&known) {
                Ok(dir) => dir,
                // What is not there any more is gone, or was moved; then an event from where it is now tells of it. That may be
                // in another tree, and the watch goes with it.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {
                    kept.forget(watch);
                    return false;
                }
                Err(Errno::ACCESS) => {
                    kept.doubt_closed(&known.0);
                    return true;
                }
                Err(_) => return true,
            };
            let place = known.0;
            if self.open.len() == OPEN {
                self.open.remove(0);
            }
            self.open.push((watch, place, dir));
        }
        let Some((_, place, dir)) = self.open.last() else { return true };
        let Ok(meta) = dir.meta_at(name) else { return true };
        if meta.kind == FileType::Symlink || meta.dev != kept.device {
            return true;
        }
        let is_own_change = told == Told { changed: true, ..Told::default() } && kept.is_as_left(&meta);
        if !meta.is_dir() {
            if is_own_change {
                return true;
            }
            self.pass.visit(&mut self.local, Spot { dir, above: place, name }, &meta);
            if self.local.deferred.is_empty() {
                return true;
            }
        }
        // A walk through its parent may have been there since it was made. One that could not be entered before may be open now.
        let came = meta.is_dir() && (told.moved_in || !kept.watches(meta.ino, &place.child(name)));
        if meta.is_dir() && !came && (!told.changed || is_own_change) {
            return true;
        }
        if came && meta.uid != kept.owner && kept.later(THEIRS, place.clone(), name.to_owned(), 0) {
            // It may have been elsewhere for a while, and what was made in it there was not found by its place.
            kept.doubt(meta.ino);
            return true;
        }
        let Ok(dir) = place.open_anew(&kept.root) else {
            self.local.deferred.clear();
            return true;
        };
        if !meta.is_dir() {
            let _ = self.pass.leave(&mut self.local, &dir, place);
        } else if came {
            let spot = Spot { dir: &dir, above: &place.anew(), name };
            let _ = walk_from(&kept.root, &kept.job, &self.pass, spot, &meta);
        } else if let Ok(itself) = dir.open_child(name) {
            let _ = self.pass.done(&mut self.local, &itself, &place.child(name));
        } else {
            // One that its owner can't list has its turn by its name.
            self.pass.visit(&mut self.local, Spot { dir: &dir, above: place, name }, &meta);
            let _ = self.pass.leave(&mut self.local, &dir, place);
        }
        true
    }
}
