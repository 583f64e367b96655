//! A project that is shared by an id-mapped mount: in the agent's sessions the human's files are its own, and what it makes
//! is the human's on the disk. Sharing changes nothing there; this step sees to it that nothing stands in the way.
//!
//! Files that are the agent's own on the disk, from a time of entries, would be nobody's through the mount. They are handed
//! to the human, and entries of before are taken off. A file with a name outside the project would be written there as well:
//! the human decides about it first.
//!
//! A mark in the state of the agent says that the project is shared, for nothing else does. It goes with the project, and with
//! it the sessions that hold the mount: no entry could be taken from them.

use super::{Check, Description, Layer, Step, Undo, share_acl::record};
use crate::{
    host::{Act, FileState, HostError, Observe, Seen, Shared, Validator},
    model::{
        AbsPath, Gid, Uid,
        desired::{Access, Owner},
    },
    share::{Job, Report},
};
use serde::{Deserialize, Serialize};

/// One project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareMount {
    /// What is shared with whom.
    pub job: Job,
    /// Whose files they are.
    pub owner: Owner,
    /// Where records of earlier ACLs are kept.
    pub records: AbsPath,
}

impl ShareMount {
    fn shared(&self) -> Shared {
        Shared::Tree(self.job.clone())
    }

    fn mark(&self) -> AbsPath {
        record(&self.records, "mount", &self.job.root)
    }

    /// Files with names outside the project, in words.
    fn linked(&self, report: &Report) -> Option<String> {
        let root = &self.job.root;
        let first = report.linked_outside.first.first()?;
        (self.job.access == Access::ReadWrite).then(|| {
            format!(
                "{} files have other names outside the project, such as {root}/{first}, and would be written there, \
                 too: `agentuser share --break-links {root}` gives it copies",
                report.linked_outside.total
            )
        })
    }
}

impl Step for ShareMount {
    fn id(&self) -> String {
        format!("share-mount:{}", self.job.root)
    }

    fn describe(&self) -> Description {
        let access = match self.job.access {
            Access::ReadWrite => "read and write",
            Access::ReadOnly => "read only",
        };
        let mapping = format!("uid {} on the disk is uid {} in sessions", self.owner.uid, self.job.agent);
        Description {
            layer: Layer::Sharing,
            title: format!("{}: {access}, by an id-mapped mount", self.job.root),
            why: "whatever the agent makes is yours, with the mode that it chose; nothing on the disk is changed to share",
            change: vec![
                format!("chown to {} what belongs to uid {}", self.owner.name, self.job.agent),
                format!("in each session: an id-mapped mount, nosuid, nodev; {mapping}"),
                format!("write {}", self.mark()),
            ],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        if machine.file(&self.mark())?.is_none() {
            return Ok(Check::Missing);
        }
        let Seen::Tree(report) = machine.look_at(&self.shared())? else { return Ok(Check::Missing) };
        let own =
            (report.agent_owned > 0).then(|| format!("{} files belong to the agent", report.agent_owned));
        Ok(Check::of(own.into_iter().chain(self.linked(&report)).collect()))
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let record = record(&self.records, "tree", &self.job.root);
        if self.job.break_links {
            machine.open_to_agent(&self.shared(), &record)?;
        }
        machine.close_to_agent(&self.shared(), &self.owner, &record)?;
        let bytes = format!("{}\n", self.job.root).into_bytes();
        let mark = FileState { bytes, mode: 0o644, uid: Uid(0), gid: Gid(0) };
        machine.write(&self.mark(), &mark, Validator::Nobody)?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        // What the agent made is the human's already; sessions that run hold the mount.
        machine.end_processes(self.job.agent, &[])?;
        machine.remove(&self.mark())?;
        Ok(vec![])
    }

    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}
