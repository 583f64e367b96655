//! Permission bits as numbers, which have 32 bits on Linux and 16 on macOS.

use rustix::fs::{Mode, RawMode};

/// The permission bits of `st_mode`.
#[cfg(not(target_os = "macos"))]
pub(super) fn bits(raw: RawMode) -> u32 {
    raw & 0o7777
}

/// The permission bits of `st_mode`.
#[cfg(target_os = "macos")]
pub(super) fn bits(raw: RawMode) -> u32 {
    u32::from(raw & 0o7777)
}

/// Permission bits for a system call.
#[cfg(not(target_os = "macos"))]
pub(super) fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits & 0o7777)
}

/// Permission bits for a system call.
#[cfg(target_os = "macos")]
pub(super) fn mode(bits: u32) -> Mode {
    // Twelve bits fit.
    Mode::from_raw_mode((bits & 0o7777) as RawMode)
}
