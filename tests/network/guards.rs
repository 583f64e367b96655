//! What the tests hold of the machine, and give back, also after a panic.

use crate::support::{run, sh};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use std::os::fd::OwnedFd;

/// Whoever sets agentuser up on this machine holds it.
const LOCK: &str = "/tmp/agentuser-machine.lock";

/// Held as long as it lives.
pub(crate) struct Lock(#[expect(dead_code, reason = "closing it gives the lock up")] OwnedFd);

impl Lock {
    pub(crate) fn take() -> Self {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(LOCK, flags, Mode::from(0o600)).unwrap();
        flock(&file, FlockOperation::LockExclusive).unwrap();
        Self(file)
    }
}

/// An account for a person, with a home.
pub(crate) struct Person(pub(crate) String);

impl Person {
    pub(crate) fn new(name: &str) -> Self {
        let person = Self(format!("t_nw_{name}"));
        person.remove();
        sh(&format!("useradd --create-home --shell /bin/bash {}", person.0));
        person
    }

    fn remove(&self) {
        run(&["userdel", "--force", "--remove", &self.0]);
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.remove();
    }
}
