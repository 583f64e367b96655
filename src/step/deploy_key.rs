//! A key pair of the agent's own for one project's repository, made by ssh-keygen(1) as root.
//!
//! The private half is root's, and the agent's group reads it, as with the agent's tokens: what runs as the agent can use it
//! and can't change which one later sessions get. ssh minds the mode of keys that belong to its caller alone.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    formats::ssh_key,
    host::{Act, Command, FileState, HostError, Observe, Program, Validator},
    model::{AbsPath, AccountName, Gid, Uid, desired::Access},
};
use serde::{Deserialize, Serialize};

/// A key pair in two files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployKey {
    /// The private half; the public one has `.pub` behind its name.
    pub path: AbsPath,
    /// The project.
    pub project: AbsPath,
    /// What it is to be added for. The forge decides what it may do.
    pub access: Access,
    /// Whose it is.
    pub account: AccountName,
    /// The agent's group.
    pub gid: Gid,
}

impl DeployKey {
    /// The public half beside the private one.
    pub fn public(private: &AbsPath) -> AbsPath {
        private.with_ending(".pub")
    }

    /// What stands behind the public half; it is shown where keys are listed.
    fn comment(&self) -> String {
        format!("agentuser-{}", self.account)
    }

    /// Both files as they are to be, for a private half.
    fn files(&self, private: &FileState) -> Result<[(AbsPath, FileState); 2], HostError> {
        let line = ssh_key::public_half(&private.bytes, &self.comment()).ok_or_else(|| {
            HostError::Unexpected { path: self.path.to_string(), is: "is no key of agentuser's".into() }
        })?;
        let file = |bytes, mode, gid| FileState { bytes, mode, uid: Uid(0), gid };
        Ok([
            (self.path.clone(), file(private.bytes.clone(), 0o640, self.gid)),
            (Self::public(&self.path), file(format!("{line}\n").into_bytes(), 0o644, Gid(0))),
        ])
    }

    /// Has a new pair made beside the old one's place, and answers the private half.
    fn make(&self, machine: &mut dyn Act) -> Result<FileState, HostError> {
        let new = self.path.with_ending(".new");
        let clear = |machine: &mut dyn Act| {
            machine.remove(&new)?;
            machine.remove(&Self::public(&new))
        };
        // What a kill left: ssh-keygen would ask whether to write over it.
        clear(machine)?;
        machine.run(&self.command(&new))?;
        let made = machine.file(&new)?;
        clear(machine)?;
        let is = || HostError::Unexpected { path: new.to_string(), is: "was not made".into() };
        made.ok_or_else(is)
    }

    fn command(&self, path: &AbsPath) -> Command {
        let comment = self.comment();
        let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f", path.as_str()];
        Command::new(Program::SshKeygen, arguments)
    }
}

impl Step for DeployKey {
    fn id(&self) -> String {
        format!("deploy-key:{}", self.path)
    }

    fn describe(&self) -> Description {
        let how = match self.access {
            Access::ReadOnly => "to be added read-only",
            Access::ReadWrite => "to be added with write access",
        };
        Description {
            layer: Layer::Launch,
            title: format!("a deploy key of {} for {}, {how}", self.account, self.project),
            why: "git reaches the project's repository without a key or token of yours",
            change: vec![
                self.command(&self.path).line(),
                format!("chown root:{} {}; chmod 0640 {}", self.gid, self.path, self.path),
            ],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let public = Self::public(&self.path);
        let Some(private) = machine.file(&self.path)? else { return Ok(Check::Missing) };
        let Ok(wanted) = self.files(&private) else {
            return Ok(Check::Drifted(vec![format!("{} is no key of agentuser's", self.path)]));
        };
        let mut differences = Vec::new();
        for (path, file) in wanted {
            match machine.file(&path)? {
                None => differences.push(format!("{path} is missing")),
                Some(is) if (is.uid, is.gid) != (file.uid, file.gid) => {
                    differences.push(format!("{path} belongs to {}:{}", is.uid, is.gid));
                }
                Some(is) if is.mode != file.mode => {
                    differences.push(format!("the mode of {path} is {:04o}", is.mode));
                }
                Some(is) if is.bytes != file.bytes => {
                    differences.push(format!("{public} is not the public half of {}", self.path));
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
        let is_key = |file: &FileState| ssh_key::public_half(&file.bytes, "").is_some();
        let private = match machine.file(&self.path)?.filter(is_key) {
            Some(private) => private,
            None => self.make(machine)?,
        };
        for (path, file) in self.files(&private)? {
            machine.write(&path, &file, Validator::Nobody)?;
        }
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let new = self.path.with_ending(".new");
        for path in [&self.path, &Self::public(&self.path), &new, &Self::public(&new)] {
            machine.remove(path)?;
        }
        Ok(vec![format!("take the key for {} off at the forge, too, if it was added there", self.project)])
    }

    fn stands_alone(&self) -> bool {
        true
    }

    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}
