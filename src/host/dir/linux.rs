//! Opening by openat2(2), which checks a whole path at once, and reading entries by getdents64(2).

use super::{DIRECTORY, Dir, Listing, PathBytes};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{FileType, Mode, OFlags, RawDir, ResolveFlags, openat2},
    io::Errno,
    path::Arg,
};
use std::ffi::CStr;

/// An object itself, whatever it is, without opening it.
const PIN: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NO_LINKS: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS);
const INSIDE: ResolveFlags = NO_LINKS.union(ResolveFlags::BENEATH).union(ResolveFlags::NO_XDEV);

/// Opens a directory of whose path no component is a symbolic link; `ENOSYS` before Linux 5.6.
pub(super) fn open(path: impl Arg) -> Result<OwnedFd, Errno> {
    openat2(rustix::fs::CWD, path, DIRECTORY, Mode::empty(), NO_LINKS)
}

/// Opens a directory below another one; never through a symbolic link, a mount or `..`. `ENOSYS` before Linux 5.6.
pub(super) fn open_inside(dir: impl AsFd, path: impl Arg) -> Result<OwnedFd, Errno> {
    openat2(dir, path, DIRECTORY, Mode::empty(), INSIDE)
}

/// Calls `visit` with each entry, `.` and `..` among them.
pub(super) fn each(
    dir: &Dir,
    room: &mut Listing,
    mut visit: impl FnMut(&CStr, FileType),
) -> Result<(), Errno> {
    let mut entries = RawDir::new(dir, room.as_mut_slice());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        visit(entry.file_name(), entry.file_type());
    }
    Ok(())
}

impl Dir {
    /// A descriptor for the object itself (`O_PATH`), which opens neither it nor what a symbolic link points at;
    /// never of a mount point.
    pub fn pin(&self, name: &CStr) -> Result<OwnedFd, Errno> {
        match openat2(self, name, PIN, Mode::empty(), INSIDE) {
            Err(Errno::NOSYS) => rustix::fs::openat(self, name, PIN, Mode::empty()),
            pinned => pinned,
        }
    }

    /// Whether a path below this directory, followed with all of its links, leads out of it. Nothing is opened (`O_PATH`);
    /// false where that can't be told, as of links that lead nowhere.
    pub fn is_left_by(&self, path: &[u8]) -> bool {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(self, path, flags, Mode::empty(), resolve).is_err_and(|errno| errno == Errno::XDEV)
    }
}

/// A name as a path, for messages.
pub(super) fn shown(name: &CStr) -> std::path::PathBuf {
    PathBytes::from(name.to_bytes()).to_path()
}
