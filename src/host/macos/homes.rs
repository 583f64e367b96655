//! An agent's home: made empty, and removed with all that is in it.

use super::{super::HostError, files_of_people, processes};
use crate::model::{AbsPath, Gid, Uid};
use rustix::fs::{Mode, OFlags, RenameFlags, fchmod, fchown, fstat, mkdir, open, openat, renameat_with};
use std::{fs, io, os::fd::OwnedFd};

/// Makes a home, closed from its first instant on.
pub(super) fn make(path: &AbsPath, uid: Uid, gid: Gid) -> Result<(), HostError> {
    let error = |errno| HostError::path("can't make", path, errno);
    match mkdir(path.as_str(), Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(error(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = open(path.as_str(), flags, Mode::empty()).map_err(error)?;
    fchmod(&dir, Mode::RWXU).map_err(error)?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(uid.0), rustix::fs::Gid::from_raw(gid.0));
    fchown(&dir, Some(uid), Some(gid)).map_err(error)
}

/// Moves a home from directory to directory, neither reached through a link, and gives it to its new owner.
pub(super) fn keep(from: &AbsPath, to: &AbsPath, agent: Uid, owner: (Uid, Gid)) -> Result<(), HostError> {
    let (old, new) = (above(from)?, above(to)?);
    renameat_with(&old, from.name(), &new, to.name(), RenameFlags::NOREPLACE)
        .map_err(|errno| HostError::path("can't move the home to", to, errno))?;
    files_of_people::hand_over(to, agent, owner.0, owner.1)?;
    let error = |errno| HostError::path("can't hand over", to, errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = openat(&new, to.name(), flags, Mode::empty()).map_err(error)?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(owner.0.0), rustix::fs::Gid::from_raw(owner.1.0));
    fchown(&dir, Some(uid), Some(gid)).map_err(error)
}

/// The directory that a path is in; a link on the way is an error.
fn above(path: &AbsPath) -> Result<OwnedFd, HostError> {
    let error = |errno| HostError::path("can't open the directory of", path, errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut dir = open("/", flags, Mode::empty()).map_err(error)?;
    let parent = path.parent().unwrap_or_else(AbsPath::root);
    for name in parent.as_str().split('/').filter(|name| !name.is_empty()) {
        dir = openat(&dir, name, flags, Mode::empty()).map_err(error)?;
    }
    Ok(dir)
}

/// Removes a home that belongs to the account, or to nobody yet, and answers what macOS did not let go.
pub(super) fn remove(path: &AbsPath, uid: Uid) -> Result<Vec<String>, HostError> {
    let error = |source: io::Error| HostError::path("can't remove", path, source);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match open(path.as_str(), flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(vec![]),
        dir => dir.map_err(|errno| error(errno.into()))?,
    };
    let owner = fstat(&dir).map_err(|errno| error(errno.into()))?.st_uid;
    if owner != uid.0 && owner != 0 {
        return Ok(vec![format!("{path} belongs to uid {owner}: left")]);
    }
    processes::end(uid)?;
    // Since the fix of CVE-2022-21658 it goes by descriptors and follows no link.
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(vec![]),
        Err(failed) if failed.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        // Some directories below Library are not even root's to remove without Full Disk Access.
        Err(failed) if failed.kind() == io::ErrorKind::PermissionDenied => {
            Ok(vec![format!("some of {path} was left behind, for macOS does not let it go: {failed}")])
        }
        Err(failed) => Err(error(failed)),
    }
}
