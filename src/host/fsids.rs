//! The filesystem ids of a thread (`setfsuid(2)`, `credentials(7)`): with those of an account root changes what the account
//! owns, and looks at its processes (`ptrace(2)`, "Ptrace access mode checking"), with that account's rights and no others.
//! So the guard can do without `CAP_FOWNER`, `CAP_DAC_READ_SEARCH` and `CAP_SYS_PTRACE`.
//!
//! Nobody gets a hold on root by it: who may signal or trace a process does not go by these ids.

use crate::model::{Gid, Uid};
use nix::unistd::{self, setfsgid, setfsuid};

/// Does something with the filesystem ids of an account. Where the caller may not take these, it is done with its own.
pub(crate) fn wearing<T>(uid: Uid, gid: Gid, act: impl FnOnce() -> T) -> T {
    let _own = Own {
        gid: setfsgid(unistd::Gid::from_raw(gid.0)),
        // Last, for the right to change the other goes with it.
        uid: setfsuid(unistd::Uid::from_raw(uid.0)),
    };
    act()
}

/// The thread's own ids, which come back also when what was done panics.
struct Own {
    uid: unistd::Uid,
    gid: unistd::Gid,
}

impl Drop for Own {
    fn drop(&mut self) {
        setfsuid(self.uid);
        setfsgid(self.gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io, os::unix::fs::PermissionsExt};

    #[test]
    fn what_is_done_is_done_as_the_account_and_only_then() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
        let read = || fs::read(file.path()).map(drop).map_err(|error| error.kind());
        assert_eq!(wearing(Uid(61_001), Gid(61_001), read), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(read(), Ok(()));
    }
}
