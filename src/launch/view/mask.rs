//! What is out of sight: homes, and what lies beside a project in a directory of the human's.
//!
//! A mask is an empty filesystem in memory over a directory. It holds nothing but directories on the way to what is shown
//! there, and is read-only. These are masked: `/home` and `/root`; the human's home and those of other people elsewhere,
//! where they belong to them; and the uppermost directory of the human's above each project.

use super::{SessionError, account::Accounts, attach, said};
use crate::{
    host::{dir::Meta, sys},
    model::{AbsPath, Uid},
};
use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, openat, readlink},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    },
};
use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

/// Directories that hold the system: a mask over one of them, or over a directory that holds one, would take it away.
const SYSTEM: [&str; 13] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var/lib",
    "/var/tmp",
];

/// The first uid of people (login.defs(5), `UID_MIN`), and nobody's, who has no home.
const PEOPLE: u32 = 1000;
const NOBODY: u32 = 65_534;

/// A directory to be masked.
pub(super) struct Mask {
    /// Where it is, without a link in the path.
    path: String,
    at: OwnedFd,
    mode: &'static str,
}

/// A mask that is in its place.
pub(super) struct Roof {
    path: String,
    root: OwnedFd,
}

/// All masks, none inside another. `own` are directories of the human's above its projects.
pub(super) fn all<'a>(
    accounts: &Accounts,
    own: impl Iterator<Item = &'a AbsPath>,
) -> Result<Vec<Mask>, SessionError> {
    let mut masks = Vec::new();
    for (path, mode) in [("/home", "755"), ("/root", "700")] {
        masks.extend(open(path, mode, None)?);
    }
    let human = &accounts.human;
    let covered = |masks: &[Mask], path: &str| masks.iter().any(|mask| is_within(path, &mask.path));
    if !covered(&masks, &human.home) {
        masks.extend(open(&human.home, "755", None)?);
    }
    for path in own {
        if !covered(&masks, path.as_str()) {
            masks.extend(open(path.as_str(), "755", None)?);
        }
    }
    for person in &accounts.all {
        let is_person = person.uid.0 >= PEOPLE && person.uid.0 != NOBODY;
        if is_person && person.uid != accounts.agent.uid && !covered(&masks, &person.home) {
            masks.extend(open(&person.home, "755", Some(person.uid))?);
        }
    }
    for mask in &masks {
        if SYSTEM.iter().any(|dir| is_within(dir, &mask.path)) {
            let why = "it holds the system, and can't be masked as a home";
            return Err(SessionError::directory(&mask.path, why));
        }
    }
    let paths: Vec<_> = masks.iter().map(|mask| mask.path.clone()).collect();
    let inside = |path: &str| paths.iter().any(|other| other != path && is_within(path, other));
    masks.retain(|mask| !inside(&mask.path));
    masks.sort_by(|a, b| a.path.cmp(&b.path));
    masks.dedup_by(|a, b| a.path == b.path);
    Ok(masks)
}

/// Opens a directory to be masked; none where there is none. One of another person's must belong to them: then whatever a
/// link in its path leads to is theirs.
fn open(path: &str, mode: &'static str, owner: Option<Uid>) -> Result<Option<Mask>, SessionError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let failed = |errno: Errno| SessionError::directory(path, said(errno));
    let at = match openat(CWD, path, flags, Mode::empty()) {
        Ok(at) => at,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(_) if owner.is_some() => return Ok(None),
        Err(errno) => return Err(failed(errno)),
    };
    if let Some(owner) = owner
        && Meta::of(&at).map_err(failed)?.uid != owner
    {
        return Ok(None);
    }
    Ok(Some(Mask { path: real_path(&at)?, at, mode }))
}

/// A mask over any directory, to try whether it can be made.
pub(super) fn any(path: &str) -> Result<Mask, SessionError> {
    open(path, "700", None)?.ok_or_else(|| SessionError::directory(path, "there is none"))
}

/// The path of a directory without links, as the kernel has it.
pub(super) fn real_path(dir: &OwnedFd) -> Result<String, SessionError> {
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    let path = readlink(&link, Vec::new()).map_err(|errno| SessionError::view(link, errno))?;
    path.into_string().map_err(|path| {
        SessionError::directory(
            String::from_utf8_lossy(&path.into_cstring().into_bytes()),
            "it is not valid text",
        )
    })
}

fn is_within(path: &str, dir: &str) -> bool {
    Path::new(path).starts_with(dir)
}

/// The mask that covers a path, and the rest of the path below it.
pub(super) fn over<'a, 'b>(roofs: &'a [Roof], path: &'b str) -> Option<(&'a Roof, &'b str)> {
    roofs.iter().find_map(|roof| {
        let below = path.strip_prefix(&*roof.path)?.strip_prefix('/')?;
        Some((roof, below))
    })
}

impl Mask {
    /// Puts the mask in its place.
    pub(super) fn raise(&self) -> Result<Roof, SessionError> {
        let failed = |errno: Errno| SessionError::view(format!("a mask over {}", self.path), errno);
        let filesystem = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed)?;
        for (key, value) in [("mode", self.mode), ("size", "1m")] {
            fsconfig_set_string(filesystem.as_fd(), key, value).map_err(failed)?;
        }
        fsconfig_create(filesystem.as_fd()).map_err(failed)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let root = fsmount(filesystem.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed)?;
        attach(&root, &self.at, &self.path)?;
        Ok(Roof { path: self.path.clone(), root })
    }
}

impl Roof {
    /// Makes the directories on the way to what is to be shown. Nobody else is in this namespace yet.
    pub(super) fn make_way(&self, below: &str) -> Result<(), SessionError> {
        let ends = below.match_indices('/').map(|(end, _)| end).chain([below.len()]);
        for way in ends.map(|end| &below[..end]) {
            match mkdirat(&self.root, way, Mode::from(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(SessionError::view(format!("{}/{way}", self.path), errno)),
            }
        }
        Ok(())
    }

    /// Shows a mount below the mask, where [`Roof::make_way`] made a directory.
    pub(super) fn show(&self, tree: &OwnedFd, below: &str) -> Result<(), SessionError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = format!("{}/{below}", self.path);
        let at = openat(&self.root, below, flags, Mode::empty())
            .map_err(|errno| SessionError::view(&path, errno))?;
        attach(tree, at, &path)
    }

    /// Makes the mask itself read-only; what is shown below it is not touched.
    pub(super) fn seal(&self) -> Result<(), SessionError> {
        sys::set_mount_attributes(self.root.as_fd(), sys::READ_ONLY, false, None)
            .map_err(|errno| SessionError::view(format!("a mask over {}", self.path), errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_count_not_letters() {
        assert!(is_within("/home/ann", "/home") && is_within("/home", "/home"));
        assert!(!is_within("/homes", "/home") && !is_within("/home", "/home/ann"));
    }
}
