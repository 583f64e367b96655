//! This program again, as a process without privilege: its ids are set before it is executed, and it runs below a profile of
//! Seatbelt.

use super::super::{Program, by_itself, itself};
use crate::formats::seatbelt;
use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The uid and gid of those that parse what the agent or the network sent: near the end of the range, where nobody hands uids
/// out, and not that of `nobody`, whose other processes could signal it.
pub(crate) const PARSERS: u32 = u32::MAX - 2;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads DNS for a gate.
    ParseDns,
}

/// A process in a role.
pub(crate) struct Started(Arc<Mutex<Child>>);

/// A way to end a process that another thread has.
pub(crate) struct Handle(Arc<Mutex<Child>>);

/// Starts a process in a role; without a standard output of its own it has none. Setting the uid from root's leaves no
/// supplementary groups and no saved id (`std::os::unix::process::CommandExt::uid`).
pub(crate) fn start(role: Role, stdin: OwnedFd, stdout: Option<OwnedFd>) -> io::Result<Started> {
    let Role::ParseDns = role;
    let sandbox =
        Program::SandboxExec.path().ok_or_else(|| io::Error::other("`sandbox-exec` is not there"))?;
    let mut command = Command::new(sandbox);
    command.args(["-p", seatbelt::PARSER, "--"]).arg(itself()).args(["firewall", "parse-dns"]);
    command.uid(PARSERS).gid(PARSERS);
    by_itself(&mut command);
    command.stdin(stdin).stdout(stdout.map_or_else(Stdio::null, Stdio::from));
    Ok(Started(Arc::new(Mutex::new(command.spawn()?))))
}

/// A child that was waited for is not signalled any more, whoever has its number by then.
fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Started {
    /// A way to end it from elsewhere.
    #[expect(clippy::unnecessary_wraps, reason = "on Linux it takes a descriptor")]
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        Ok(Handle(self.0.clone()))
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn end(&mut self) {
        let mut child = lock(&self.0);
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Handle {
    /// Kills it, if it is there still.
    pub(crate) fn kill(&self) {
        let _ = lock(&self.0).kill();
    }
}
