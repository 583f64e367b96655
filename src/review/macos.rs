//! The child that looks is started by sandbox-exec(1), with a profile of its own, and makes sure of it.

use crate::{
    formats::seatbelt,
    host::{Program, itself, users},
    model::AbsPath,
};
use serde::{Deserialize, Serialize};
use std::{io, net::UdpSocket, process::Command};

/// There is none: the profile that keeps a child of ours to what it may read has no form that lists directories and reads no
/// file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Errand {}

/// What is the agent's outside of its projects.
pub(super) fn outside(errand: &Errand) -> io::Result<super::Snapshot> {
    match *errand {}
}

/// The beginning of the child's command line.
pub(super) fn child(projects: &[AbsPath]) -> io::Result<Command> {
    let missing = |what: &str| io::Error::new(io::ErrorKind::NotFound, format!("{what} is not there"));
    let program = Program::SandboxExec.path().ok_or_else(|| missing("`sandbox-exec`"))?;
    let human = users::name_of(rustix::process::getuid().as_raw());
    let human = human.and_then(|name| users::person(&name).ok().flatten());
    let home = human.and_then(|human| human.home.parse().ok()).ok_or_else(|| missing("your home"))?;
    let path = itself().canonicalize()?.into_os_string().into_string().ok();
    let itself: AbsPath = path.and_then(|path| path.parse().ok()).ok_or_else(|| missing("this program"))?;
    let (profile, parameters) = seatbelt::look(&home, &itself, projects);
    let mut command = Command::new(program);
    command.args(parameters).arg("-p").arg(profile).arg("--").arg(itself.as_path()).arg("look");
    Ok(command)
}

/// That the profile is in force is seen by what it refuses: a socket, which everybody may have.
pub(super) fn only_read(_: &[AbsPath]) -> io::Result<()> {
    match UdpSocket::bind("127.0.0.1:0") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        _ => Err(io::Error::other("the profile that keeps it to the projects is not in force")),
    }
}
