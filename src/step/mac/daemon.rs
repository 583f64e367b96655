//! The job of launchd(8) that puts the rules in force at boot, each minute, and when the main ruleset changes.

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
}

fn target() -> String {
    format!("system/{}", launchd::LABEL)
}

fn launchctl<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new(Program::Launchctl, args)
}

/// The job as launchd has it; none where it is not loaded.
fn loaded(machine: &dyn Observe) -> Result<Option<launchd::Job>, HostError> {
    let output = machine.query(&Query::Mac(MacQuery::Job))?;
    Ok(output.status.success().then(|| launchd::parse(&String::from_utf8_lossy(&output.stdout))))
}

/// Takes the job out of launchd, if it is there.
pub(in crate::step) fn unload(machine: &mut dyn Act) -> Result<(), HostError> {
    if loaded(machine.observe())?.is_none() {
        return Ok(());
    }
    let command = launchctl(["bootout", &target()]);
    let output = machine.try_run(&command)?;
    // It may have gone meanwhile.
    if !output.status.success() && loaded(machine.observe())?.is_some() {
        command.expect_success(output)?;
    }
    Ok(())
}

impl Daemon {
    /// Somebody can switch it off, also by the list of login items in the system's settings.
    fn is_disabled(machine: &dyn Observe) -> Result<bool, HostError> {
        let text = super::text(MacQuery::DisabledJobs, machine)?;
        let label = format!("\"{}\"", launchd::LABEL);
        let state = text.lines().find_map(|line| line.trim().strip_prefix(&label)?.trim().strip_prefix("=>"));
        Ok(state.is_some_and(|state| matches!(state.trim(), "disabled" | "true")))
    }
}

impl Step for Daemon {
    fn id(&self) -> String {
        format!("daemon:{}", launchd::LABEL)
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Network,
            title: format!("{} runs at every boot and each minute", launchd::LABEL),
            why: "the rules are in force before anybody can start a session, and again when something put them out",
            change: vec![launchctl(["bootstrap", "system", self.path.as_str()]).line()],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let Some(job) = loaded(machine)? else { return Ok(Check::Missing) };
        let mut faults = Vec::new();
        if job.path.as_deref().is_some_and(|path| path != self.path.as_str()) {
            faults.push(format!("it was loaded from {}", job.path.unwrap_or_default().escape_debug()));
        }
        if job.program.as_deref().is_some_and(|program| program != self.program.as_str()) {
            faults.push(format!("it starts {}", job.program.unwrap_or_default().escape_debug()));
        }
        if Self::is_disabled(machine)? {
            faults.push("it is switched off (System Settings, General, Login Items)".into());
        }
        if let Some(code) = job.last_exit.filter(|code| *code != 0) {
            faults.push(format!("it failed when it last ran (status {code}); see {}", launchd::LOG));
        }
        Ok(Check::of(faults))
    }

    fn capture(&self, machine: &dyn Observe) -> Result<Undo, HostError> {
        Ok(if loaded(machine)?.is_some() { Undo::Enabled } else { Undo::Nothing })
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        unload(machine)?;
        if Self::is_disabled(machine.observe())? {
            machine.run(&launchctl(["enable", &target()]))?;
        }
        machine.run(&launchctl(["bootstrap", "system", self.path.as_str()]))?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        unload(machine)?;
        Ok(vec![])
    }
}
