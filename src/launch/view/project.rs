//! A project, opened so that nobody but the human and root can have chosen what it is.

use super::{SessionError, idmap, mapped_copy_of, said};
use crate::{
    host::{dir::Meta, sys},
    launch::confine::Kernel,
    model::{AbsPath, Uid, facts::Person, view::Seen},
};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};
use std::os::fd::OwnedFd;

/// One component of a path.
const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A project and a copy of its mount.
pub(super) struct Project {
    pub(super) path: AbsPath,
    pub(super) at: OwnedFd,
    pub(super) tree: OwnedFd,
    /// Whether git's own files in it are guarded.
    pub(super) guarded: bool,
    /// The uppermost directory above it that is the human's, with whatever else is in there.
    pub(super) top: Option<AbsPath>,
}

/// Opens a project, one component after the other: none may be a link, each must be the human's or root's, and the last the
/// human's. One that is not there any more is left out. Where ids are mapped, nobody else may be able to put another of the
/// human's directories in its place, for all that is in it would be the agent's.
pub(super) fn open(
    seen: &Seen,
    person: &Person,
    ids: Option<&OwnedFd>,
) -> Result<Option<Project>, SessionError> {
    let human = person.uid;
    let path = &seen.path;
    let failed = |errno| SessionError::directory(path, said(errno));
    let mut at = openat(CWD, "/", STEP, Mode::empty()).map_err(failed)?;
    let mut here = AbsPath::root();
    let mut top = None;
    let mut owner = Uid(0);
    let mut movable = None;
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
        let is = Meta::of(&at).map_err(failed)?;
        owner = is.uid;
        let by_others = is.mode & 0o002 != 0 || is.mode & 0o020 != 0 && is.gid != person.gid && is.gid.0 != 0;
        if by_others && is.mode & 0o1000 == 0 && here != *path {
            movable = Some(here.clone());
        }
        if owner != human && owner != Uid(0) {
            let why = format!("`{here}` belongs to uid {owner}, who is neither its human nor root");
            return Err(SessionError::directory(path, why));
        }
    }
    if owner != human {
        return Err(SessionError::directory(path, "it belongs to root"));
    }
    if let Some(dir) = movable.filter(|_| seen.mapped) {
        return Err(SessionError::directory(
            path,
            format!("others may write `{dir}`, and so could replace it"),
        ));
    }
    let attributes = sys::INERT | if seen.writable { 0 } else { sys::READ_ONLY };
    let ids = ids.filter(|_| seen.mapped);
    let tree = mapped_copy_of(&at, attributes, ids, path.as_str())?;
    Ok(Some(Project { path: path.clone(), at, tree, guarded: seen.guarded, top }))
}

/// Why a project can't be shared by an id-mapped mount; none where it can. Root tries it, on a thread of its own, whose
/// namespace ends with it; nobody else can tell.
pub fn why_not_mapped(path: &AbsPath, human: &Person) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    if !Kernel::present().seccomp {
        return Some("the kernel has no seccomp filters, which keep set-id bits off the disk".into());
    }
    let tried = std::thread::scope(|scope| scope.spawn(|| try_it(path, human).err()).join());
    tried.unwrap_or(Some(SessionError::Usage)).map(|error| match error {
        SessionError::View { source, .. } if source.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            "its filesystem can't map ids".into()
        }
        error => error.to_string(),
    })
}

fn try_it(path: &AbsPath, human: &Person) -> Result<(), SessionError> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)
        .map_err(|errno| SessionError::view("namespaces of its own", errno))?;
    let ids =
        idmap::namespace(human, human).map_err(|error| SessionError::view("a mapping of ids", error))?;
    let seen = Seen { path: path.clone(), writable: true, guarded: false, mapped: true };
    open(&seen, human, Some(&ids)).map(drop)
}
