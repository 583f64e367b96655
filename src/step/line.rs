//! One line in a file that others own too: `cron.deny`, `at.deny`.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    host::{Act, FileState, HostError, Observe, Validator},
    model::AbsPath,
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
        [bytes, self.line.as_bytes(), b"\n"].concat()
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

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        // The list itself is a step of the machine's, taken before.
        let Some(now) = machine.file(&self.path)? else { return Ok(vec![]) };
        if !self.is_in(&now.bytes) {
            let bytes = self.added_to(&now.bytes);
            machine.write(&self.path, &FileState { bytes, ..now }, Validator::Nobody)?;
        }
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let Some(now) = machine.file(&self.path)? else { return Ok(vec![]) };
        let bytes = self.taken_from(&now.bytes);
        if bytes != now.bytes {
            machine.write(&self.path, &FileState { bytes, ..now }, Validator::Nobody)?;
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
        assert_eq!(line.added_to(b"alias\n"), b"alias\nagent\n");
        assert_eq!(line.taken_from(b"agents\nagent\nalias"), b"agents\nalias");
    }
}
