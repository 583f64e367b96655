//! Takes back what a receipt tells of, the last step first.

use super::{Progress, Receipt, Scope};
use crate::{
    host::{Act, HostError, places},
    model::AbsPath,
    step::{AnyStep, StepError},
};

/// Why not all could be taken back. What failed stays in the receipt: a second teardown tries again.
#[derive(Debug, thiserror::Error)]
pub enum TeardownError {
    /// The receipt could not be read or written.
    #[error("the receipt: {0}")]
    Receipt(#[source] HostError),
    /// Some steps failed; the others were taken back all the same.
    #[error("{} could not be undone: {}", count(.0), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Steps(Vec<StepError>),
}

fn count(errors: &[StepError]) -> String {
    match errors.len() {
        1 => "one step".into(),
        n => format!("{n} steps"),
    }
}

/// Takes back all steps of a scope, and answers how many there were. A step that fails does not stop the others.
pub fn teardown(
    scope: &Scope,
    machine: &mut dyn Act,
    progress: &mut dyn Progress,
) -> Result<usize, TeardownError> {
    let mut receipt = Receipt::load(scope, machine.observe()).map_err(TeardownError::Receipt)?;
    // The way in goes first, whatever was added after it; within a layer, the last step first.
    let mut entries = receipt.entries.clone();
    entries.sort_by_key(|entry| entry.step.describe().layer);
    for entry in &entries {
        let failed = |source| StepError { title: entry.step.describe().title, source };
        let asked = entry.step.preflight(machine).map_err(failed);
        asked.map_err(|error| TeardownError::Steps(vec![error]))?;
    }
    let mut failures = Vec::new();
    for entry in entries.iter().rev() {
        // A directory waits for what it holds.
        if !failures.is_empty() && matches!(entry.step, AnyStep::Directory(_)) {
            continue;
        }
        let description = entry.step.describe();
        progress.begin(&description);
        match entry.step.revert(&entry.undo, machine) {
            Ok(notes) => {
                for note in &notes {
                    progress.note(note);
                }
                receipt.remove(&entry.step.id());
                receipt.store(scope, machine).map_err(TeardownError::Receipt)?;
                progress.done(&description);
            }
            Err(source) => failures.push(StepError { title: description.title, source }),
        }
    }
    if !failures.is_empty() {
        return Err(TeardownError::Steps(failures));
    }
    sweep(scope, machine).map_err(TeardownError::Receipt)?;
    Ok(entries.len())
}

/// Removes the directories of the state, once they are empty.
fn sweep(scope: &Scope, machine: &mut dyn Act) -> Result<(), HostError> {
    match scope {
        Scope::Agent(name) => {
            machine.remove(&places::stamp(name))?;
            machine.remove(&places::secrets(name))?;
            machine.remove(&places::known_hosts(name))?;
            remove_group(&places::cgroup(name), machine)?;
            remove_from(&places::state(name), &|file| file.starts_with(places::REVIEW), machine)?;
            let logs = format!("{name}.jsonl");
            remove_from(&places::fixed(places::LOGS), &|file| file.starts_with(&logs), machine)?;
            remove_from(
                &places::fixed(places::RUNTIME),
                &|file| file == format!("{name}.answers.json"),
                machine,
            )?;
        }
        Scope::Machine => {
            sweep_agents(machine)?;
            remove_group(&places::cgroup_of_all(), machine)?;
            remove_from(&places::fixed(places::RUNTIME), &|file| file.starts_with("guard"), machine)?;
        }
    }
    let shared = [places::STATE, places::RUNTIME, places::LOGS].map(places::fixed);
    for dir in std::iter::once(scope.state()).chain(shared) {
        if machine.directory(&dir)?.is_some() && machine.names(&dir)?.is_empty() {
            machine.remove_dir(&dir)?;
        }
    }
    Ok(())
}

/// Removes a control group, which a launch made. The kernel removes its files with it.
fn remove_group(group: &AbsPath, machine: &mut dyn Act) -> Result<(), HostError> {
    if machine.directory(group)?.is_some() { machine.remove_dir(group) } else { Ok(()) }
}

/// Removes files of one of our directories by name: what the guard and the review wrote, which no step knows of.
fn remove_from(dir: &AbsPath, ours: &dyn Fn(&str) -> bool, machine: &mut dyn Act) -> Result<(), HostError> {
    for name in machine.names(dir)?.iter().filter(|name| ours(name)) {
        machine.remove(&dir.join(name))?;
    }
    Ok(())
}

/// Removes the directories of agents that never got a receipt, or were torn down and cut short here. The machine's own
/// receipt is the last to go, so none is in use.
fn sweep_agents(machine: &mut dyn Act) -> Result<(), HostError> {
    for name in machine.names(&places::fixed(places::STATE))? {
        let Ok(name) = name.parse() else { continue };
        let dir = places::state(&name);
        if dir != places::machine_state() {
            remove_from(&dir, &|file| file.starts_with(places::REVIEW), machine)?;
        }
        if dir != places::machine_state() && machine.names(&dir)?.is_empty() {
            machine.remove(&places::stamp(&name))?;
            machine.remove_dir(&dir)?;
        }
    }
    Ok(())
}
