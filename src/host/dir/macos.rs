//! There is no openat2(2): one openat(2) for each component does, as on old kernels of Linux.

use super::{Dir, Listing};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::FileType,
    io::Errno,
    path::Arg,
};
use std::ffi::CStr;

pub(super) fn open(_: impl Arg) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

pub(super) fn open_inside(_: impl AsFd, _: impl Arg) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// Calls `visit` with each entry, `.` and `..` among them; the room is readdir(3)'s own.
pub(super) fn each(dir: &Dir, _: &mut Listing, mut visit: impl FnMut(&CStr, FileType)) -> Result<(), Errno> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        visit(entry.file_name(), entry.file_type());
    }
    Ok(())
}

impl Dir {
    /// There is no call that tells it: links are judged by their text alone.
    pub fn is_left_by(&self, _: &[u8]) -> bool {
        false
    }
}
