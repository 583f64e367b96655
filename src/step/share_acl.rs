//! Project directories, opened to the agent by ACL entries, and the parents on the way to them.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    host::{Act, HostError, Observe, Shared},
    model::{
        AbsPath, Uid,
        desired::{Access, Owner},
    },
    share::{Job, Report, Why},
};
use serde::{Deserialize, Serialize};

/// One project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareAcl {
    /// What is shared with whom.
    pub job: Job,
    /// Whose files they are.
    pub owner: Owner,
    /// Where records of earlier ACLs are kept.
    pub records: AbsPath,
}

/// A parent of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traverse {
    /// The directory.
    pub dir: AbsPath,
    /// Who may pass.
    pub agent: Uid,
    /// Whose directory it is.
    pub owner: Owner,
    /// Where records of earlier ACLs are kept.
    pub records: AbsPath,
}

/// The file that keeps what a share found before it. Its name is made from the path by FNV-1a, for a path may be longer
/// than a name.
fn record(records: &AbsPath, kind: &str, path: &AbsPath) -> AbsPath {
    let hash = path.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    records.join(&format!("{kind}-{hash:016x}.jsonl"))
}

impl ShareAcl {
    fn shared(&self) -> Shared {
        Shared::Tree(Job { threads: self.job.threads, ..self.job.clone() })
    }
}

/// What lacks, in words.
fn differences(report: &Report) -> Vec<String> {
    let mut lines: Vec<_> =
        report.lacking.items.iter().take(5).map(|finding| format!("{}: {}", finding.path, finding.why)).collect();
    let more = report.lacking.total.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    if report.agent_owned_lacking > 0 {
        lines.push(format!("{} files of the agent are closed to you", report.agent_owned_lacking));
    }
    lines
}

impl Step for ShareAcl {
    fn id(&self) -> String {
        format!("share:{}", self.job.root)
    }

    fn describe(&self) -> Description {
        let (agent, human) = (self.job.agent, self.job.human);
        let (access, bits) = match self.job.access {
            Access::ReadWrite => ("read and write", "rwX"),
            Access::ReadOnly => ("read only", "r-X"),
        };
        let entries = format!("u:{agent}:{bits},u:{human}:rwX");
        Description {
            layer: Layer::Sharing,
            title: format!("{}: {access}", self.job.root),
            why: "you and the agent both work on these files, whoever made them",
            change: vec![
                format!("as {}, on every file and directory: setfacl -m {entries}", self.owner.name),
                format!("on every directory: setfacl -d -m {entries},g::---,o::---"),
            ],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let report = machine.look_at(&self.shared())?;
        let root_lacks = |report: &Report| {
            report.lacking.items.iter().any(|finding| finding.path.is_root() && finding.why == Why::Missing)
        };
        Ok(if root_lacks(&report) { Check::Missing } else { Check::of(differences(&report)) })
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        // What had an ACL before is recorded object by object, each before its change.
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<(), HostError> {
        machine.open_to_agent(&self.shared(), &record(&self.records, "tree", &self.job.root)).map(drop)
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let record = record(&self.records, "tree", &self.job.root);
        let report = machine.close_to_agent(&self.shared(), Some(&self.owner), &record)?;
        let altered = report.altered.items.iter().map(|path| {
            format!("{}/{path} was changed since it was shared: only our entries were removed", self.job.root)
        });
        let foreign = report.lacking.items.iter().map(|found| format!("{}/{}: {}", self.job.root, found.path, found.why));
        Ok(altered.chain(foreign).collect())
    }

    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}

impl Traverse {
    fn shared(&self) -> Shared {
        Shared::Traverse { dir: self.dir.clone(), agent: self.agent, owner: self.owner.uid }
    }
}

impl Step for Traverse {
    fn id(&self) -> String {
        format!("traverse:{}", self.dir)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Sharing,
            title: format!("{}: pass through, not list", self.dir),
            why: "the way to a project leads through it",
            change: vec![format!("as {}: setfacl -m u:{}:--x {}", self.owner.name, self.agent, self.dir)],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let report = machine.look_at(&self.shared())?;
        Ok(match report.lacking.items.first().map(|finding| &finding.why) {
            None => Check::Satisfied,
            Some(Why::Missing) => Check::Missing,
            Some(Why::Differs) => {
                let why = "its mask lets the agent's entry no longer count, as after chmod 700";
                Check::Drifted(vec![why.into()])
            }
            Some(other) => Check::Drifted(vec![other.to_string()]),
        })
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<(), HostError> {
        machine.open_to_agent(&self.shared(), &record(&self.records, "parent", &self.dir)).map(drop)
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let record = record(&self.records, "parent", &self.dir);
        machine.close_to_agent(&self.shared(), None, &record).map(|_| vec![])
    }

    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}
