//! A whole file of the system: drop-in, unit, policy, program.

use super::{Check, Description, Layer, Step, Undo, mac::unload};
use crate::{
    formats::{launchd, systemd},
    host::{Act, Command, FileState, HostError, Observe, Program, Query, Validator},
    model::{AbsPath, Gid, Uid},
};
use serde::{Deserialize, Serialize};

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Text.
    Text(String),
    /// The program that is running now.
    Program,
}

/// What must happen once a file has come or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// Nothing.
    Nothing,
    /// The service manager reads its units again.
    ReloadUnits,
    /// sshd reads its configuration again.
    ReloadSshd,
    /// launchd(8) lets go of the job that the file describes, to load it anew.
    UnloadJob,
    /// launchd(8) lets go of the job of the DNS gates, which goes on with the program that it was started from.
    UnloadGates,
    /// The guard starts again, where it runs: it goes on with the program that it was started from.
    RestartGuard,
    /// The service manager reads its units again, and the guard starts again, where it runs: in the sandbox of its new unit.
    RenewGuard,
    /// It is the way in. Once it has gone, nobody can start a session any more; once it is another one, those that came in
    /// the old way may see more than they should. Those that run are ended.
    EndSessions(Uid),
}

/// A file owned by root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where it is.
    pub path: AbsPath,
    /// What it holds.
    pub content: Content,
    /// Its permission bits.
    pub mode: u32,
    /// Who checks it first.
    pub validator: Validator,
    /// What follows.
    pub after: After,
    /// Whether a file that was there before may be replaced, to be put back by the way back.
    pub replaces: bool,
    /// What it is about.
    pub layer: Layer,
    /// One line for a person.
    pub title: String,
}

impl File {
    fn bytes(&self, machine: &dyn Observe) -> Result<Vec<u8>, HostError> {
        match &self.content {
            Content::Text(text) => Ok(text.clone().into_bytes()),
            Content::Program => machine.program(),
        }
    }

    fn follow_up(&self, machine: &mut dyn Act, gone: bool) -> Result<(), HostError> {
        match self.after {
            After::ReloadUnits => machine.run(&Command::new(Program::Systemctl, ["daemon-reload"])),
            After::ReloadSshd => reload_sshd(machine),
            After::UnloadJob => unload(self.path.name().trim_end_matches(".plist"), machine),
            After::UnloadGates => unload(launchd::GATES, machine),
            After::RestartGuard if !gone => restart_guard(machine),
            After::RenewGuard => {
                machine.run(&Command::new(Program::Systemctl, ["daemon-reload"]))?;
                if gone { Ok(()) } else { restart_guard(machine) }
            }
            After::EndSessions(uid) => machine.end_processes(uid, &[]).map(drop),
            After::Nothing | After::RestartGuard => Ok(()),
        }
    }
}

/// Before the first setup there is no such unit, which systemctl(1) takes for a failure.
fn restart_guard(machine: &mut dyn Act) -> Result<(), HostError> {
    let runs = machine.query(&Query::UnitActive(systemd::GUARD_NAME.into()))?;
    if runs.status.success() {
        machine.run(&Command::new(Program::Systemctl, ["restart", systemd::GUARD_NAME]))
    } else {
        Ok(())
    }
}

/// Debian calls the unit `ssh`, most others `sshd`; where neither runs there is nothing to reload.
fn reload_sshd(machine: &mut dyn Act) -> Result<(), HostError> {
    let units = ["ssh.service", "sshd.service"];
    machine.run(&Command::new(Program::Systemctl, ["try-reload-or-restart"].into_iter().chain(units)))
}

impl Step for File {
    fn id(&self) -> String {
        format!("file:{}", self.path)
    }

    fn describe(&self) -> Description {
        let mut change = vec![format!("write {} (root, mode {:04o})", self.path, self.mode)];
        match &self.content {
            Content::Program => change.push("with a copy of this program".into()),
            Content::Text(text) => change.extend(text.lines().map(|line| format!("  {line}"))),
        }
        change.extend(match self.validator {
            Validator::Nobody => None,
            Validator::Visudo => Some("after visudo -cf agreed".to_owned()),
            Validator::Sshd => Some("after sshd -t agreed".to_owned()),
        });
        match self.after {
            After::ReloadUnits => change.push("systemctl daemon-reload".into()),
            After::ReloadSshd => {
                change.push("systemctl try-reload-or-restart ssh.service sshd.service".into());
            }
            After::RenewGuard => {
                change.push("systemctl daemon-reload".into());
                change.push(format!("systemctl restart {}, where it runs", systemd::GUARD_NAME));
            }
            After::RestartGuard => {
                change.push(format!("systemctl restart {}, where it runs", systemd::GUARD_NAME));
            }
            After::UnloadJob => change.push("launchctl bootout, where it is loaded".into()),
            After::UnloadGates => {
                change.push(format!("launchctl bootout system/{}, where it is loaded", launchd::GATES));
            }
            After::EndSessions(uid) => {
                change.push(format!("kill the processes of uid {uid}, if there are any"));
            }
            After::Nothing => {}
        }
        let why = match self.layer {
            Layer::Program => "root-owned, so that neither you nor the agent can change what root runs",
            Layer::Account => "no way into the account but agentuser's own",
            Layer::Network => "the rules are in force before the network is up",
            Layer::Launch if self.after == After::Nothing => {
                "nothing starts under a policy or a view that was only edited"
            }
            Layer::Launch => "you become the agent without a password, and nobody becomes you",
            Layer::Sharing => "",
        };
        Description { layer: self.layer, title: self.title.clone(), why, change }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let (same, uid, gid, mode) = match &self.content {
            Content::Text(text) => {
                let Some(file) = machine.file(&self.path)? else { return Ok(Check::Missing) };
                (file.bytes == text.as_bytes(), file.uid, file.gid, file.mode)
            }
            Content::Program => {
                let Some(file) = machine.installed(&self.path)? else { return Ok(Check::Missing) };
                (file.same, file.uid, file.gid, file.mode)
            }
        };
        let mut differences = Vec::new();
        if !same {
            differences.push(match self.content {
                Content::Text(_) => "its text was changed".into(),
                Content::Program => "it is another build than this one".into(),
            });
        }
        if (uid, gid) != (Uid(0), Gid(0)) {
            differences.push(format!("it belongs to {uid}:{gid}"));
        }
        if mode != self.mode {
            differences.push(format!("its mode is {mode:04o}"));
        }
        Ok(Check::of(differences))
    }

    fn capture(&self, machine: &dyn Observe) -> Result<Undo, HostError> {
        Ok(machine.file(&self.path)?.map_or(Undo::Nothing, Undo::File))
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let bytes = self.bytes(machine.observe())?;
        let file = FileState { bytes, mode: self.mode, uid: Uid(0), gid: Gid(0) };
        machine.write(&self.path, &file, self.validator)?;
        self.follow_up(machine, false)?;
        Ok(vec![])
    }

    fn revert(&self, undo: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        match undo {
            Undo::File(was) => {
                let now = machine.file(&self.path)?;
                if now.is_some_and(|now| {
                    self.bytes(machine.observe()).is_ok_and(|ours| ours != now.bytes) && now != *was
                }) {
                    return Ok(vec![format!("{} was changed since setup: left as it is", self.path)]);
                }
                machine.write(&self.path, was, Validator::Nobody)?;
            }
            _ => machine.remove(&self.path)?,
        }
        self.follow_up(machine, true)?;
        Ok(vec![])
    }

    fn stands_alone(&self) -> bool {
        self.after == After::Nothing
    }

    fn unclaimed(&self, check: Check) -> Check {
        match check {
            Check::Drifted(_) if !self.replaces => {
                Check::Foreign(format!("{} exists already and is not agentuser's", self.path))
            }
            other => other,
        }
    }
}
