//! One line in a file that others own too: `cron.deny`, `at.deny`.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    host::{Act, FileState, HostError, Observe, Validator},
    model::{AbsPath, Gid, Uid},
};
use serde::{Deserialize, Serialize};

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The list.
    pub path: AbsPath,
    /// The line, without its end.
    pub line: String,
    /// What it does, for a person.
    pub title: String,
}

impl Line {
    fn is_in(&self, bytes: &[u8]) -> bool {
        bytes.split(|b| *b == b'\n').any(|line| line.trim_ascii() == self.line.as_bytes())
    }

    /// The content with the line at its end.
    fn added_to(&self, bytes: &[u8]) -> Vec<u8> {
        let mut added = bytes.to_vec();
        if !added.is_empty() && !added.ends_with(b"\n") {
            added.push(b'\n');
        }
        added.extend_from_slice(self.line.as_bytes());
        added.push(b'\n');
        added
    }

    /// The content without the line.
    fn taken_from(&self, bytes: &[u8]) -> Vec<u8> {
        let lines = bytes.split_inclusive(|b| *b == b'\n');
        lines.filter(|line| line.trim_ascii() != self.line.as_bytes()).flatten().copied().collect()
    }
}

impl Step for Line {
    fn id(&self) -> String {
        format!("line:{}:{}", self.path, self.line)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Account,
            title: self.title.clone(),
            why: "what the agent starts ends with its sessions",
            change: vec![format!("add the line `{}` to {}", self.line, self.path)],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let file = machine.file(&self.path)?;
        Ok(if file.is_some_and(|file| self.is_in(&file.bytes)) { Check::Satisfied } else { Check::Missing })
    }

    fn capture(&self, machine: &dyn Observe) -> Result<Undo, HostError> {
        Ok(machine.file(&self.path)?.map_or(Undo::Nothing, Undo::File))
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let now = machine.file(&self.path)?;
        let now = now.unwrap_or(FileState { bytes: vec![], mode: 0o644, uid: Uid(0), gid: Gid(0) });
        if self.is_in(&now.bytes) {
            return Ok(vec![]);
        }
        machine.write(
            &self.path,
            &FileState { bytes: self.added_to(&now.bytes), ..now },
            Validator::Nobody,
        )?;
        Ok(vec![])
    }

    fn revert(&self, undo: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let Some(now) = machine.file(&self.path)? else { return Ok(vec![]) };
        let rest = self.taken_from(&now.bytes);
        match undo {
            // The bytes of before, where nobody else wrote since: the file may have lacked its last line's end.
            Undo::File(was) if self.added_to(&was.bytes) == now.bytes => {
                machine.write(
                    &self.path,
                    &FileState { bytes: was.bytes.clone(), ..now },
                    Validator::Nobody,
                )?;
            }
            Undo::Nothing if rest.is_empty() => machine.remove(&self.path)?,
            _ if rest != now.bytes => {
                machine.write(&self.path, &FileState { bytes: rest, ..now }, Validator::Nobody)?
            }
            _ => {}
        }
        Ok(vec![])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_whole() {
        let line = Line { path: AbsPath::root(), line: "agent".into(), title: String::new() };
        assert!(line.is_in(b"alias\nagent"));
        assert!(!line.is_in(b"agents\nmy agent\n"));
        assert_eq!(line.added_to(b"alias"), b"alias\nagent\n");
        assert_eq!(line.taken_from(b"agents\nagent\nalias"), b"agents\nalias");
    }
}
