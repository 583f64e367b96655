//! A unit of the service manager, enabled, and where it stays also started.

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    formats::systemd,
    host::{Act, Command, HostError, Observe, Program, Query},
};
use serde::{Deserialize, Serialize};

/// A unit of systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub unit: String,
    /// Whether it runs all the time.
    #[serde(default)]
    pub runs: bool,
}

impl Service {
    fn is_enabled(&self, machine: &dyn Observe) -> Result<bool, HostError> {
        says(&Query::UnitEnabled(self.unit.clone()), b"enabled", machine)
    }

    fn is_active(&self, machine: &dyn Observe) -> Result<bool, HostError> {
        says(&Query::UnitActive(self.unit.clone()), b"active", machine)
    }

    fn enable(&self) -> Command {
        let now = self.runs.then_some("--now");
        Command::new(Program::Systemctl, ["enable"].into_iter().chain(now).chain([self.unit.as_str()]))
    }
}

fn says(query: &Query, word: &[u8], machine: &dyn Observe) -> Result<bool, HostError> {
    let output = machine.query(query)?;
    Ok(output.status.success() && output.stdout.trim_ascii() == word)
}

impl Step for Service {
    fn id(&self) -> String {
        format!("service:{}", self.unit)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Network,
            title: format!("{} {}", self.unit, if self.runs { "runs" } else { "at every boot" }),
            why: match (self.unit.as_str(), self.runs) {
                (systemd::CHILD_NAME, _) => "becomes other accounts for the services, which have no right to",
                (_, true) => {
                    "answers DNS, writes the audit log, and repairs what other tools put out of force"
                }
                (_, false) => "the rules are in force before the network is up",
            },
            change: vec![self.enable().line()],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        Ok(match self.is_enabled(machine)? {
            false => Check::Missing,
            true if self.runs && !self.is_active(machine)? => Check::Drifted(vec!["it does not run".into()]),
            true => Check::Satisfied,
        })
    }

    fn capture(&self, machine: &dyn Observe) -> Result<Undo, HostError> {
        Ok(if self.is_enabled(machine)? { Undo::Enabled } else { Undo::Nothing })
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.run(&self.enable())?;
        Ok(vec![])
    }

    fn revert(&self, undo: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        if *undo == Undo::Nothing && self.is_enabled(machine.observe())? {
            machine.run(&Command::new(Program::Systemctl, ["disable", "--now", &self.unit]))?;
        }
        Ok(vec![])
    }
}
