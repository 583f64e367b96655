//! A job of launchd(8): that which puts the rules in force at boot, each minute, and when the main ruleset changes, or that of
//! the DNS gates, which runs all the time.

use crate::{
    formats::launchd,
    host::{Act, Command, HostError, MacQuery, Observe, Program, Query},
    model::AbsPath,
    step::{Check, Description, Layer, Step, Undo},
};
use serde::{Deserialize, Serialize};

/// The job, loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its file.
    pub path: AbsPath,
    /// The program that it starts.
    pub program: AbsPath,
    /// Whether it is the job of the gates.
    #[serde(default, skip_serializing_if = "is_not")]
    pub gates: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_not(flag: &bool) -> bool {
    !flag
}

fn target(label: &str) -> String {
    format!("system/{label}")
}

fn launchctl<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new(Program::Launchctl, args)
}

/// The job as launchd has it; none where it is not loaded.
fn loaded(label: &str, machine: &dyn Observe) -> Result<Option<launchd::Job>, HostError> {
    let output = machine.query(&Query::Mac(MacQuery::Job(label.into())))?;
    Ok(output.status.success().then(|| launchd::parse(&String::from_utf8_lossy(&output.stdout))))
}

/// Takes the job out of launchd, if it is there.
pub(in crate::step) fn unload(label: &str, machine: &mut dyn Act) -> Result<(), HostError> {
    if loaded(label, machine.observe())?.is_none() {
        return Ok(());
    }
    let command = launchctl(["bootout", &target(label)]);
    let output = machine.try_run(&command)?;
    // It may have gone meanwhile.
    if !output.status.success() && loaded(label, machine.observe())?.is_some() {
        command.expect_success(output)?;
    }
    Ok(())
}

impl Daemon {
    fn label(&self) -> &'static str {
        if self.gates { launchd::GATES } else { launchd::LABEL }
    }

    /// Somebody can switch it off, also by the list of login items in the system's settings.
    fn is_disabled(&self, machine: &dyn Observe) -> Result<bool, HostError> {
        let text = super::text(MacQuery::DisabledJobs, machine)?;
        let label = format!("\"{}\"", self.label());
        let state = text.lines().find_map(|line| line.trim().strip_prefix(&label)?.trim().strip_prefix("=>"));
        Ok(state.is_some_and(|state| matches!(state.trim(), "disabled" | "true")))
    }
}

impl Step for Daemon {
    fn id(&self) -> String {
        format!("daemon:{}", self.label())
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Network,
            title: format!(
                "{} runs {}",
                self.label(),
                if self.gates { "all the time" } else { "at every boot and each minute" }
            ),
            why: if self.gates {
                "what agents send to port 53 is answered for allowed names alone, and gets no answer without it"
            } else {
                "the rules are in force before anybody can start a session, and again when something put them out"
            },
            change: vec![launchctl(["bootstrap", "system", self.path.as_str()]).line()],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let Some(job) = loaded(self.label(), machine)? else { return Ok(Check::Missing) };
        let mut faults = Vec::new();
        if job.path.as_deref().is_some_and(|path| path != self.path.as_str()) {
            faults.push(format!("it was loaded from {}", job.path.unwrap_or_default().escape_debug()));
        }
        if job.program.as_deref().is_some_and(|program| program != self.program.as_str()) {
            faults.push(format!("it starts {}", job.program.unwrap_or_default().escape_debug()));
        }
        if self.is_disabled(machine)? {
            faults.push("it is switched off (System Settings, General, Login Items)".into());
        }
        // One that is to run all the time has an end for each start anew, whatever that was for.
        if let Some(code) = job.last_exit.filter(|code| *code != 0 && !self.gates) {
            faults.push(format!("it failed when it last ran (status {code}); see {}", launchd::LOG));
        }
        Ok(Check::of(faults))
    }

    fn capture(&self, machine: &dyn Observe) -> Result<Undo, HostError> {
        Ok(if loaded(self.label(), machine)?.is_some() { Undo::Enabled } else { Undo::Nothing })
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        unload(self.label(), machine)?;
        if self.is_disabled(machine.observe())? {
            machine.run(&launchctl(["enable", &target(self.label())]))?;
        }
        machine.run(&launchctl(["bootstrap", "system", self.path.as_str()]))?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        unload(self.label(), machine)?;
        Ok(vec![])
    }
}
