//! One guard in each network namespace.

use super::state::{namespace, path};
use crate::host::places;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, stat};
use std::{fs, os::fd::OwnedFd, path::Path, thread, time::Duration};

/// The lock of a guard. The kernel lets go of it when the process dies; a guard that ends removes the file, so that a
/// teardown leaves no trace.
pub(super) struct LockFile(String, #[expect(dead_code, reason = "holds the lock")] OwnedFd);

impl LockFile {
    /// Takes the lock of this network namespace.
    pub(super) fn take() -> anyhow::Result<Self> {
        match rustix::fs::mkdir(places::RUNTIME, Mode::from(0o755)) {
            Ok(()) => rustix::fs::chmod(places::RUNTIME, Mode::from(0o755))?,
            Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let number: String = namespace().chars().filter(char::is_ascii_digit).collect();
        let path = format!("{}/guard-{number}.lock", places::RUNTIME);
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // One that was killed lets go of it when the programs that it was just starting have started.
        for _ in 0..20 {
            let file = open(&path, flags, Mode::from(0o600))?;
            let is_in_place = || -> Option<bool> {
                let (ours, there) = (fstat(&file).ok()?, stat(&path).ok()?);
                Some((ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino))
            };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && is_in_place() == Some(true) {
                return Ok(Self(path, file));
            }
            thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("another guard runs already")
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_file(path());
        if !Path::new(places::STATE).exists() {
            let _ = fs::remove_dir(places::RUNTIME);
        }
    }
}
