//! System calls that no safe crate offers, and nothing else: the only unsafe code of the program.
//!
//! Each function is a thin, safe form of one call; decisions live with the callers.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub use linux::*;
#[cfg(target_os = "macos")]
pub use macos::*;

use std::io;

/// Gives a signal its default action back (signal(2)): Rust's runtime ignores SIGPIPE, and has handlers for SIGSEGV and
/// SIGBUS.
pub fn restore_default_action(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: the default action runs no code of ours, so there is nothing that could be unsafe in a handler.
    let before = unsafe { libc::signal(signal, libc::SIG_DFL) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has a signal ignored, by this process and by what it starts (signal(2)).
pub fn ignore(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: to ignore a signal runs no code of ours, so there is nothing that could be unsafe in a handler.
    let before = unsafe { libc::signal(signal, libc::SIG_IGN) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}
