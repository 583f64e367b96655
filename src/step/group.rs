//! The agent's own group: its primary one, with nobody else in it.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    host::{Act, Command, HostError, Observe, Program},
    model::{AccountName, Gid},
};
use serde::{Deserialize, Serialize};

/// A group of the agent's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: AccountName,
    /// Its id.
    pub gid: Gid,
}

impl Group {
    fn add(&self) -> Command {
        Command::new(Program::Groupadd, ["--system", "--gid", &self.gid.to_string(), self.name.as_str()])
    }
}

impl Step for Group {
    fn id(&self) -> String {
        format!("group:{}", self.name)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Account,
            title: format!("group {} (gid {})", self.name, self.gid),
            why: "the agent shares no group with people or services",
            change: vec![self.add().line()],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        Ok(match machine.group(self.name.as_str())? {
            None => Check::Missing,
            Some(group) if group.gid != self.gid => {
                Check::Foreign(format!("a group {} with gid {} exists", self.name, group.gid))
            }
            Some(group) => {
                Check::of(group.members.iter().map(|name| format!("{name} is a member of it")).collect())
            }
        })
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let Some(group) = machine.group(self.name.as_str())? else {
            machine.run(&self.add())?;
            return Ok(vec![]);
        };
        for member in group.members {
            machine.run(&Command::new(Program::Gpasswd, ["--delete", &member, self.name.as_str()]))?;
        }
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        match machine.group(self.name.as_str())? {
            Some(group) if group.gid == self.gid => {
                machine.run(&Command::new(Program::Groupdel, [self.name.as_str()]))?;
                Ok(vec![])
            }
            Some(group) => Ok(vec![format!("group {} has gid {} now: left alone", self.name, group.gid)]),
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
