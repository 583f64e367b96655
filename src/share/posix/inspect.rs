//! Whether a directory may be a project, before anything is changed. Only reads.

use super::xattr::{Calls, Target};
use super::{ShareError, open};
use crate::formats::posix_acl::ACCESS;
use crate::host::dir::DirError;
use crate::model::{AbsPath, Uid};
use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::AsFd;

/// A directory that may be shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The directory.
    pub root: AbsPath,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// The device, which no pass leaves.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// Whether it has an ACL already.
    pub has_acl: bool,
}

/// Judges a directory that `human` wants to share. `homes` are the home directories of this machine: neither one of them
/// nor anything that holds one is a project.
pub fn inspect(root: &AbsPath, human: Uid, homes: &[AbsPath]) -> Result<Inspection, ShareError> {
    let slash = AbsPath::root();
    let system = std::iter::once(&slash).filter(|slash| *slash == root);
    if let Some(holds) =
        homes.iter().filter(|home| **home != slash && home.is_within(root)).chain(system).next()
    {
        return Err(ShareError::TooMuch { path: root.clone(), holds: holds.clone() });
    }
    let dir = open(root).map_err(|error| explained(error, root))?;
    let meta = dir.meta().map_err(|errno| ShareError::call("fstat", root)(errno.into()))?;
    if meta.uid != human {
        return Err(ShareError::NotOwned { path: root.clone(), found: meta.uid, owner: human });
    }
    let mount =
        rustix::fs::fstatvfs(&dir).map_err(|errno| ShareError::call("fstatvfs", root)(errno.into()))?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(ShareError::ReadOnly(root.clone()));
    }
    let has_acl = match Calls::probe(&dir)?.get(Target::Name(dir.as_fd(), c"."), ACCESS) {
        Ok(acl) => acl.is_some(),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => {
            return Err(ShareError::NoAcls(root.clone()));
        }
        Err(error) => return Err(ShareError::call("getxattr", root)(error)),
    };
    Ok(Inspection { root: root.clone(), mode: meta.mode, device: meta.dev, inode: meta.ino, has_acl })
}

/// The error of opening, in words that say what to do.
fn explained(error: ShareError, path: &AbsPath) -> ShareError {
    match error {
        ShareError::Directory(DirError::Link(_)) => match std::fs::canonicalize(path) {
            Ok(real) => ShareError::Link { path: path.clone(), real },
            Err(_) => error,
        },
        ShareError::Directory(DirError::Call { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            ShareError::Absent(path.clone())
        }
        ShareError::Directory(DirError::Call { source, .. })
            if source.kind() == io::ErrorKind::NotADirectory =>
        {
            ShareError::NotADirectory(path.clone())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let temp = tempfile::tempdir().unwrap();
        let base: AbsPath = temp.path().canonicalize().unwrap().to_str().unwrap().parse().unwrap();
        let me = Uid(rustix::process::geteuid().as_raw());
        std::fs::create_dir(base.join("real").as_path()).unwrap();
        std::fs::write(base.join("file").as_path(), "").unwrap();
        std::os::unix::fs::symlink("real", base.join("link").as_path()).unwrap();
        let home = base.join("real/ann");
        let judge = |name: &str, human| inspect(&base.join(name), human, std::slice::from_ref(&home));
        assert!(judge("other/../x", me).is_err());
        assert!(matches!(judge("real", me), Err(ShareError::TooMuch { .. })));
        assert!(matches!(judge("file", me), Err(ShareError::NotADirectory(_))));
        assert!(matches!(judge("none", me), Err(ShareError::Absent(_))));
        let link = judge("link", me).unwrap_err();
        assert!(matches!(link, ShareError::Link { .. }));
        assert_eq!(link.hint().unwrap(), format!("agentuser share {}", base.join("real")));
        assert!(matches!(inspect(&base.join("real"), Uid(me.0 + 1), &[]), Err(ShareError::NotOwned { .. })));
        assert!(!inspect(&base.join("real"), me, &[]).unwrap().has_acl);
        assert!(matches!(inspect(&AbsPath::root(), me, &[]), Err(ShareError::TooMuch { .. })));
        let proc = inspect(&"/proc/self/task".parse().unwrap(), me, &[]);
        assert!(matches!(proc, Err(ShareError::Link { .. })), "{proc:?}");
    }
}
