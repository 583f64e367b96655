//! Why a directory can't be shared, or a pass over it stopped.

use crate::host::dir::DirError;
use crate::model::{AbsPath, Uid};
use std::{io, path::PathBuf};

/// Why a directory can't be shared, or a pass over it stopped.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The pass runs as somebody else than the owner of the files.
    #[error("files of user {owner} are shared by user {owner}, not by user {user}")]
    WrongUser {
        /// Who owns the files.
        owner: Uid,
        /// Who runs.
        user: Uid,
    },
    /// A directory could not be opened.
    #[error(transparent)]
    Directory(#[from] DirError),
    /// A symbolic link in the path.
    #[error("`{path}` is reached through a symbolic link; its real path is `{}`", real.display())]
    Link {
        /// What was asked for.
        path: AbsPath,
        /// Where it leads.
        real: PathBuf,
    },
    /// It is not there.
    #[error("`{0}` does not exist")]
    Absent(AbsPath),
    /// It is not a directory.
    #[error("`{0}` is not a directory")]
    NotADirectory(AbsPath),
    /// It belongs to somebody else.
    #[error("`{path}` belongs to user {found}, not to user {owner}")]
    NotOwned {
        /// The directory.
        path: AbsPath,
        /// Who owns it.
        found: Uid,
        /// Who should.
        owner: Uid,
    },
    /// It is, or holds, a home directory or the whole system.
    #[error("`{path}` is too much to share: it holds `{holds}`")]
    TooMuch {
        /// The directory.
        path: AbsPath,
        /// What must stay private.
        holds: AbsPath,
    },
    /// The filesystem has no POSIX ACLs.
    #[error("the filesystem of `{0}` has no POSIX ACLs")]
    NoAcls(AbsPath),
    /// The filesystem is read-only.
    #[error("the filesystem of `{0}` is mounted read-only")]
    ReadOnly(AbsPath),
    /// The kernel would drop the set-group-id bit.
    #[error("changing the ACL of `{0}` would take away its set-group-id bit, for you are not in its group")]
    SetGroupId(AbsPath),
    /// The ACL of a directory can't be read as one.
    #[error("the ACL of `{0}` can't be read")]
    Malformed(AbsPath),
    /// A system call failed.
    #[error("{call} of `{path}` failed")]
    Call {
        /// The system call.
        call: &'static str,
        /// What it was about.
        path: AbsPath,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Descriptors have no names to call by.
    #[error("`/proc` is not mounted")]
    NoProc,
    /// What was there before could not be recorded, so nothing more was changed.
    #[error("the ACLs that were there before could not be recorded")]
    Record(#[source] io::Error),
}

impl ShareError {
    pub(super) fn call(call: &'static str, path: &AbsPath) -> impl FnOnce(io::Error) -> Self {
        let path = path.clone();
        move |source| Self::Call { call, path, source }
    }

    /// One command to type, where the user can do something about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Link { real, .. } => format!("agentuser share {}", quoted(&real.to_string_lossy())),
            Self::Absent(path) => format!("mkdir -p {}", quoted(path.as_str())),
            Self::NotADirectory(path) => {
                format!("agentuser share {}", quoted(path.parent().unwrap_or_else(AbsPath::root).as_str()))
            }
            Self::NotOwned { path, .. } => format!("ls -ld {}", quoted(path.as_str())),
            Self::TooMuch { path, .. } => {
                format!("agentuser share {}/PROJECT", quoted(path.as_str().trim_end_matches('/')))
            }
            Self::NoAcls(path) | Self::ReadOnly(path) => {
                format!("findmnt --target {}", quoted(path.as_str()))
            }
            Self::SetGroupId(path) => format!("chmod g-s {}", quoted(path.as_str())),
            Self::NoProc => "mount -t proc proc /proc".into(),
            Self::Malformed(path) => format!("getfacl -n {}", quoted(path.as_str())),
            Self::WrongUser { .. } | Self::Directory(_) | Self::Call { .. } | Self::Record(_) => return None,
        })
    }
}

/// The text as one word of a shell, for a command that a person types.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_words_of_a_shell() {
        let path = "/srv/it's here".parse().unwrap();
        assert_eq!(ShareError::Absent(path).hint().unwrap(), r"mkdir -p '/srv/it'\''s here'");
        assert_eq!(ShareError::SetGroupId("/srv/a".parse().unwrap()).hint().unwrap(), "chmod g-s /srv/a");
    }
}
