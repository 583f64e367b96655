//! The child that looks confines itself, by Landlock and seccomp.

use crate::{host::itself, launch::confine, model::AbsPath};
use std::{io, process::Command};

/// The beginning of the child's command line.
#[expect(clippy::unnecessary_wraps, reason = "on macOS a program may not be there")]
pub(super) fn child(_: &[AbsPath]) -> io::Result<Command> {
    let mut command = Command::new(itself());
    command.arg("look");
    Ok(command)
}

/// From here on the child can open nothing but these, and only to read.
pub(super) fn only_read(projects: &[AbsPath]) -> io::Result<()> {
    confine::only_read(projects).map_err(io::Error::other)
}

/// From here on the child can list directories, and open no file at all.
pub(super) fn only_list() -> io::Result<()> {
    confine::only_list().map_err(io::Error::other)
}
