//! Homes: made closed, filled, then given away; removed by descriptors, with what their owner left elsewhere.

use super::{
    HostError,
    dir::{self, Dir, PathBytes},
};
use crate::model::{AbsPath, Gid, Uid};
use rustix::fs::{Mode, fchmod, fchown, mkdir};
use std::{ffi::CString, os::fd::AsFd, path::Path};

/// Directories in which every account may leave files.
const SHARED_PLACES: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// Spools with one file an account.
const SPOOLS: [&str; 4] = ["/var/mail", "/var/spool/mail", "/var/spool/cron/crontabs", "/var/spool/cron"];

/// Makes a home. It belongs to root until it is whole, so that nobody else is inside while root works there.
pub(super) fn make(path: &AbsPath, uid: Uid, gid: Gid) -> Result<(), HostError> {
    let error = |errno| HostError::path("can't make", path, errno);
    match mkdir(path.as_str(), Mode::from(0o700)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(error(errno)),
    }
    let home = Dir::open(path.as_path())?;
    let is = home.meta().map_err(error)?;
    let mode = Mode::from(0o700);
    if is.uid == Uid(0) {
        fchmod(home.as_fd(), mode).map_err(error)?;
        dir::copy_skeleton(Path::new("/etc/skel"), &home, uid, gid)?;
    } else if is.uid != uid {
        return Err(HostError::Unexpected {
            path: path.to_string(),
            is: format!("belongs to uid {}", is.uid),
        });
    }
    fchown(home.as_fd(), Some(rustix::fs::Uid::from_raw(uid.0)), Some(rustix::fs::Gid::from_raw(gid.0)))
        .map_err(error)?;
    // After fchown, which takes set-id bits away, and on one that was there already.
    fchmod(home.as_fd(), mode).map_err(error)
}

/// Removes a home of `uid`, or one that an interrupted [`make`] left to root, and what `uid` left in shared places. Answers
/// what had to stay there: it does not keep the rest from going.
pub(super) fn remove(path: &AbsPath, uid: Uid, name: &str) -> Result<Vec<String>, HostError> {
    remove_itself(path, uid)?;
    let mut left = Vec::new();
    for place in SHARED_PLACES {
        remove_owned(Path::new(place), uid, |_| true, &mut left);
    }
    for spool in SPOOLS {
        remove_owned(Path::new(spool), uid, |entry| entry == name.as_bytes(), &mut left);
    }
    Ok(left)
}

fn remove_itself(path: &AbsPath, uid: Uid) -> Result<(), HostError> {
    let (Some(parent), Ok(name)) = (path.parent(), CString::new(path.name())) else { return Ok(()) };
    let parent = Dir::open(parent.as_path())?;
    match parent.meta_at(&name) {
        Ok(is) if is.uid == uid || is.uid == Uid(0) => Ok(dir::remove_tree(&parent, &name)?),
        Ok(is) => {
            Err(HostError::Unexpected { path: path.to_string(), is: format!("belongs to uid {}", is.uid) })
        }
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(HostError::path("can't look at", path, errno)),
    }
}

/// Removes a directory of root's, and all in it.
pub(super) fn remove_root_owned(path: &AbsPath) -> Result<(), HostError> {
    match rustix::fs::stat(path.as_str()) {
        Ok(_) => remove_itself(path, Uid(0)),
        Err(_) => Ok(()),
    }
}

/// Removes those entries of a directory that belong to `uid`, with what it owns below them.
fn remove_owned(path: &Path, uid: Uid, wanted: impl Fn(&[u8]) -> bool, left: &mut Vec<String>) {
    // Some of the places are links, or missing, on some systems; the others cover what they lead to.
    let Ok(place) = Dir::open(path) else { return };
    let mut theirs = Vec::new();
    let listed = place.each(&mut dir::listing(), |name, _| {
        if wanted(name.to_bytes()) && place.meta_at(name).is_ok_and(|is| is.uid == uid) {
            theirs.push(name.to_owned());
        }
    });
    if let Err(errno) = listed {
        left.push(HostError::path("can't list", path.display(), errno).to_string());
    }
    for name in theirs {
        let shown = || format!("{}/{}", path.display(), PathBytes::from(name.to_bytes()));
        match dir::remove_own_tree(&place, &name, uid) {
            Ok(true) => {}
            Ok(false) => left.push(format!("{} holds files of others: left", shown())),
            Err(error) => left.push(format!("{} is left: {error}", shown())),
        }
    }
}
