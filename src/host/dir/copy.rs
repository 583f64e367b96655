//! Copies a skeleton such as /etc/skel into a new home. Run as root, into a directory that is still closed to everybody
//! else; the owner changes last, so that nobody can touch a half-made file.

use super::{Dir, DirError, Listing, Meta, listing, system::shown};
use crate::model::{Gid, Uid};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::{ffi::CStr, ffi::CString, fs::File, io, path::Path};

/// A skeleton is small; one that is deeper than this is a mistake.
const DEEPEST: u32 = 32;

/// Copies files, directories and symbolic links (as they are) from `from` into `into`, with their permission bits but
/// without set-id bits, owned by `uid` and `gid`. What is not one of the three is left out; files that an earlier,
/// interrupted copy left are written anew.
pub fn copy_skeleton(from: &Path, into: &Dir, uid: Uid, gid: Gid) -> Result<(), DirError> {
    let owner = (rustix::fs::Uid::from_raw(uid.0), rustix::fs::Gid::from_raw(gid.0));
    copy_level(&Dir::open(from)?, into, owner, DEEPEST)
}

type Owner = (rustix::fs::Uid, rustix::fs::Gid);

fn copy_level(from: &Dir, into: &Dir, owner: Owner, depth: u32) -> Result<(), DirError> {
    let mut names = Vec::<CString>::new();
    let mut room: Listing = listing();
    from.each(&mut room, |name, _| names.push(name.to_owned()))
        .map_err(|errno| DirError::call("getdents64", ".", errno))?;
    for name in names {
        let fail = |call| move |errno| (call, errno);
        let copied = from.meta_at(&name).map_err(fail("fstatat")).and_then(|meta| match meta.kind {
            FileType::RegularFile => copy_file(from, into, &name, &meta, owner),
            FileType::Symlink => copy_link(from, into, &name, owner),
            _ => Ok(()),
        });
        copied.map_err(|(call, errno)| DirError::call(call, shown(&name), errno))?;
        match from.open_child(&name) {
            Ok(child) => copy_dir(&child, into, &name, owner, depth)?,
            Err(Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(DirError::call("openat2", shown(&name), errno)),
        }
    }
    Ok(())
}

fn copy_dir(child: &Dir, into: &Dir, name: &CStr, owner: Owner, depth: u32) -> Result<(), DirError> {
    let depth = depth.checked_sub(1).ok_or_else(|| DirError::TooDeep(shown(name)))?;
    let fail = |call| move |errno| DirError::call(call, shown(name), errno);
    match rustix::fs::mkdirat(into, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(fail("mkdirat")(errno)),
    }
    let meta = child.meta().map_err(fail("fstat"))?;
    let copy = into.open_child(name).map_err(fail("openat2"))?;
    copy_level(child, &copy, owner, depth)?;
    settle(&copy, &meta, owner).map_err(|(call, errno)| fail(call)(errno))
}

fn copy_file(
    from: &Dir,
    into: &Dir,
    name: &CStr,
    meta: &Meta,
    owner: Owner,
) -> Result<(), (&'static str, Errno)> {
    let reading = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, reading, Mode::empty()).map_err(|errno| ("openat", errno))?;
    clear(into, name)?;
    let writing = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy = rustix::fs::openat(into, name, writing, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| ("openat", errno))?;
    let mut copy = File::from(copy);
    io::copy(&mut File::from(source), &mut copy)
        .map_err(|error| ("copy", Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    settle(&copy, meta, owner)
}

fn copy_link(from: &Dir, into: &Dir, name: &CStr, (uid, gid): Owner) -> Result<(), (&'static str, Errno)> {
    let target = rustix::fs::readlinkat(from, name, Vec::new()).map_err(|errno| ("readlinkat", errno))?;
    clear(into, name)?;
    rustix::fs::symlinkat(target, into, name).map_err(|errno| ("symlinkat", errno))?;
    rustix::fs::chownat(into, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| ("fchownat", errno))
}

/// Takes away what an earlier, interrupted copy left.
fn clear(into: &Dir, name: &CStr) -> Result<(), (&'static str, Errno)> {
    match into.unlink(name) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(("unlinkat", errno)),
    }
}

/// Mode first (the owner may change only afterwards, see chmod(2)), owner last.
fn settle(copy: impl std::os::fd::AsFd, meta: &Meta, (uid, gid): Owner) -> Result<(), (&'static str, Errno)> {
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(meta.mode & 0o777)).map_err(|errno| ("fchmod", errno))?;
    rustix::fs::fchown(&copy, Some(uid), Some(gid)).map_err(|errno| ("fchown", errno))
}
