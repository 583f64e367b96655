//! The agent's own home, which lies under the mask of `/home`.

use super::{SessionError, copy_of, said};
use crate::{
    host::{dir::Meta, sys},
    model::{AbsPath, Uid},
};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use std::os::fd::OwnedFd;

/// The home and a copy of its mount.
pub(super) struct Home {
    /// Where it is, without a link in the path.
    pub(super) path: String,
    pub(super) at: OwnedFd,
    pub(super) tree: OwnedFd,
}

/// Opens the home. The directory that holds it may be a link of root's, as `/home` is on some systems.
pub(super) fn open(path: &AbsPath, agent: Uid) -> Result<Home, SessionError> {
    let failed = |errno: rustix::io::Errno| SessionError::directory(path, said(errno));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = path.parent().unwrap_or_else(AbsPath::root);
    let above = rustix::fs::openat(CWD, above.as_path(), flags, Mode::empty()).map_err(failed)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let at = openat2(&above, path.name(), flags, Mode::empty(), resolve).map_err(failed)?;
    let is = Meta::of(&at).map_err(failed)?;
    if is.uid != agent {
        return Err(SessionError::directory(path, format!("it belongs to uid {}", is.uid)));
    }
    let path = super::mask::real_path(&at)?;
    let tree = copy_of(&at, sys::INERT, &path)?;
    Ok(Home { path, at, tree })
}
