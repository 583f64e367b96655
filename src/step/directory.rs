//! A directory of root's.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    host::{Act, HostError, Observe},
    model::{AbsPath, Uid},
};
use serde::{Deserialize, Serialize};

/// A directory that only root may write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Where it is.
    pub path: AbsPath,
    /// Its permission bits.
    pub mode: u32,
}

impl Step for Directory {
    fn id(&self) -> String {
        format!("directory:{}", self.path)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Program,
            title: format!("directory {} (mode {:04o})", self.path, self.mode),
            why: "a place that only root may write",
            change: vec![format!("mkdir -m {:04o} {}", self.mode, self.path)],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        Ok(match machine.directory(&self.path)? {
            None => Check::Missing,
            Some(dir) if dir.uid != Uid(0) => {
                Check::Foreign(format!("{} belongs to uid {}", self.path, dir.uid))
            }
            Some(dir) if dir.mode & 0o022 != 0 => {
                Check::Drifted(vec![format!("its mode is {:04o}", dir.mode & 0o7777)])
            }
            Some(_) => Check::Satisfied,
        })
    }

    fn capture(&self, machine: &dyn Observe) -> Result<Undo, HostError> {
        Ok(machine.directory(&self.path)?.map_or(Undo::Nothing, Undo::Directory))
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.make_dir(&self.path, self.mode)?;
        Ok(vec![])
    }

    fn revert(&self, undo: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        match undo {
            Undo::Directory(was) => machine.make_dir(&self.path, was.mode)?,
            _ if machine.names(&self.path)?.is_empty() => machine.remove_dir(&self.path)?,
            _ => return Ok(vec![format!("{} is not empty: left", self.path)]),
        }
        Ok(vec![])
    }
}
