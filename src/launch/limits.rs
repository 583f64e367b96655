//! Limits of what a session uses: memory and processors of all sessions together by a control group, which root's half of
//! the private view joins; processes and open files by setrlimit(2), which needs no root.

use crate::{host::cgroup, model::AccountName, policy};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::io;

/// Limits of an agent; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    memory: Option<u64>,
    /// Processors' worth of time.
    cpus: Option<u32>,
    /// Processes and threads of the account.
    processes: Option<u32>,
    /// Open files of each process.
    open_files: Option<u32>,
}

impl From<&policy::Limits> for Limits {
    fn from(limits: &policy::Limits) -> Self {
        Self {
            memory: limits.memory.map(policy::MemorySize::bytes),
            cpus: limits.cpus,
            processes: limits.processes,
            open_files: limits.open_files,
        }
    }
}

impl Limits {
    /// Joins the control group of the agent, as root, where there is a limit for it to keep.
    pub(super) fn join(&self, agent: &AccountName) -> io::Result<()> {
        if self.memory.is_none() && self.cpus.is_none() {
            return Ok(());
        }
        cgroup::join(agent, self.memory, self.cpus)
    }

    /// Lowers the limits of this process and all that it starts, for good. Where the system's own is lower, that one stays.
    pub(super) fn lower(&self) -> io::Result<()> {
        let own = [(Resource::RLIMIT_NPROC, self.processes), (Resource::RLIMIT_NOFILE, self.open_files)];
        for (resource, limit) in own {
            if let Some(limit) = limit {
                let (_, most) = getrlimit(resource)?;
                let limit = most.min(limit.into());
                setrlimit(resource, limit, limit)?;
            }
        }
        Ok(())
    }
}
