//! An agent's home: made empty, and removed with all that is in it.

use super::{super::HostError, processes};
use crate::model::{AbsPath, Gid, Uid};
use rustix::fs::{Mode, OFlags, fchmod, fchown, fstat, mkdir, open};
use std::{fs, io};

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
