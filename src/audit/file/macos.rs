//! An entry of a macOS ACL, set by chmod(1): by name, in a directory that root alone writes.

use crate::{
    audit::path,
    host::{Command, Program, users},
    model::{AccountName, Uid},
};
use std::{fs::File, io};

/// Lets an account read the log of an agent. An entry that is there already is not made twice.
pub(super) fn let_read(_: &File, agent: &AccountName, human: Uid) -> io::Result<()> {
    let name = users::name_of(human.0).ok_or_else(|| io::Error::other("an account without a name"))?;
    let entry = format!("user:{name} allow read");
    let command = Command::new(Program::Chmod, ["-h", "+a", &entry, path(agent).as_str()]);
    let output = command.output().map_err(io::Error::other)?;
    command.expect_success(output).map_err(io::Error::other)?;
    Ok(())
}
