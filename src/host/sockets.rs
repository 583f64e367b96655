//! Who may connect to a unix socket: the write bit of its file, also of an ACL (unix(7)).

use super::{
    HostError,
    fsids::wearing,
    role,
    worker::{self, Identity, Task},
};
use crate::{
    formats::posix_acl::{ACCESS, Acl, Perm, Tag},
    model::{AbsPath, Gid, Uid},
};
use rustix::{
    fs::{FileType, Mode, OFlags, XattrFlags, fstat, getxattr, open, setxattr},
    io::Errno,
};
use std::os::fd::{AsRawFd, OwnedFd};

/// A socket's file, pinned, with its ACL.
struct Socket {
    pin: OwnedFd,
    owner: (Uid, Gid),
    acl: Acl,
}

impl Socket {
    /// Where there is a socket; anything else in its place is none.
    fn at(path: &AbsPath) -> Result<Option<Self>, HostError> {
        let error = |errno: Errno| HostError::path("can't look at", path, errno);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let pin = match open(path.as_str(), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            other => other.map_err(error)?,
        };
        let is = fstat(&pin).map_err(error)?;
        if FileType::from_raw_mode(is.st_mode) != FileType::Socket {
            return Ok(None);
        }
        let mut bytes = [0; 1024];
        let acl = match getxattr(magic(&pin), ACCESS, &mut bytes) {
            Ok(length) => Acl::parse(&bytes[..length])
                .map_err(|error| HostError::Unexpected { path: path.to_string(), is: error.to_string() })?,
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Acl::from_mode(is.st_mode),
            Err(errno) => return Err(error(errno)),
        };
        Ok(Some(Self { pin, owner: (Uid(is.st_uid), Gid(is.st_gid)), acl }))
    }

    /// As its owner, who may, whichever rights root was left.
    fn set(&self, path: &AbsPath, acl: &Acl) -> Result<(), HostError> {
        let (uid, gid) = self.owner;
        wearing(uid, gid, || setxattr(magic(&self.pin), ACCESS, &acl.render(), XattrFlags::empty()))
            .map_err(|errno| HostError::path("can't set the ACL of", path, errno))
    }
}

/// The object behind a descriptor, by its magic link (proc(5)).
fn magic(pin: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", pin.as_raw_fd())
}

/// Whether a socket is closed to an account by an entry of its own; none where there is no socket.
pub(super) fn is_closed(path: &AbsPath, uid: Uid) -> Result<Option<bool>, HostError> {
    let socket = Socket::at(path)?;
    Ok(socket.map(|socket| socket.acl.get(Tag::User(uid)) == Some(Perm::NONE)))
}

/// Closes a socket to an account, by an entry that gives it nothing. Nobody else gains or loses.
pub(super) fn close(path: &AbsPath, uid: Uid) -> Result<(), HostError> {
    let Some(socket) = Socket::at(path)? else { return Ok(()) };
    let (owner, gid) = socket.owner;
    if owner.0 != 0 && role::is_bound() {
        let identity = Identity { uid: owner, gid, groups: vec![] };
        return worker::run(&identity, Task::CloseSocket(path.clone(), uid), None, &mut |_| {}).map(drop);
    }
    let mut acl = socket.acl.clone();
    acl.put(Tag::User(uid), Perm::NONE);
    if acl.mask().is_none() {
        acl.put(Tag::Mask, acl.union());
    }
    socket.set(path, &acl)
}

/// Takes the entry away again, and the mask that came with it.
pub(super) fn open_again(path: &AbsPath, uid: Uid) -> Result<(), HostError> {
    let Some(socket) = Socket::at(path)? else { return Ok(()) };
    let mut acl = socket.acl.clone();
    acl.remove(Tag::User(uid));
    if !acl.has_named() {
        acl.remove(Tag::Mask);
    }
    if acl == socket.acl { Ok(()) } else { socket.set(path, &acl) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn closed_and_open_again() {
        let dir = tempfile::tempdir().unwrap();
        let path: AbsPath = dir.path().join("socket").to_str().unwrap().parse().unwrap();
        let uid = Uid(61_001);
        assert_eq!(is_closed(&path, uid).unwrap(), None);
        let _listener = UnixListener::bind(path.as_path()).unwrap();
        let mode = || std::fs::metadata(path.as_path()).unwrap().permissions();
        let before = mode();
        assert_eq!(is_closed(&path, uid).unwrap(), Some(false));
        close(&path, uid).unwrap();
        close(&path, uid).unwrap();
        assert_eq!(is_closed(&path, uid).unwrap(), Some(true));
        open_again(&path, uid).unwrap();
        assert_eq!((is_closed(&path, uid).unwrap(), mode()), (Some(false), before));
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path: AbsPath = file.path().to_str().unwrap().parse().unwrap();
        close(&path, Uid(61_001)).unwrap();
        assert_eq!(is_closed(&path, Uid(61_001)).unwrap(), None);
    }
}
