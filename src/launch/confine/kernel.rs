//! Which lines of confinement a kernel carries.

use crate::{host::sys, policy::Line};
use std::path::Path;

/// Landlock that can move files between directories (Linux 5.19): with less, `mv` and many tools fail.
const REFERS: u32 = 2;
/// Landlock that knows truncation (Linux 6.2).
const TRUNCATES: u32 = 3;
/// Landlock with scopes (Linux 6.12).
const SCOPES: u32 = 6;

/// Without seccomp.
pub(super) const NO_SECCOMP: &str = "this kernel has no seccomp filters, or none for this processor";

/// What a kernel has of what confinement takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The version of Landlock's interface; 0 for none.
    pub landlock: u32,
    /// Whether filters of system calls can be loaded.
    pub seccomp: bool,
}

/// Whether a line can be in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// All of it.
    Fully,
    /// Some of it; what is missing.
    Partly(&'static str),
    /// Nothing of it; why.
    No(&'static str),
}

impl Kernel {
    /// This kernel.
    pub fn present() -> Self {
        let seccomp = Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
        Self { seccomp: seccomp && super::filter::architecture().is_some(), ..Self::landlock_alone() }
    }

    /// This kernel, with filters taken for granted: whether they can be loaded is seen when they are.
    pub(super) fn landlock_alone() -> Self {
        Self { landlock: sys::landlock_version(), seccomp: true }
    }

    /// Whether it carries a line.
    pub fn carries(self, line: Line) -> Carried {
        match line {
            Line::NoNewPrivileges => Carried::Fully,
            Line::Landlock => match self.landlock {
                0 => Carried::No("this kernel has no Landlock, or was started without it"),
                1 => Carried::No(
                    "this kernel's Landlock can't move files between directories (Linux 5.19 can)",
                ),
                REFERS => {
                    Carried::Partly("this kernel's Landlock lets files be truncated (Linux 6.2 does not)")
                }
                TRUNCATES.. => Carried::Fully,
            },
            Line::AbstractSockets | Line::Signals if self.landlock < SCOPES => {
                Carried::No("this kernel's Landlock has no scopes (Linux 6.12 has)")
            }
            line if line.is_a_filter() && !self.seccomp => Carried::No(NO_SECCOMP),
            _ => Carried::Fully,
        }
    }
}

impl Line {
    /// Whether seccomp puts it in force.
    pub(super) fn is_a_filter(self) -> bool {
        !matches!(self, Self::NoNewPrivileges | Self::Landlock | Self::AbstractSockets | Self::Signals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels() {
        let carried = |landlock, line| Kernel { landlock, seccomp: true }.carries(line);
        assert!(matches!(carried(0, Line::Landlock), Carried::No(_)));
        assert!(matches!(carried(1, Line::Landlock), Carried::No(_)));
        assert!(matches!(carried(2, Line::Landlock), Carried::Partly(_)));
        assert_eq!(carried(3, Line::Landlock), Carried::Fully);
        assert!(matches!(carried(5, Line::Signals), Carried::No(_)));
        assert_eq!(carried(7, Line::AbstractSockets), Carried::Fully);
        let bare = Kernel { landlock: 7, seccomp: false };
        assert!(matches!(bare.carries(Line::IoUring), Carried::No(_)));
        assert_eq!(bare.carries(Line::Signals), Carried::Fully);
    }
}
