//! Reads and writes ACL attributes without following a last component that is a symbolic link and without opening
//! anything, so that a FIFO or device in a tree stays asleep.
//!
//! Linux 6.13 has setxattrat(2) and its siblings. Older kernels get the path `/proc/self/fd/DIR/NAME` (the magic link
//! of proc(5) leads to the open directory, whatever its path is by now) and the `l` form of the calls.

use super::ShareError;
use crate::formats::posix_acl::{ACCESS, Bytes, DEFAULT};
use crate::host::sys;
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Which object.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// A name in an open directory; `.` is the directory itself.
    Name(BorrowedFd<'a>, &'a CStr),
    /// The object behind a descriptor that was opened with `O_PATH`, and cannot be replaced any more.
    Pin(BorrowedFd<'a>),
}

/// The calls that this kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    /// setxattrat(2).
    At,
    /// lsetxattr(2) through /proc.
    Proc,
}

/// Most ACLs have far fewer entries than fit in this.
const USUAL: usize = 512;
/// The largest value of an attribute (xattr(7)).
const LARGEST: usize = 64 * 1024;

impl Calls {
    /// Finds out by reading the ACL of a directory. Whatever the answer is about the ACL is left to later calls.
    ///
    /// Pinned objects always go through /proc, so without it there is no pass: its absence would look like theirs.
    pub(super) fn probe(dir: impl AsFd) -> Result<Self, ShareError> {
        rustix::fs::access("/proc/self/fd", rustix::fs::Access::EXISTS).map_err(|_| ShareError::NoProc)?;
        Ok(match sys::getxattrat(dir.as_fd(), c".", ACCESS, &mut [0; USUAL]) {
            // Old seccomp filters answer `EPERM` for calls that they don't know.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOSYS | Errno::PERM)) => {
                Self::Proc
            }
            _ => Self::At,
        })
    }

    /// The attribute's bytes; none where the object has no such ACL.
    pub(super) fn get(self, target: Target<'_>, kind: &CStr) -> io::Result<Option<Bytes>> {
        let mut usual = [0; USUAL];
        match self.read(target, kind, &mut usual) {
            Ok(length) => Ok(Some(Bytes::from_slice(&usual[..length]))),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NODATA) => Ok(None),
                Some(Errno::RANGE) => {
                    let mut large = vec![0; LARGEST];
                    let length = self.read(target, kind, &mut large)?;
                    Ok(Some(Bytes::from_slice(&large[..length])))
                }
                _ => Err(error),
            },
        }
    }

    fn read(self, target: Target<'_>, kind: &CStr, room: &mut [u8]) -> io::Result<usize> {
        Ok(match (self, target) {
            (Self::At, Target::Name(dir, name)) => sys::getxattrat(dir, name, kind, room)?,
            (Self::Proc, Target::Name(dir, name)) => rustix::fs::lgetxattr(&*below(dir, name), kind, room)?,
            (_, Target::Pin(pin)) => rustix::fs::getxattr(&*magic(pin), kind, room)?,
        })
    }

    /// Sets the attribute. The kernel turns an access ACL that says no more than a mode into that mode.
    pub(super) fn set(self, target: Target<'_>, kind: &CStr, bytes: &[u8]) -> io::Result<()> {
        let flags = rustix::fs::XattrFlags::empty();
        match (self, target) {
            (Self::At, Target::Name(dir, name)) => sys::setxattrat(dir, name, kind, bytes),
            (Self::Proc, Target::Name(dir, name)) => {
                Ok(rustix::fs::lsetxattr(&*below(dir, name), kind, bytes, flags)?)
            }
            (_, Target::Pin(pin)) => Ok(rustix::fs::setxattr(&*magic(pin), kind, bytes, flags)?),
        }
    }

    /// Removes the default ACL; there being none is fine.
    pub(super) fn remove_default(self, target: Target<'_>) -> io::Result<()> {
        let removed = match (self, target) {
            (Self::At, Target::Name(dir, name)) => sys::removexattrat(dir, name, DEFAULT),
            (Self::Proc, Target::Name(dir, name)) => {
                Ok(rustix::fs::lremovexattr(&*below(dir, name), DEFAULT)?)
            }
            (_, Target::Pin(pin)) => Ok(rustix::fs::removexattr(&*magic(pin), DEFAULT)?),
        };
        match removed {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NODATA) => Ok(()),
            done => done,
        }
    }
}

/// The object behind a descriptor, by its magic link.
fn magic(pin: BorrowedFd<'_>) -> Box<CStr> {
    path(pin, &[])
}

/// A name in an open directory, through the directory's magic link.
fn below(dir: BorrowedFd<'_>, name: &CStr) -> Box<CStr> {
    path(dir, name.to_bytes())
}

fn path(fd: BorrowedFd<'_>, name: &[u8]) -> Box<CStr> {
    let mut path = format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes();
    if !name.is_empty() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    CString::new(path).unwrap_or_default().into_boxed_c_str()
}

#[cfg(test)]
mod tests {
    use super::super::entries::{grant, user};
    use super::*;
    use crate::formats::posix_acl::{Acl, Perm};
    use crate::host::dir::Dir;
    use crate::model::Uid;

    /// All three ways see and set the same, and none follows a symbolic link.
    #[test]
    fn three_ways() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("file", temp.path().join("link")).unwrap();
        let dir = Dir::open(&temp.path().canonicalize().unwrap()).unwrap();
        let pin = dir.pin(c"file").unwrap();
        let name = Target::Name(dir.as_fd(), c"file");
        let mut acl = Acl::from_mode(0o640);
        let ways = [
            (Calls::probe(&dir).unwrap(), name),
            (Calls::Proc, name),
            (Calls::Proc, Target::Pin(pin.as_fd())),
        ];
        for (id, (calls, target)) in (61001..).zip(ways) {
            acl = grant(&acl, &[user(Uid(id), Perm::READ)]);
            calls.set(target, ACCESS, &acl.render()).unwrap();
            for (calls, target) in [(Calls::probe(&dir).unwrap(), name), (Calls::Proc, name)] {
                assert_eq!(calls.get(target, ACCESS).unwrap(), Some(acl.render()));
            }
            let link = calls.get(Target::Name(dir.as_fd(), c"link"), ACCESS).unwrap_err();
            assert_eq!(Errno::from_io_error(&link), Some(Errno::OPNOTSUPP));
        }
        assert_eq!(Calls::Proc.get(name, DEFAULT).unwrap(), None);
        Calls::Proc.remove_default(Target::Name(dir.as_fd(), c".")).unwrap();
    }
}
