//! Directories by descriptor, so that nobody who renames or replaces a path in between can lead us elsewhere
//! (invariant 1 of the design; `path_resolution(7)`, openat2(2), openat(2)).
//!
//! A [`Dir`] is opened once, without any symbolic link in its path. All that lies below is reached from its descriptor by
//! single names, or by relative paths which can't leave it, cross a mount or pass a symbolic link.

#[cfg(target_os = "linux")]
mod copy;
#[cfg(target_os = "linux")]
mod hand_over;
mod place;
#[cfg(target_os = "linux")]
mod remove;
#[cfg_attr(target_os = "macos", path = "dir/macos.rs")]
#[cfg_attr(target_os = "linux", path = "dir/linux.rs")]
mod system;

pub use crate::model::{Listed, PathBytes};
#[cfg(target_os = "linux")]
pub use copy::copy_skeleton;
#[cfg(target_os = "linux")]
pub use hand_over::{Account, HandOverReport, hand_over};
pub use place::Place;
#[cfg(target_os = "linux")]
pub use remove::{remove_own_tree, remove_tree};

use crate::model::{Gid, Uid};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::{io, mem::MaybeUninit, path::Path, path::PathBuf};

/// Why a directory could not be opened or worked on.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// A system call failed.
    #[error("{call} of `{}` failed", path.display())]
    Call {
        /// The system call.
        call: &'static str,
        /// What it was about.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A symbolic link where none may be.
    #[error("`{}` has a symbolic link in its path", .0.display())]
    Link(PathBuf),
    /// A mount point inside a tree.
    #[error("`{}` lies on another filesystem, or is a mount point", .0.display())]
    OtherDevice(PathBuf),
    /// The tree changed faster than it could be worked on.
    #[error("`{}` was moved or filled again while it was worked on", .0.display())]
    Moved(PathBuf),
    /// A skeleton that is nested too deep to be one.
    #[error("`{}` is nested too deep", .0.display())]
    TooDeep(PathBuf),
}

impl DirError {
    fn call(call: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        let path = path.into();
        match errno {
            Errno::LOOP => Self::Link(path),
            Errno::XDEV => Self::OtherDevice(path),
            _ => Self::Call { call, path, source: errno.into() },
        }
    }
}

/// What stat(2) says about an object, in types that are the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The type.
    pub kind: FileType,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// The owner.
    pub uid: Uid,
    /// The group.
    pub gid: Gid,
    /// The inode number.
    pub ino: u64,
    /// The device that holds it.
    pub dev: u64,
    /// How many names it has.
    pub nlink: u64,
}

impl From<rustix::fs::Stat> for Meta {
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        clippy::cast_sign_loss,
        reason = "st_nlink and st_dev differ between machines"
    )]
    fn from(stat: rustix::fs::Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: super::modes::bits(stat.st_mode),
            uid: Uid(stat.st_uid),
            gid: Gid(stat.st_gid),
            ino: stat.st_ino as u64,
            dev: stat.st_dev as u64,
            nlink: stat.st_nlink as u64,
        }
    }
}

impl Meta {
    /// The object behind a descriptor.
    pub fn of(fd: impl AsFd) -> Result<Self, Errno> {
        rustix::fs::fstat(fd).map(Self::from)
    }

    /// Whether both are the same object.
    pub fn same(&self, other: &Self) -> bool {
        (self.dev, self.ino, self.kind) == (other.dev, other.ino, other.kind)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }
}

/// For openat2(2), whose flags tell a symbolic link (`ELOOP`) from what is no directory (`ENOTDIR`).
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// For openat(2), and for `..`.
const STEP: OFlags = DIRECTORY.union(OFlags::NOFOLLOW);
/// Room for one getdents64(2).
pub type Listing = Vec<MaybeUninit<u8>>;

/// A [`Listing`] of the usual size.
pub fn listing() -> Listing {
    vec![MaybeUninit::uninit(); 32 * 1024]
}

/// An open directory.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// A directory that was opened elsewhere, to be read.
impl From<OwnedFd> for Dir {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Dir {
    /// Opens an absolute path of which no component is a symbolic link.
    pub fn open(path: &Path) -> Result<Self, DirError> {
        let fail = |errno| DirError::call("openat2", path, errno);
        match system::open(path) {
            Ok(fd) if path.is_absolute() => Ok(Self(fd)),
            Ok(_) => Err(fail(Errno::INVAL)),
            Err(Errno::NOSYS) => {
                let top = rustix::fs::open("/", STEP, Mode::empty()).map_err(fail)?;
                let below = path.strip_prefix("/").map_err(|_| fail(Errno::INVAL))?;
                Self(top).open_stepwise(below.as_os_str().as_encoded_bytes()).map_err(fail)
            }
            Err(errno) => Err(fail(errno)),
        }
    }

    /// Opens a directory in this one; never through a symbolic link or a mount.
    pub fn open_child(&self, name: &CStr) -> Result<Self, Errno> {
        match system::open_inside(self, name) {
            Err(Errno::NOSYS) => {
                let child = rustix::fs::openat(self, name, STEP, Mode::empty()).map(Self)?;
                if child.meta()?.dev == self.meta()?.dev { Ok(child) } else { Err(Errno::XDEV) }
            }
            opened => opened.map(Self),
        }
    }

    /// Opens a directory below this one by its path, of any length; never through a symbolic link, a mount or `..`.
    pub fn open_below(&self, path: &[u8]) -> Result<Self, Errno> {
        const AT_ONCE: usize = 4000; // below PATH_MAX
        let mut rest = path;
        let mut dir: Option<Self> = None;
        loop {
            let cut = match rest.get(..AT_ONCE) {
                None => rest.len(),
                Some(head) => head.iter().rposition(|b| *b == b'/').ok_or(Errno::NAMETOOLONG)?,
            };
            let step = if rest.is_empty() { c".".into() } else { c_string(&rest[..cut])? };
            let from = dir.as_ref().unwrap_or(self);
            let next = match system::open_inside(from, &step) {
                Err(Errno::NOSYS) => {
                    let below = from.open_stepwise(rest)?;
                    return if below.meta()?.dev == self.meta()?.dev { Ok(below) } else { Err(Errno::XDEV) };
                }
                opened => Self(opened?),
            };
            if cut == rest.len() {
                return Ok(next);
            }
            (dir, rest) = (Some(next), &rest[cut + 1..]);
        }
    }

    /// `open_below` by one openat(2) for each component, for macOS and for kernels before 5.6.
    fn open_stepwise(&self, path: &[u8]) -> Result<Self, Errno> {
        let mut dir = Self(rustix::fs::openat(self, c".", STEP, Mode::empty())?);
        for name in path.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
            if name == b".." {
                return Err(Errno::XDEV);
            }
            dir = Self(rustix::fs::openat(&dir, c_string(name)?, STEP, Mode::empty())?);
        }
        Ok(dir)
    }

    /// What this directory is.
    pub fn meta(&self) -> Result<Meta, Errno> {
        Meta::of(self)
    }

    /// What `name` is, without following it.
    pub fn meta_at(&self, name: &CStr) -> Result<Meta, Errno> {
        rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from)
    }

    /// Calls `visit` with each entry but `.` and `..`, from the first on, and the type where the filesystem tells it.
    pub fn each(&self, room: &mut Listing, visit: impl FnMut(&CStr, FileType)) -> Result<(), Errno> {
        rustix::fs::seek(self, SeekFrom::Start(0))?;
        self.each_once(room, visit)
    }

    /// The same for a directory that was just opened.
    pub fn each_once(&self, room: &mut Listing, mut visit: impl FnMut(&CStr, FileType)) -> Result<(), Errno> {
        system::each(self, room, |name, kind| {
            if !matches!(name.to_bytes(), b"." | b"..") {
                visit(name, kind);
            }
        })
    }

    /// Removes a name that is not a directory.
    pub fn unlink(&self, name: &CStr) -> Result<(), Errno> {
        rustix::fs::unlinkat(self, name, AtFlags::empty())
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: &CStr) -> Result<(), Errno> {
        rustix::fs::unlinkat(self, name, AtFlags::REMOVEDIR)
    }
}

fn c_string(bytes: &[u8]) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_component_is_a_link() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("real/sub")).unwrap();
        symlink(base.join("real"), base.join("link")).unwrap();
        assert!(Dir::open(&base.join("real/sub")).is_ok());
        assert!(matches!(Dir::open(&base.join("link/sub")), Err(DirError::Link(_))));
        let dir = Dir::open(&base).unwrap();
        assert_eq!(dir.open_child(c"link").unwrap_err(), Errno::LOOP);
        assert_eq!(dir.open_below(b"link/sub").unwrap_err(), Errno::LOOP);
        assert_eq!(dir.open_child(c"..").unwrap_err(), Errno::XDEV);
        assert!(dir.open_below(b"real/sub").is_ok() && dir.open_below(b"").is_ok());
        assert!(dir.open_stepwise(b"link/sub").is_err() && dir.open_stepwise(b"real/sub").is_ok());
        assert!(Dir::open(Path::new("etc")).is_err());
    }

    #[test]
    fn entries_without_dots_and_again() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("a\nb"), "").unwrap();
        let dir = Dir::open(&temp.path().canonicalize().unwrap()).unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            dir.each(&mut listing(), |name, _| seen.push(name.to_owned())).unwrap();
        }
        assert_eq!(seen, [c"a\nb".to_owned(), c"a\nb".to_owned()]);
    }
}
