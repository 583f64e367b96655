//! The way to another account that asks for no password: what sudoers lets a human call, by the name of the program there.

use crate::{
    host::{Program, places},
    model::AccountName,
};
use std::{
    io,
    path::Path,
    process::{Command, Output},
};

/// The beginning of a command line that sudo runs as `account` without asking for a password.
pub fn sudo(account: &str) -> io::Result<Command> {
    let path = Program::Sudo
        .path()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "sudo is not installed"))?;
    let mut command = Command::new(path);
    command.args(["-n", "-u", account, "--", places::PROGRAM]);
    Ok(command)
}

/// A path as an argument to type.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%:,".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Has root's helper do something for an agent.
pub fn helper(what: &str, agent: &AccountName) -> io::Result<Output> {
    sudo("root")?.args(["helper", what, agent.as_str()]).output()
}
