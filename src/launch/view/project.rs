//! A project, opened so that nobody but the human and root can have chosen what it is.

use super::{SessionError, copy_of, said};
use crate::{
    host::{dir::Meta, sys},
    model::{AbsPath, Uid, view::Seen},
};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};
use std::os::fd::OwnedFd;

/// A project and a copy of its mount.
pub(super) struct Project {
    pub(super) path: AbsPath,
    pub(super) at: OwnedFd,
    pub(super) tree: OwnedFd,
    /// The uppermost directory above it that is the human's, with whatever else is in there.
    pub(super) top: Option<AbsPath>,
}

/// Opens a project, one component after the other: none may be a link, each must be the human's or root's, and the last the
/// human's. One that is not there any more is left out.
pub(super) fn open(seen: &Seen, human: Uid) -> Result<Option<Project>, SessionError> {
    const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let path = &seen.path;
    let failed = |errno| SessionError::directory(path, said(errno));
    let mut at = openat(CWD, "/", STEP, Mode::empty()).map_err(failed)?;
    let mut here = AbsPath::root();
    let mut top = None;
    let mut owner = Uid(0);
    for name in path.as_str().split('/').filter(|name| !name.is_empty()) {
        if owner == human && top.is_none() {
            top = Some(here.clone());
        }
        here = here.join(name);
        at = match openat(&at, name, STEP, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(SessionError::directory(
                    path,
                    format!("`{here}` is no directory, or a symbolic link"),
                ));
            }
            Err(errno) => return Err(failed(errno)),
        };
        owner = Meta::of(&at).map_err(failed)?.uid;
        if owner != human && owner != Uid(0) {
            let why = format!("`{here}` belongs to uid {owner}, who is neither its human nor root");
            return Err(SessionError::directory(path, why));
        }
    }
    if owner != human {
        return Err(SessionError::directory(path, "it belongs to root"));
    }
    let attributes = sys::INERT | if seen.writable { 0 } else { sys::READ_ONLY };
    let tree = copy_of(&at, attributes, path.as_str())?;
    Ok(Some(Project { path: path.clone(), at, tree, top }))
}
