//! A list that lines of agents can be added to: `cron.deny`, `at.deny`.
//!
//! It belongs to the machine, not to an agent, so that the last agent to leave finds what was there before the first.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    host::{Act, FileState, HostError, Observe, Validator},
    model::{AbsPath, Gid, Uid},
};
use serde::{Deserialize, Serialize};

/// A file of lines, whose last line has an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The file.
    pub path: AbsPath,
}

impl Step for List {
    fn id(&self) -> String {
        format!("list:{}", self.path)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Account,
            title: format!("list {}", self.path),
            why: "the agents' names are added to it",
            change: vec![format!("make {} where there is none, and end its last line", self.path)],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        Ok(match machine.file(&self.path)? {
            None => Check::Missing,
            Some(file) if file.bytes.is_empty() || file.bytes.ends_with(b"\n") => Check::Satisfied,
            Some(_) => Check::Drifted(vec!["its last line has no end".into()]),
        })
    }

    fn capture(&self, machine: &dyn Observe) -> Result<Undo, HostError> {
        Ok(machine.file(&self.path)?.map_or(Undo::Nothing, Undo::File))
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let none = FileState { bytes: vec![], mode: 0o644, uid: Uid(0), gid: Gid(0) };
        let mut file = machine.file(&self.path)?.unwrap_or(none);
        if !(file.bytes.is_empty() || file.bytes.ends_with(b"\n")) {
            file.bytes.push(b'\n');
        }
        machine.write(&self.path, &file, Validator::Nobody)?;
        Ok(vec![])
    }

    fn revert(&self, undo: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let Some(now) = machine.file(&self.path)? else { return Ok(vec![]) };
        match undo {
            Undo::File(was) if now.bytes.strip_suffix(b"\n") == Some(&was.bytes[..]) => {
                machine.write(&self.path, was, Validator::Nobody)?;
            }
            Undo::Nothing if now.bytes.is_empty() => machine.remove(&self.path)?,
            // Somebody else has written to it since.
            _ => {}
        }
        Ok(vec![])
    }

    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}
