//! Project directories of macOS, opened to the agent by ACL entries, and the parents on the way to them.

use crate::{
    host::{Act, HostError, Observe, Seen},
    model::{AbsPath, desired::Access},
    share::{AceJob, Aces, PassJob, Passage},
    step::{
        Check, Description, Layer, Step, Undo,
        share_acl::{differences, record},
    },
};
use serde::{Deserialize, Serialize};

/// One project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareAces {
    /// What is shared with whom.
    pub job: AceJob,
    /// Where records of earlier ACLs are kept.
    pub records: AbsPath,
}

/// A parent of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassAces {
    /// The directory, and who may pass.
    pub job: PassJob,
    /// Where records of earlier ACLs are kept.
    pub records: AbsPath,
}

impl ShareAces {
    fn tree(&self) -> Aces {
        Aces::Tree(self.job.clone())
    }

    fn is_open(&self, machine: &dyn Observe) -> Result<bool, HostError> {
        Ok(machine.look_at_aces(&Aces::Root(self.job.clone()))? == Seen::Root(true))
    }
}

impl Step for ShareAces {
    fn id(&self) -> String {
        format!("share:{}", self.job.root)
    }

    fn describe(&self) -> Description {
        let access = match self.job.access {
            Access::ReadWrite => "read and write",
            Access::ReadOnly => "read only",
        };
        let (agent, human) = (&self.job.agent.name, &self.job.human.name);
        let whom =
            if self.job.access == Access::ReadWrite { format!("{agent} and {human}") } else { agent.clone() };
        Description {
            layer: Layer::Sharing,
            title: format!("{}: {access}", self.job.root),
            why: "you and the agent both work on these files, whoever made them",
            change: vec![
                format!("as {human}, on every file: chmod -h +a an entry for {whom}"),
                "on every directory: two entries each, for itself and for what is made in it".into(),
            ],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        // A tree that was never shared need not be walked to say so.
        if !self.is_open(machine)? {
            return Ok(Check::Missing);
        }
        let Seen::Tree(report) = machine.look_at_aces(&self.tree())? else { return Ok(Check::Missing) };
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
        if self.is_open(machine.observe())? {
            // chmod(1) goes by names, and whoever may write in the tree could put another file in the place of one.
            machine.end_processes(self.job.agent.uid, &[])?;
        }
        let record = record(&self.records, "tree", &self.job.root);
        let Seen::Tree(report) = machine.open_aces(&self.tree(), &record)? else { return Ok(vec![]) };
        let root = &self.job.root;
        let linked = format!(
            "have other names outside the project: the agent can't use them. `agentuser share --break-links {root}` \
             gives it copies"
        );
        let lists = [
            (report.linked_outside.total, linked.as_str()),
            (report.foreign_owner.total, "belong to others and were left alone"),
            (report.other_device.total, "lie on other volumes and were left alone"),
        ];
        let mut notes: Vec<_> =
            lists.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{root}: {n} {what}")).collect();
        let lacking = report.lacking.first.iter().take(5);
        notes.extend(lacking.map(|found| format!("{root}/{}: {}", found.path, found.why)));
        Ok(notes)
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.end_processes(self.job.agent.uid, &[])?;
        let record = record(&self.records, "tree", &self.job.root);
        let Seen::Tree(report) = machine.close_aces(&self.tree(), &record)? else {
            return Ok(vec![format!("{} is gone", self.job.root)]);
        };
        let root = &self.job.root;
        let altered = report.altered.first.iter();
        let altered = altered.map(|path| {
            format!("{root}/{path} was changed since it was shared: only the agent's entries were removed")
        });
        let lacking =
            report.lacking.first.iter().map(|found| format!("{root}/{}: {}", found.path, found.why));
        let left = (report.agent_owned > 0)
            .then(|| format!("{root}: {} files still belong to the agent", report.agent_owned));
        Ok(altered.chain(lacking).chain(left).collect())
    }

    fn verify(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        // The pass that applied has just seen every object; what it could not change is in its notes.
        Ok(if self.is_open(machine)? { Check::Satisfied } else { Check::Missing })
    }

    fn stands_alone(&self) -> bool {
        true
    }

    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}

impl Step for PassAces {
    fn id(&self) -> String {
        format!("traverse:{}", self.job.dir)
    }

    fn describe(&self) -> Description {
        let PassJob { dir, agent, owner } = &self.job;
        Description {
            layer: Layer::Sharing,
            title: format!("{dir}: pass through, not list"),
            why: "the way to a project leads through it",
            change: vec![format!("as {}: chmod -h +a \"user:{agent} allow search\" {dir}", owner.name)],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        Ok(match machine.look_at_aces(&Aces::Pass(self.job.clone()))? {
            Seen::Passage(Passage::Open) => Check::Satisfied,
            Seen::Passage(Passage::Voided) => {
                Check::Foreign(format!("an entry on {} denies {} the way", self.job.dir, self.job.agent))
            }
            _ => Check::Missing,
        })
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.open_aces(&Aces::Pass(self.job.clone()), &record(&self.records, "parent", &self.job.dir))?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.close_aces(&Aces::Pass(self.job.clone()), &record(&self.records, "parent", &self.job.dir))?;
        Ok(vec![])
    }

    fn stands_alone(&self) -> bool {
        true
    }

    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}
