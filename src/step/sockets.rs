//! Sockets of services that resolve names under an account of their own: what goes through these, no rule for the agent's
//! uid sees.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    host::{Act, HostError, Observe},
    model::{AbsPath, Uid},
};
use serde::{Deserialize, Serialize};

/// Sockets that are closed to the agent, those that are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// The agent.
    pub uid: Uid,
    /// Where they are.
    pub paths: Vec<AbsPath>,
}

impl Step for Sockets {
    fn id(&self) -> String {
        format!("sockets:{}", self.uid)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Network,
            title: "name services of others are closed".into(),
            why: "nscd and systemd-resolved would ask other hosts for the agent, unseen by its rules",
            change: self.paths.iter().map(|path| format!("setfacl -m u:{}:--- {path}", self.uid)).collect(),
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let mut open = Vec::new();
        for path in &self.paths {
            if machine.socket_is_closed(path, self.uid)? == Some(false) {
                open.push(format!("the agent can reach {path}"));
            }
        }
        Ok(Check::of(open))
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        for path in &self.paths {
            if machine.socket_is_closed(path, self.uid)? == Some(false) {
                machine.close_socket(path, self.uid)?;
            }
        }
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        for path in &self.paths {
            if machine.socket_is_closed(path, self.uid)? == Some(true) {
                machine.open_socket(path, self.uid)?;
            }
        }
        Ok(vec![])
    }

    /// An open socket is no drift of ours before the first setup.
    fn unclaimed(&self, check: Check) -> Check {
        match check {
            Check::Drifted(_) => Check::Missing,
            other => other,
        }
    }
}
