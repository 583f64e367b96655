//! Project directories, opened to the agent by ACL entries, and the parents on the way to them.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    formats::digest::fnv1a,
    host::{Act, HostError, Observe, Seen, Shared},
    model::{
        AbsPath, Uid,
        desired::{Access, Owner},
    },
    share::{Job, Passage, PassageEnd, Report},
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

/// The file that keeps what a share found before it, named by a digest: a path may be longer than a name.
pub(super) fn record(records: &AbsPath, kind: &str, path: &AbsPath) -> AbsPath {
    records.join(&format!("{kind}-{:016x}.jsonl", fnv1a(path.as_str().bytes())))
}

impl ShareAcl {
    fn shared(&self) -> Shared {
        Shared::Tree(self.job.clone())
    }
}

impl ShareAcl {
    /// What a person should know after the tree was opened.
    fn notes(&self, report: &Report) -> Vec<String> {
        let root = &self.job.root;
        let mut notes: Vec<String> = Vec::new();
        let linked = report.linked_outside.total;
        if linked > 0 {
            let first = report
                .linked_outside
                .first
                .first()
                .map(|path| format!(", such as {root}/{path}"))
                .unwrap_or_default();
            notes.push(format!(
                "{linked} files have other names outside the project{first}: the agent may read them, not write. \
                 `agentuser share --break-links {root}` gives it copies"
            ));
        }
        let lists = [
            (report.foreign_owner.total, "belong to others and were left alone"),
            (report.other_device.total, "lie on other filesystems and were left alone"),
        ];
        notes.extend(lists.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{root}: {n} {what}")));
        notes.extend(
            report.lacking.first.iter().take(5).map(|found| format!("{root}/{}: {}", found.path, found.why)),
        );
        notes
    }
}

/// What lacks, in words.
pub(super) fn differences(report: &Report) -> Vec<String> {
    let mut lines: Vec<_> = report
        .lacking
        .first
        .iter()
        .take(5)
        .map(|finding| format!("{}: {}", finding.path, finding.why))
        .collect();
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
        // A tree that was never shared need not be walked to say so.
        if self.verify(machine)? == Check::Missing {
            return Ok(Check::Missing);
        }
        let Seen::Tree(report) = machine.look_at(&self.shared())? else { return Ok(Check::Missing) };
        let mut differences = differences(&report);
        if self.job.break_links && report.linked_outside.total > 0 {
            differences
                .push(format!("{} files have other names outside the project", report.linked_outside.total));
        }
        Ok(Check::of(differences))
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        // What had an ACL before is recorded object by object, each before its change.
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let seen = machine.open_to_agent(&self.shared(), &record(&self.records, "tree", &self.job.root))?;
        let Seen::Tree(report) = seen else { return Ok(vec![]) };
        Ok(self.notes(&report))
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let record = record(&self.records, "tree", &self.job.root);
        let Seen::Tree(report) = machine.close_to_agent(&self.shared(), &self.owner, &record)? else {
            return Ok(vec![format!("{} is gone", self.job.root)]);
        };
        let altered = report.altered.first.iter().map(|path| {
            format!("{}/{path} was changed since it was shared: only our entries were removed", self.job.root)
        });
        let lacking = report
            .lacking
            .first
            .iter()
            .map(|found| format!("{}/{}: {}", self.job.root, found.path, found.why));
        let left = (report.agent_owned > 0)
            .then(|| format!("{}: {} files still belong to the agent", self.job.root, report.agent_owned));
        Ok(altered.chain(lacking).chain(left).collect())
    }

    fn verify(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        // The pass that applied has just seen every object; what it could not change is in its notes.
        let open = machine.look_at(&Shared::Root(self.job.clone()))? == Seen::Root(true);
        Ok(if open { Check::Satisfied } else { Check::Missing })
    }

    fn stands_alone(&self) -> bool {
        true
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
        Ok(match machine.look_at(&self.shared())? {
            Seen::Passage(Passage::Open) => Check::Satisfied,
            Seen::Passage(Passage::Voided) => {
                let why = "a chmod since, such as `chmod 700`, lets the agent's entry no longer count";
                Check::Drifted(vec![why.into()])
            }
            _ => Check::Missing,
        })
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.open_to_agent(&self.shared(), &record(&self.records, "parent", &self.dir))?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let record = record(&self.records, "parent", &self.dir);
        let end = machine.close_to_agent(&self.shared(), &self.owner, &record)?;
        let altered = end == Seen::Closed(PassageEnd::Altered);
        Ok(if altered { vec![format!("{}: its mode was changed since: kept", self.dir)] } else { vec![] })
    }

    fn stands_alone(&self) -> bool {
        true
    }

    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}
