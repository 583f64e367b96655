//! Whether a file is root's alone: its owner, its bits, and those of every directory above it.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Why a file can't be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Somebody else owns it.
    #[error("`{}` belongs to uid {owner}, not to root", .path.display())]
    Owner {
        /// The file or a directory above it.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Others may write it.
    #[error("`{}` can be written by others than root (mode {mode:04o})", .path.display())]
    Writable {
        /// The file or a directory above it.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not a regular file.
    #[error("`{}` is not a regular file", .0.display())]
    Kind(PathBuf),
    /// It can't be looked at.
    #[error("can't look at `{}`: {source}", .path.display())]
    Look {
        /// The file or a directory above it.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl TrustError {
    /// The command that mends it.
    pub fn hint(&self) -> String {
        match self {
            Self::Owner { path, .. } => format!("sudo chown root: '{}'", path.display()),
            Self::Writable { path, .. } => format!("sudo chmod go-w '{}'", path.display()),
            Self::Kind(_) | Self::Look { .. } => "sudo agentuser setup".into(),
        }
    }
}

/// Checks that a regular file, and all directories above it, can be changed by root alone.
pub fn check(path: &Path) -> Result<(), TrustError> {
    let look = |path: &Path| {
        std::fs::symlink_metadata(path).map_err(|source| TrustError::Look { path: path.into(), source })
    };
    let file = look(path)?;
    if !file.is_file() {
        return Err(TrustError::Kind(path.into()));
    }
    judge(path, &file)?;
    for dir in path.ancestors().skip(1) {
        judge(dir, &look(dir)?)?;
    }
    Ok(())
}

fn judge(path: &Path, is: &Metadata) -> Result<(), TrustError> {
    if is.uid() != 0 {
        return Err(TrustError::Owner { path: path.into(), owner: is.uid() });
    }
    // An ACL that lets somebody write shows as the group's bits, which are its mask.
    if is.mode() & 0o022 != 0 {
        return Err(TrustError::Writable { path: path.into(), mode: is.mode() & 0o7777 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_own_files_are_trusted() {
        check(Path::new("/etc/passwd")).unwrap();
    }

    #[test]
    fn a_file_in_a_shared_directory_is_not() {
        let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        assert!(check(file.path()).is_err());
        assert!(matches!(check(Path::new("/etc")), Err(TrustError::Kind(_))));
    }
}
