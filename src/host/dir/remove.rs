//! Removes a tree whose content somebody else chose, and may still be choosing.
//!
//! Only two directories are open at a time and the way back is a list on the heap, so that depth costs neither stack nor
//! descriptors. The step up is `..`, which a rename could have bent; it is taken only where it leads to the very directory
//! that we came from (as fts(3) and rm(1) of coreutils do).

use super::{Dir, DirError, Listing, Meta, STEP, listing, system::shown};
use crate::model::Uid;
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use std::ffi::{CStr, CString};

/// A directory whose content is going away.
struct Level {
    /// What it is, to know it again on the way up.
    meta: Meta,
    /// Its name in the directory above.
    name: CString,
    /// Its directories that are still there.
    pending: Vec<CString>,
    /// How often it was found filled again when it should have been empty.
    refilled: u8,
    /// Something in it stays.
    kept: bool,
}

/// Removes `name` and all below it. Symbolic links are removed, never followed; a mount point in the tree is an error;
/// what is not there is fine.
pub fn remove_tree(dir: &Dir, name: &CStr) -> Result<(), DirError> {
    remove(dir, name, None).map(drop)
}

/// The same for what `owner` owns; what others own stays, with the directories on the way to it. Answers whether all went.
pub fn remove_own_tree(dir: &Dir, name: &CStr, owner: Uid) -> Result<bool, DirError> {
    remove(dir, name, Some(owner))
}

fn remove(dir: &Dir, name: &CStr, owner: Option<Uid>) -> Result<bool, DirError> {
    const REFILLS: u8 = 16;
    let mut room = listing();
    let top = dir.meta().map_err(|errno| DirError::call("fstat", shown(name), errno))?;
    let mut levels: Vec<Level> = Vec::new();
    let mut here: Option<Dir> = None; // the directory of the last level
    let mut next = Some(name.to_owned());
    let mut kept = false;
    loop {
        let at = here.as_ref().unwrap_or(dir);
        if let Some(name) = next.take() {
            match enter(at, name, owner, &mut room)? {
                Entered::Gone => {}
                Entered::Kept => *levels.last_mut().map_or(&mut kept, |level| &mut level.kept) = true,
                Entered::Directory(child, level) => {
                    here = Some(child);
                    levels.push(level);
                }
            }
        }
        let Some(level) = levels.last_mut() else { return Ok(!kept) };
        next = level.pending.pop();
        if next.is_some() {
            continue;
        }
        let Some(child) = here.take() else { return Ok(!kept) };
        let above = levels.len().checked_sub(2).map(|at| levels[at].meta);
        let up = climb(&child, above.as_ref().unwrap_or(&top))?;
        let Some(level) = levels.last_mut() else { return Ok(!kept) };
        match up.remove_dir(&level.name) {
            Ok(()) | Err(Errno::NOENT) => {
                levels.pop();
                here = (!levels.is_empty()).then_some(up);
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) if level.kept => {
                levels.pop();
                *levels.last_mut().map_or(&mut kept, |level| &mut level.kept) = true;
                here = (!levels.is_empty()).then_some(up);
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) if level.refilled < REFILLS => {
                level.refilled += 1;
                (level.pending, level.kept) = empty(&child, owner, &mut room)?;
                here = Some(child);
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(DirError::Moved(shown(&level.name))),
            Err(errno) => return Err(DirError::call("unlinkat", shown(&level.name), errno)),
        }
    }
}

/// What became of a name.
enum Entered {
    Gone,
    /// It is somebody else's.
    Kept,
    Directory(Dir, Level),
}

/// Goes into the directory `name` and removes what is no directory there; a name that is none is removed itself.
fn enter(at: &Dir, name: CString, owner: Option<Uid>, room: &mut Listing) -> Result<Entered, DirError> {
    let fail = |call, errno| DirError::call(call, shown(&name), errno);
    let child = match at.open_child(&name) {
        Ok(child) => child,
        Err(Errno::NOENT) => return Ok(Entered::Gone),
        Err(Errno::LOOP | Errno::NOTDIR) if !is_own(at, &name, owner) => return Ok(Entered::Kept),
        Err(Errno::LOOP | Errno::NOTDIR) => {
            return match at.unlink(&name) {
                Ok(()) | Err(Errno::NOENT) => Ok(Entered::Gone),
                Err(errno) => Err(fail("unlinkat", errno)),
            };
        }
        Err(errno) => return Err(fail("openat2", errno)),
    };
    let meta = child.meta().map_err(|errno| fail("fstat", errno))?;
    if owner.is_some_and(|owner| owner != meta.uid) {
        return Ok(Entered::Kept);
    }
    let (pending, kept) = empty(&child, owner, room)?;
    Ok(Entered::Directory(child, Level { meta, name, pending, refilled: 0, kept }))
}

fn is_own(dir: &Dir, name: &CStr, owner: Option<Uid>) -> bool {
    owner.is_none_or(|owner| dir.meta_at(name).is_ok_and(|meta| meta.uid == owner))
}

/// Removes all but the directories, and answers their names, and whether something that is somebody else's stays.
fn empty(dir: &Dir, owner: Option<Uid>, room: &mut Listing) -> Result<(Vec<CString>, bool), DirError> {
    let mut directories = Vec::new();
    let mut kept = false;
    let mut failed = Ok(());
    dir.each(room, |name, kind| {
        if kind == FileType::Directory {
            directories.push(name.to_owned());
            return;
        }
        if !is_own(dir, name, owner) {
            kept = true;
            return;
        }
        match dir.unlink(name) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) if dir.meta_at(name).is_ok_and(|meta| meta.is_dir()) => {
                directories.push(name.to_owned());
            }
            Err(errno) => failed = Err(DirError::call("unlinkat", shown(name), errno)),
        }
    })
    .map_err(|errno| DirError::call("getdents64", ".", errno))?;
    failed.map(|()| (directories, kept))
}

/// The directory above, where it still is the one that we came from.
fn climb(child: &Dir, expected: &Meta) -> Result<Dir, DirError> {
    let up = rustix::fs::openat(child, c"..", STEP, Mode::empty())
        .map(Dir)
        .map_err(|errno| DirError::call("openat", "..", errno))?;
    let meta = up.meta().map_err(|errno| DirError::call("fstat", "..", errno))?;
    if meta.same(expected) { Ok(up) } else { Err(DirError::Moved("..".into())) }
}
