//! One changing command at a time.

use super::{HostError, places};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, mkdir, open};
use std::{io, os::fd::OwnedFd};

/// Held as long as it lives; the kernel lets go of it when the process dies.
pub struct Lock(#[expect(dead_code, reason = "holds the lock")] OwnedFd);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another command holds it.
    #[error("another agentuser is changing this machine")]
    Busy,
    /// The lock file can't be made.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Lock {
    /// Takes the lock, waiting at most `patience`; `waiting` is called once where it has to wait.
    pub fn take(patience: std::time::Duration, waiting: impl FnOnce()) -> Result<Self, LockError> {
        let path = format!("{}/lock", places::RUNTIME);
        let error = |source: rustix::io::Errno| HostError::path("can't lock", &path, source);
        match mkdir(places::RUNTIME, Mode::from(0o755)) {
            Err(rustix::io::Errno::EXIST) | Ok(()) => {}
            Err(other) => return Err(error(other).into()),
        }
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(&path, flags, Mode::from(0o600)).map_err(error)?;
        let mut waiting = Some(waiting);
        let end = std::time::Instant::now() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(errno) if io::Error::from(errno).kind() == io::ErrorKind::WouldBlock => {}
                Err(errno) => return Err(error(errno).into()),
            }
            if std::time::Instant::now() >= end {
                return Err(LockError::Busy);
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Removes the lock file and its directory where nothing else is in it; for the end of the last teardown.
    pub fn discard(self) {
        let _ = std::fs::remove_file(format!("{}/lock", places::RUNTIME));
        let _ = std::fs::remove_dir(places::RUNTIME);
    }
}
