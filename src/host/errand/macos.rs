//! How a child is sent on an errand: it is started as nobody. The human's tools are not asked, for there is no way to do so
//! without a network.

use super::Human;
use crate::{
    discover::Found,
    host::{bounded, by_itself, itself, users},
    model::facts::Person,
};
use std::{
    collections::BTreeMap,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Child, Command, ExitStatus},
    time::Duration,
};

/// The child.
pub(super) struct Started(Child);

impl Started {
    /// Waits for its end; what it started goes with it.
    pub(super) fn wait_at_most(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let status = bounded::wait(&mut self.0, patience);
        bounded::end_group(&self.0);
        status.map(Some)
    }
}

fn nobody() -> io::Result<Person> {
    let person = users::person("nobody").map_err(io::Error::other)?;
    person.filter(|person| person.uid.0 != 0).ok_or_else(|| io::Error::other("there is no account `nobody`"))
}

/// Starts the child. Setting the uid from root's leaves no supplementary groups and no saved id
/// (`std::os::unix::process::CommandExt::uid`).
pub(super) fn start(stdin: OwnedFd, stdout: OwnedFd) -> io::Result<Started> {
    if !rustix::process::geteuid().is_root() {
        return Err(io::Error::other("only root can send a child to the network as nobody"));
    }
    let nobody = nobody()?;
    let mut command = Command::new(itself());
    command.arg("errand").uid(nobody.uid.0).gid(nobody.gid.0).process_group(0);
    by_itself(&mut command);
    Ok(Started(command.stdin(stdin).stdout(stdout).spawn()?))
}

/// Makes sure of being nobody, and of nothing that leads back.
pub(super) fn become_nobody() -> io::Result<()> {
    let nobody = nobody()?.uid.0;
    let (real, effective) = (rustix::process::getuid().as_raw(), rustix::process::geteuid().as_raw());
    if [real, effective] == [nobody; 2] && nix::unistd::setuid(nix::unistd::Uid::from_raw(0)).is_err() {
        return Ok(());
    }
    Err(io::Error::other("an errand is done by nobody alone"))
}

pub(super) fn ask_tools(_: &Human, _: Vec<String>) -> io::Result<BTreeMap<String, Found>> {
    Err(io::Error::other("tools are not asked on macOS, for they could not be kept from the network"))
}
