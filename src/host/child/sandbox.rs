//! A child on macOS runs below a profile of Seatbelt (`pf/parser.sb`), with which it was started, and makes sure of it.

use super::Work;
use crate::host::keep_tracers_away;
use std::{fs::File, io};

/// What every process may read, and the profile refuses.
const REFUSED: &str = "/private/etc/hosts";

/// Makes sure that nothing leads back to a privilege. Setting the uid from root's leaves no saved one.
pub(super) fn renounce() -> io::Result<()> {
    if nix::unistd::setuid(nix::unistd::Uid::from_raw(0)).is_ok() {
        return Err(io::Error::other("root's rights could not be given up"));
    }
    keep_tracers_away()
}

/// The profile is the same for every work: it was put on before this program began.
pub(crate) fn seal(_: Work) -> io::Result<()> {
    match File::open(REFUSED) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        _ => Err(io::Error::other("the profile that keeps the parser to its work is not in force")),
    }
}
