//! Parts of the system that a session has of its own, or does not see: directories for temporary files, shared memory,
//! message queues, run-time directories of users, and the processes of others.

use super::{SessionError, attach, copy_of, said};
use crate::{host::sys, model::AbsPath};
use nix::sched::{CloneFlags, unshare};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
};
use std::{ffi::CStr, os::fd::OwnedFd};

/// What is not run and holds no devices.
const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Filesystems over directories of the system, each with its options. Where the directory is missing there is nothing to
/// hide. `hidepid=2` shows an account its own processes alone (proc(5)); it counts for this mount, not for the machine's.
const OVER: [(&str, &str, MountFlags, &CStr); 4] = [
    ("/dev/shm", "tmpfs", MountFlags::NOSUID.union(MountFlags::NODEV), c"mode=1777"),
    ("/dev/mqueue", "mqueue", QUIET, c""),
    ("/run/user", "tmpfs", QUIET.union(MountFlags::RDONLY), c"mode=755,size=64k"),
    ("/proc", "proc", QUIET, c"hidepid=2"),
];

/// The agent's own directories for temporary files, each with the path where it is shown.
pub(super) fn tmp(own: &AbsPath) -> Result<Vec<(&'static str, OwnedFd)>, SessionError> {
    let open = |name: &str| {
        let path = own.join(name);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(CWD, path.as_path(), flags, Mode::empty())
            .map_err(|errno| SessionError::directory(&path, said(errno)))?;
        copy_of(dir, sys::INERT, path.as_str())
    };
    Ok(vec![("/tmp", open("tmp")?), ("/var/tmp", open("var-tmp")?)])
}

/// Puts all of these in their places.
pub(super) fn hide(tmp: Vec<(&'static str, OwnedFd)>) -> Result<(), SessionError> {
    for (path, tree) in tmp {
        // Either may be a link of root's.
        let at = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        attach(&tree, at.map_err(|errno| SessionError::view(path, errno))?, path)?;
    }
    for (path, kind, flags, options) in OVER {
        match mount(kind, path, kind, flags, options) {
            Ok(()) => {}
            Err(Errno::NOENT) if path != "/proc" => {}
            Err(errno) => return Err(SessionError::view(path, errno)),
        }
    }
    Ok(())
}

/// Why this machine can't carry the private view; none where it can. Root tries each kind of call on a thread of its own,
/// whose namespaces end with it; anybody else goes by the kernel's version.
pub fn why_not() -> Option<String> {
    let needs = "the private view needs Linux 5.12";
    if !rustix::process::geteuid().is_root() {
        let release = rustix::system::uname();
        let release = release.release().to_string_lossy().into_owned();
        return (version(&release) < Some((5, 12))).then(|| format!("{needs}, and this is {release}"));
    }
    let tried = std::thread::Builder::new().spawn(|| try_it().err()).map(std::thread::JoinHandle::join);
    let error = match tried {
        Ok(Ok(error)) => error.map(|error| error.to_string()),
        _ => Some("it could not be tried".into()),
    };
    error.map(|error| format!("{needs} and root's rights over mounts: {error}"))
}

/// Two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn try_it() -> Result<(), SessionError> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC)
        .map_err(|errno| SessionError::view("namespaces of its own", errno))?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|errno| SessionError::view("mounts of its own", errno))?;
    let mask = super::mask::any("/root")?.raise()?;
    let usr = openat(CWD, "/usr", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| SessionError::view("/usr", errno))?;
    mask.make_way("x")?;
    mask.show(&copy_of(usr, sys::INERT | sys::READ_ONLY, "/usr")?, "x")?;
    mask.seal()?;
    hide(vec![])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert!(version("5.4.0-150-generic") < Some((5, 12)) && version("5.12") >= Some((5, 12)));
        assert!(version("x") < Some((5, 12)));
    }
}
