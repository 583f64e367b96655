//! Replaces a file by a copy of its own, so that its other names no longer share it. Runs as the file's owner.

use super::xattr::{Calls, Target};
use crate::formats::posix_acl::{ACCESS, Acl};
use crate::host::dir::{Dir, Meta};
use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::{File, FileTimes};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Copies `name`, which is `file`, to a temporary name beside it and renames the copy over it: content, mode, access ACL,
/// `user.*` attributes, times and, where we may, the group. Answers a descriptor of the copy.
///
/// Until the last step the copy is ours alone, and that step is left out when `name` has become another file.
pub(super) fn replace_by_copy(calls: Calls, dir: &Dir, name: &CStr, file: &Meta) -> io::Result<OwnedFd> {
    let reading = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let source = rustix::fs::openat(dir, name, reading, Mode::empty())?;
    if !Meta::of(&source)?.same(file) {
        return Err(Errno::NOENT.into());
    }
    let (temporary, copy) = create(dir)?;
    let done = fill(calls, File::from(source), &copy, file).and_then(|()| {
        if !dir.meta_at(name)?.same(file) {
            return Err(Errno::NOENT.into());
        }
        Ok(rustix::fs::renameat(dir, &temporary, dir, name)?)
    });
    if done.is_err() {
        let _ = dir.unlink(&temporary); // best effort; the first error tells more
    }
    done.map(|()| copy.into())
}

/// A new file that nobody but the owner can open: without group bits the mask of an inherited ACL is empty.
fn create(dir: &Dir) -> io::Result<(CString, File)> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let process = std::process::id();
    for attempt in 0..1000_u32 {
        let name = CString::new(format!(".agentuser-copy.{process}.{attempt}"))?;
        match rustix::fs::openat(dir, &name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(copy) => return Ok((name, copy.into())),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn fill(calls: Calls, mut source: File, copy: &File, file: &Meta) -> io::Result<()> {
    io::copy(&mut source, &mut &*copy)?;
    copy_user_attributes(&source, copy)?;
    // Only root, or a member, may give a file to a group.
    let _ = rustix::fs::fchown(copy, None, Some(rustix::fs::Gid::from_raw(file.gid.0)));
    // The access ACL replaces what the directory's default ACL gave; the mode comes last, for it has the set-id bits.
    let acl = calls.get(Target::Pin(source.as_fd()), ACCESS)?;
    let acl = acl.unwrap_or_else(|| Acl::from_mode(file.mode).render());
    calls.set(Target::Pin(copy.as_fd()), ACCESS, &acl)?;
    rustix::fs::fchmod(copy, Mode::from_raw_mode(file.mode))?;
    let times = source.metadata()?;
    copy.set_times(FileTimes::new().set_accessed(times.accessed()?).set_modified(times.modified()?))
}

fn copy_user_attributes(source: &File, copy: &File) -> io::Result<()> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::flistxattr(source, names.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        listed => listed?,
    };
    let mut value = vec![0; 64 * 1024];
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL)?;
        if name.to_bytes().starts_with(b"user.") {
            let length = rustix::fs::fgetxattr(source, name, value.as_mut_slice())?;
            rustix::fs::fsetxattr(copy, name, &value[..length], XattrFlags::empty())?;
        }
    }
    Ok(())
}
