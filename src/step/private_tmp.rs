//! The agent's own `/tmp` and `/var/tmp`, for its private view.
//!
//! They lie on the disk, not in memory, and all sessions of an agent see the same ones: a server started in one session and
//! a test in another meet there. Only root gets to them from outside, so nobody can leave a link there for the agent.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    host::{Act, HostError, Observe},
    model::{AbsPath, AccountName, Uid},
};
use serde::{Deserialize, Serialize};

/// A closed directory with two public ones in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateTmp {
    /// The closed directory.
    pub path: AbsPath,
    /// Whose it is.
    pub account: AccountName,
}

/// The mode of each directory: the closed one, and what the agent sees as `/tmp` and `/var/tmp`.
const CLOSED: u32 = 0o700;
const PUBLIC: u32 = 0o1777;

impl PrivateTmp {
    fn dirs(&self) -> [(AbsPath, u32); 3] {
        let inside = |name| (self.path.join(name), PUBLIC);
        [(self.path.clone(), CLOSED), inside("tmp"), inside("var-tmp")]
    }
}

impl Step for PrivateTmp {
    fn id(&self) -> String {
        format!("private-tmp:{}", self.path)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Launch,
            title: format!("/tmp and /var/tmp of its own ({})", self.path),
            why: "what others leave in /tmp is not the agent's to read, nor the other way round",
            change: self.dirs().map(|(path, mode)| format!("mkdir -m {mode:04o} {path}")).into(),
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let mut differences = Vec::new();
        for (path, mode) in self.dirs() {
            match machine.directory(&path)? {
                None if path == self.path => return Ok(Check::Missing),
                None => differences.push(format!("{path} is missing")),
                Some(dir) if dir.uid != Uid(0) => {
                    differences.push(format!("{path} belongs to uid {}", dir.uid));
                }
                Some(dir) if dir.mode & 0o7777 != mode => {
                    differences.push(format!("the mode of {path} is {:04o}", dir.mode & 0o7777));
                }
                Some(_) => {}
            }
        }
        Ok(Check::of(differences))
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        for (path, mode) in self.dirs() {
            machine.make_dir(&path, mode)?;
        }
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.remove_tree(&self.path)?;
        Ok(vec![])
    }

    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}
