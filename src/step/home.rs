//! The agent's home: 0700, from the machine's skeleton.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    host::{Act, HostError, Observe},
    model::{AbsPath, AccountName, Gid, Uid},
};
use serde::{Deserialize, Serialize};

/// A home directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// Where it is.
    pub path: AbsPath,
    /// Whose it is.
    pub account: AccountName,
    /// User id.
    pub uid: Uid,
    /// Group id.
    pub gid: Gid,
    /// Whether it is made without the machine's skeleton.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bare: bool,
}

impl Step for Home {
    fn id(&self) -> String {
        format!("home:{}", self.path)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Account,
            title: format!("home {} (mode 0700)", self.path),
            why: "a place for the agent's own settings, caches and tools, closed to other accounts",
            change: vec![format!(
                "mkdir {0}; {3}chown -R {1}:{2} {0}",
                self.path,
                self.uid,
                self.gid,
                if self.bare { "" } else { "copy /etc/skel; " }
            )],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let Some(dir) = machine.directory(&self.path)? else { return Ok(Check::Missing) };
        let mut differences = Vec::new();
        if dir.uid != self.uid || dir.gid != self.gid {
            differences.push(format!("it belongs to {}:{}", dir.uid, dir.gid));
        }
        if dir.mode & 0o7777 != 0o700 {
            differences.push(format!("its mode is {:04o}", dir.mode & 0o7777));
        }
        Ok(Check::of(differences))
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.make_home(&self.path, self.uid, self.gid)?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.end_processes(self.uid, &[])?;
        machine.remove_home(&self.path, self.uid, self.account.as_str())
    }

    fn unclaimed(&self, check: Check) -> Check {
        match check {
            Check::Missing | Check::Foreign(_) | Check::Unknown(_) => check,
            Check::Satisfied | Check::Drifted(_) => Check::Foreign(format!("{} exists already", self.path)),
        }
    }
}
