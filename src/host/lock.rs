//! One changing command at a time.

use super::{HostError, places};
use rustix::{
    fs::{FlockOperation, Mode, OFlags, chmod, flock, fstat, mkdir, open, stat},
    io::Errno,
};
use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

/// A wait of which nobody needs to be told.
const SHORT: Duration = Duration::from_millis(200);

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
    /// Takes the lock, waiting at most `patience`; `waiting` is called once where that takes a while.
    pub fn take(patience: Duration, waiting: impl FnOnce()) -> Result<Self, LockError> {
        let mut waiting = Some(waiting);
        let start = Instant::now();
        loop {
            let file = open_file()?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_in_place(&file) => return Ok(Self(file)),
                // Whoever held it has removed the file: there is a new one, or soon will be.
                Ok(()) => continue,
                Err(errno) if io::Error::from(errno).kind() == io::ErrorKind::WouldBlock => {}
                Err(errno) => return Err(error(errno).into()),
            }
            if start.elapsed() >= patience {
                return Err(LockError::Busy);
            }
            // The guard's looks are short, and not worth a word.
            if let Some(waiting) = waiting.take_if(|_| start.elapsed() > SHORT) {
                waiting();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Where nothing is set up, before the first setup that changed something or after the last teardown, the file goes too.
impl Drop for Lock {
    fn drop(&mut self) {
        if !std::path::Path::new(places::STATE).exists() {
            let _ = std::fs::remove_file(path());
            let _ = std::fs::remove_dir(places::RUNTIME);
        }
    }
}

fn path() -> String {
    format!("{}/lock", places::RUNTIME)
}

fn error(source: Errno) -> HostError {
    HostError::path("can't lock", path(), source)
}

fn open_file() -> Result<OwnedFd, HostError> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        match mkdir(places::RUNTIME, Mode::from(0o755)) {
            // The umask may have narrowed it, and everybody reads the stamps in it.
            Ok(()) => chmod(places::RUNTIME, Mode::from(0o755)).map_err(error)?,
            Err(Errno::EXIST) => {}
            Err(other) => return Err(error(other)),
        }
        match open(path(), flags, Mode::from(0o600)) {
            // The directory went between the two calls.
            Err(Errno::NOENT) => {}
            other => return other.map_err(error),
        }
    }
}

/// Whether the file that was locked is still the one that others would open.
fn is_in_place(file: &OwnedFd) -> bool {
    let (Ok(ours), Ok(there)) = (fstat(file), stat(path())) else { return false };
    (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
}
