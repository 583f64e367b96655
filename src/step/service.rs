//! The unit that loads the rules at boot, enabled.

use super::{Check, Description, Layer, Step, Undo};
use crate::host::{Act, Command, HostError, Observe, Program, Query};
use serde::{Deserialize, Serialize};

/// A unit of systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub unit: String,
}

impl Service {
    fn is_enabled(&self, machine: &dyn Observe) -> Result<bool, HostError> {
        let output = machine.query(&Query::UnitEnabled(self.unit.clone()))?;
        Ok(output.status.success() && output.stdout.trim_ascii() == b"enabled")
    }
}

impl Step for Service {
    fn id(&self) -> String {
        format!("service:{}", self.unit)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Network,
            title: format!("{} at every boot", self.unit),
            why: "the rules are in force before the network is up",
            change: vec![format!("systemctl enable {}", self.unit)],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        Ok(if self.is_enabled(machine)? { Check::Satisfied } else { Check::Missing })
    }

    fn capture(&self, machine: &dyn Observe) -> Result<Undo, HostError> {
        Ok(if self.is_enabled(machine)? { Undo::Enabled } else { Undo::Nothing })
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.run(&Command::new(Program::Systemctl, ["enable", &self.unit]))?;
        Ok(vec![])
    }

    fn revert(&self, undo: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        if *undo == Undo::Nothing && self.is_enabled(machine.observe())? {
            machine.run(&Command::new(Program::Systemctl, ["disable", "--now", &self.unit]))?;
        }
        Ok(vec![])
    }
}
