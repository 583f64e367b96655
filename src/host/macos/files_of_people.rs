//! Trees that belong to a human or to the agent: reached from a descriptor of their root, one component at a time, never
//! through a link.

use crate::{
    host::{Command, HostError},
    model::{AbsPath, Gid, Uid},
    share::{
        AcePrior,
        aces::{Kind, Object, Tree},
    },
};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, chownat, fchmod, fchown, fstat, open, openat, statat},
    io::Errno,
};
use std::{io, process::Output};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Keeps what an ACL was.
pub(super) type Keeper<'a> = &'a mut dyn FnMut(&[AcePrior]) -> io::Result<()>;

/// A tree as the account of this process sees it.
pub(super) struct People<'a> {
    root: OwnedFd,
    path: AbsPath,
    device: i32,
    keeper: Option<Keeper<'a>>,
}

/// Opens a directory without following a link at its end; whoever could put one on the way is root or its owner.
fn root(path: &AbsPath) -> Result<OwnedFd, HostError> {
    open(path.as_str(), DIRECTORY, Mode::empty()).map_err(|errno| HostError::path("can't open", path, errno))
}

impl<'a> People<'a> {
    pub(super) fn open(path: &AbsPath, keeper: Option<Keeper<'a>>) -> Result<Self, HostError> {
        let root = root(path)?;
        let is = fstat(&root).map_err(|errno| HostError::path("can't look at", path, errno))?;
        Ok(Self { root, path: path.clone(), device: is.st_dev, keeper })
    }

    fn error(&self, what: &'static str, dir: &str, errno: Errno) -> HostError {
        HostError::path(what, format!("{}/{}", self.path, dir.escape_debug()), errno)
    }

    fn enter(&self, dir: &str) -> Result<OwnedFd, HostError> {
        descend(
            self.root
                .as_fd()
                .try_clone_to_owned()
                .map_err(|e| HostError::path("can't open", &self.path, e))?,
            dir,
        )
        .map_err(|errno| self.error("can't open", dir, errno))
    }

    fn object(&self, name: &str, is: &Stat) -> Option<Object> {
        let kind = match FileType::from_raw_mode(is.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            _ => return None,
        };
        Some(Object {
            name: name.into(),
            kind,
            inode: is.st_ino,
            owner: Uid(is.st_uid),
            mode: u32::from(is.st_mode) & 0o7777,
            links: u64::from(is.st_nlink),
            same_device: is.st_dev == self.device,
        })
    }

    /// Runs a program whose directory is `dir`. This process does nothing else meanwhile, so it can stand there itself.
    fn there(&self, dir: &str, command: &Command) -> Result<Output, HostError> {
        let fd = self.enter(dir)?;
        rustix::process::fchdir(fd).map_err(|errno| self.error("can't enter", dir, errno))?;
        Ok(command.output_here()?)
    }
}

/// One component after the other, none of which may be a link.
fn descend(root: OwnedFd, dir: &str) -> Result<OwnedFd, Errno> {
    let components = dir.split('/').filter(|component| !component.is_empty());
    components.into_iter().try_fold(root, |fd, component| openat(fd, component, DIRECTORY, Mode::empty()))
}

impl Tree for People<'_> {
    fn account(&self) -> Uid {
        Uid(rustix::process::geteuid().as_raw())
    }

    fn itself(&self, dir: &str) -> Result<Object, HostError> {
        let is = fstat(self.enter(dir)?).map_err(|errno| self.error("can't look at", dir, errno))?;
        self.object(".", &is).ok_or_else(|| self.error("can't look at", dir, Errno::NOTDIR))
    }

    fn children(&self, dir: &str) -> Result<Vec<Object>, HostError> {
        let fd = self.enter(dir)?;
        let error = |errno| self.error("can't list", dir, errno);
        let mut all = Vec::new();
        for entry in Dir::read_from(&fd).map_err(error)? {
            let entry = entry.map_err(error)?;
            // Volumes of macOS have names in UTF-8; another one can't be named to its programs.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(is) => all.extend(self.object(name, &is)),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(error(errno)),
            }
        }
        Ok(all)
    }

    fn list(&self, dir: &str, command: &Command) -> Result<Output, HostError> {
        self.there(dir, command)
    }

    fn change(&mut self, dir: &str, command: &Command) -> Result<Output, HostError> {
        self.there(dir, command)
    }

    fn keep(&mut self, priors: &[AcePrior]) -> Result<(), HostError> {
        let Some(keeper) = &mut self.keeper else { return Err(HostError::NeedsRoot("a receipt".into())) };
        keeper(priors).map_err(|error| HostError::path("can't keep what was before of", &self.path, error))
    }
}

/// Gives what the agent owns in a tree to the human, as root, while no process of the agent runs. Bits that lend an owner's
/// rights go.
pub(super) fn hand_over(path: &AbsPath, agent: Uid, human: Uid, gid: Gid) -> Result<(), HostError> {
    let root = root(path)?;
    let device = fstat(&root).map_err(|errno| HostError::path("can't look at", path, errno))?.st_dev;
    give(&root, device, agent, human, gid).map_err(|errno| HostError::path("can't hand over", path, errno))
}

fn give(dir: &OwnedFd, device: i32, agent: Uid, human: Uid, gid: Gid) -> Result<(), Errno> {
    let (owner, group) = (Some(rustix::fs::Uid::from_raw(human.0)), Some(rustix::fs::Gid::from_raw(gid.0)));
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            is => is?,
        };
        let is_directory = FileType::from_raw_mode(is.st_mode) == FileType::Directory;
        if is.st_dev != device || !(is_directory || is.st_uid == agent.0) {
            continue;
        }
        if !is_directory && FileType::from_raw_mode(is.st_mode) != FileType::RegularFile {
            chownat(dir, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(dir, name, flags, Mode::empty())?;
        let is = fstat(&fd)?;
        if is.st_uid == agent.0 {
            fchmod(&fd, Mode::from_raw_mode(is.st_mode & 0o777))?;
            fchown(&fd, owner, group)?;
        }
        if is_directory && is.st_dev == device {
            give(&fd, device, agent, human, gid)?;
        }
    }
    Ok(())
}
