//! The calls that macOS alone has.

use std::io;

/// Keeps processes of the same account from tracing this one (ptrace(2), `PT_DENY_ATTACH`); a tracer that is there already
/// ends it.
pub fn keep_tracers_away() -> io::Result<()> {
    // SAFETY: the request takes neither a process nor memory: pid, address and data are not looked at.
    let answer = unsafe { libc::ptrace(libc::PT_DENY_ATTACH, 0, std::ptr::null_mut(), 0) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
