//! The guard of git's own files: what git executes for whoever calls it in a repository is read-only for the agent.
//!
//! The agent may have chosen every name in a project, so each is opened below the one before it, never through a link, and
//! is what it must be before a mount is put on that very object; root makes nothing in a project. `.git` is a mount of
//! itself: a directory on which something is mounted can't be renamed away, but one that only holds such a directory can.
//! Through the mounts `config` can't be replaced and `hooks` not be filled, while index, refs and objects are written as ever.
//!
//! Not covered, for nothing can be mounted on a name that is not there: a `commondir` that the agent adds, and repositories
//! of its own making inside the project. Those are for `review`.

use super::{SessionError, attach, said};
use crate::{
    host::{
        dir::{Dir, Meta, listing},
        sys,
    },
    model::{AbsPath, view::Seen},
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, OwnedFd},
};

/// Never through a link, out of the directory, or onto another mount.
const BELOW: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The most directories that are looked through below `modules`, where submodules have their repositories.
const MOST_MODULES: usize = 512;

/// Guards the repository of a project that is in its place in the view, if it has one.
pub(super) fn guard(project: &OwnedFd, path: &AbsPath) -> Result<(), SessionError> {
    let mut guard = Guard { project: path, left: MOST_MODULES };
    let Some((git, kind)) = guard.open(project, c".git", ".git")? else { return Ok(()) };
    match kind {
        FileType::Directory => guard.repository(&git, ".git"),
        // A linked worktree or a submodule: the file says where the repository is.
        FileType::RegularFile => guard.cover(&git, sys::INERT | sys::READ_ONLY, ".git").map(drop),
        _ => Err(guard.refuse(".git", "is neither a directory nor a file")),
    }
}

struct Guard<'a> {
    project: &'a AbsPath,
    left: usize,
}

impl Guard<'_> {
    fn refuse(&self, name: &str, why: &str) -> SessionError {
        SessionError::Git { path: format!("{}/{name}", self.project), why: why.into() }
    }

    /// Opens what has this name in a directory, and tells its type; none where there is nothing.
    fn open(
        &self,
        dir: &OwnedFd,
        name: &CStr,
        shown: &str,
    ) -> Result<Option<(OwnedFd, FileType)>, SessionError> {
        match openat2(dir, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), BELOW) {
            Ok(fd) => {
                let is = Meta::of(&fd).map_err(|errno| self.refuse(shown, &said(errno)))?;
                Ok(Some((fd, is.kind)))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(self.refuse(shown, "is a symbolic link")),
            Err(Errno::XDEV) => Err(self.refuse(shown, "is a mount of its own")),
            Err(errno) => Err(self.refuse(shown, &said(errno))),
        }
    }

    /// Mounts an object on itself, with these attributes, and answers the mount.
    fn cover(&self, object: &OwnedFd, attributes: u64, shown: &str) -> Result<OwnedFd, SessionError> {
        let path = format!("{}/{shown}", self.project);
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(object, "", flags).map_err(|errno| SessionError::view(&path, errno))?;
        sys::set_mount_attributes(tree.as_fd(), attributes, false, None)
            .map_err(|error| SessionError::view(&path, error))?;
        attach(&tree, object, &path)?;
        Ok(tree)
    }

    /// Guards a repository: a `.git`, or that of a submodule.
    fn repository(&mut self, git: &OwnedFd, shown: &str) -> Result<(), SessionError> {
        let git = self.cover(git, sys::INERT, shown)?;
        self.part(&git, c"config", shown, FileType::RegularFile, true)?;
        self.part(&git, c"hooks", shown, FileType::Directory, true)?;
        self.part(&git, c"config.worktree", shown, FileType::RegularFile, false)?;
        self.part(&git, c"commondir", shown, FileType::RegularFile, false)?;
        match self.open(&git, c"modules", shown)? {
            Some((modules, FileType::Directory)) => self.modules(&modules, &format!("{shown}/modules")),
            Some(_) => Err(self.refuse(&format!("{shown}/modules"), "is not a directory")),
            None => Ok(()),
        }
    }

    /// Makes a part of a repository read-only.
    fn part(
        &self,
        git: &OwnedFd,
        name: &CStr,
        shown: &str,
        kind: FileType,
        needed: bool,
    ) -> Result<(), SessionError> {
        let shown = format!("{shown}/{}", name.to_string_lossy());
        match self.open(git, name, &shown)? {
            Some((object, is)) if is == kind => {
                self.cover(&object, sys::INERT | sys::READ_ONLY, &shown).map(drop)
            }
            Some(_) => Err(self.refuse(&shown, "is not of the type that git makes it")),
            None if needed => Err(self.refuse(&shown, "is missing, and the agent could make it")),
            None => Ok(()),
        }
    }

    /// Guards the repositories of submodules. The name of one may have slashes.
    fn modules(&mut self, dir: &OwnedFd, shown: &str) -> Result<(), SessionError> {
        let dir = self.cover(dir, sys::INERT, shown)?;
        let mut names: Vec<CString> = Vec::new();
        let list = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = openat2(&dir, c".", list, Mode::empty(), BELOW)
            .map_err(|errno| self.refuse(shown, &said(errno)))?;
        Dir::from(open)
            .each(&mut listing(), |name, kind| {
                if matches!(kind, FileType::Directory | FileType::Unknown) && names.len() <= MOST_MODULES {
                    names.push(name.to_owned());
                }
            })
            .map_err(|errno| self.refuse(shown, &said(errno)))?;
        for name in names {
            let below = format!("{shown}/{}", name.to_string_lossy());
            let Some((module, FileType::Directory)) = self.open(&dir, &name, &below)? else { continue };
            self.left =
                self.left.checked_sub(1).ok_or_else(|| self.refuse(shown, "holds too many directories"))?;
            if self.open(&module, c"HEAD", &below)?.is_some() {
                self.repository(&module, &below)?;
            } else {
                self.modules(&module, &below)?;
            }
        }
        Ok(())
    }
}

/// Makes what git's own templates may have left out, as the human, who runs this: an empty `hooks` and an empty `config`
/// change nothing for git, and can be guarded. What can't be made is for root's half to refuse.
pub fn make_ready(projects: &[Seen]) {
    let dir = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for project in projects.iter().filter(|project| project.guarded) {
        let path = project.path.as_path();
        let Ok(project) = openat2(CWD, path, dir, Mode::empty(), ResolveFlags::NO_SYMLINKS) else { continue };
        let Ok(git) = openat2(&project, c".git", dir, Mode::empty(), BELOW) else { continue };
        let _ = mkdirat(&git, c"hooks", Mode::from(0o777));
        let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let _ = rustix::fs::openat(&git, c"config", new, Mode::from(0o666));
    }
}
