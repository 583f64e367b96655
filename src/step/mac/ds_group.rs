//! The agent's own group on macOS: a record of Open Directory, made attribute by attribute with dscl(1).

use super::{delete, differences, dscl, record, refuse_without_leave, set};
use crate::{
    host::{Act, Command, HostError, MacQuery, Observe, Program},
    model::{AccountName, Gid},
    step::{Check, Description, Layer, Step, Undo},
};
use serde::{Deserialize, Serialize};

/// A group of the agent's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DsGroup {
    /// Its name.
    pub name: AccountName,
    /// Its id.
    pub gid: Gid,
}

impl DsGroup {
    fn path(&self) -> String {
        format!("/Groups/{}", self.name)
    }

    /// The id comes last: a record with one is whole.
    fn wanted(&self) -> Vec<(&'static str, String)> {
        vec![
            ("RealName", format!("agentuser group of {}", self.name)),
            ("Password", "*".into()),
            ("PrimaryGroupID", self.gid.to_string()),
        ]
    }

    fn remove(&self, member: &str) -> Command {
        Command::new(Program::Dseditgroup, ["-o", "edit", "-d", member, "-t", "user", self.name.as_str()])
    }

    /// Who is in it and should not be: the account is in its own group by name, too.
    fn strangers(&self, is: &crate::formats::dscl::Record) -> Vec<String> {
        let members = is.values("GroupMembership").iter();
        members.filter(|member| member.as_str() != self.name.as_str()).cloned().collect()
    }
}

impl Step for DsGroup {
    fn id(&self) -> String {
        format!("group:{}", self.name)
    }

    fn describe(&self) -> Description {
        let path = self.path();
        let mut change = vec![dscl("-create", [path.as_str()]).line()];
        change
            .extend(self.wanted().iter().map(|(name, value)| dscl("-create", [&path, *name, value]).line()));
        Description {
            layer: Layer::Account,
            title: format!("group {} (gid {})", self.name, self.gid),
            why: "the agent shares no group with people or services",
            change,
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let Some(is) = record(MacQuery::Group(self.name.to_string()), machine)? else {
            return Ok(Check::Missing);
        };
        if is.number("PrimaryGroupID").is_some_and(|gid| gid != self.gid.0) {
            let gid = is.value("PrimaryGroupID").unwrap_or_default();
            return Ok(Check::Foreign(format!("a group {} with gid {gid} exists", self.name)));
        }
        let mut faults = differences(&self.wanted(), &is);
        let strangers = self.strangers(&is);
        faults.extend(strangers.iter().map(|name| format!("{} is a member of it", name.escape_debug())));
        Ok(Check::of(faults))
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn preflight(&self, machine: &mut dyn Act) -> Result<(), HostError> {
        refuse_without_leave(machine)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let query = || MacQuery::Group(self.name.to_string());
        if record(query(), machine.observe())?.is_none() {
            machine.run(&dscl("-create", [self.path().as_str()]))?;
        }
        let is = record(query(), machine.observe())?.unwrap_or_default();
        set(&self.path(), &self.wanted(), &is, machine)?;
        for member in self.strangers(&is) {
            machine.run(&self.remove(&member))?;
        }
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        match record(MacQuery::Group(self.name.to_string()), machine.observe())? {
            // One without an id was begun, and got no further.
            Some(is) if is.number("PrimaryGroupID").is_none_or(|gid| gid == self.gid.0) => {
                delete(&self.path(), machine)?;
                Ok(vec![])
            }
            Some(_) => {
                Ok(vec![format!("group {} is not the one that agentuser made: left alone", self.name)])
            }
            None => Ok(vec![]),
        }
    }

    fn unclaimed(&self, check: Check) -> Check {
        match check {
            Check::Missing | Check::Foreign(_) | Check::Unknown(_) => check,
            Check::Satisfied | Check::Drifted(_) => {
                Check::Foreign(format!("a group {} exists already", self.name))
            }
        }
    }
}
