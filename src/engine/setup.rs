//! Puts a plan in force, with a receipt on the disk before each change.

use super::{
    Entry, Plan, Progress, Receipt, State,
    report::{check, checks},
};
use crate::{
    host::{Act, HostError},
    step::{AnyStep, Check, StepError},
};

/// Why a plan could not be put in force. What was done is in the receipt: a second setup goes on from there, and teardown
/// takes it back.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Something else stands where a step would be made. Nothing was changed.
    #[error("{title}: {what}")]
    Foreign {
        /// The step's title.
        title: String,
        /// What stands there.
        what: String,
    },
    /// A step could not be looked at. Nothing was changed.
    #[error("{title}: can't be checked: {why}")]
    Unknown {
        /// The step's title.
        title: String,
        /// The reason.
        why: String,
    },
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A step ran without an error and the system still differs.
    #[error("{title}: was applied, and still differs: {differences}")]
    NotInForce {
        /// The step's title.
        title: String,
        /// In what.
        differences: String,
    },
    /// The receipt could not be read or written.
    #[error("the receipt: {0}")]
    Receipt(#[source] HostError),
}

/// Puts a plan in force, and answers how many steps changed something.
///
/// Entries of the receipt that the plan no longer has are reverted first, the last one first.
pub fn setup(plan: &Plan, machine: &mut dyn Act, progress: &mut dyn Progress) -> Result<usize, SetupError> {
    let mut receipt = Receipt::load(&plan.scope, machine.observe()).map_err(SetupError::Receipt)?;
    let checks = refuse_what_is_foreign(plan, &receipt, machine)?;
    for (step, _) in plan.steps.iter().zip(&checks).filter(|(_, found)| **found != Check::Satisfied) {
        step.preflight(machine).map_err(|source| failed(step, source))?;
    }
    let changed = revert_left_overs(plan, &mut receipt, machine, progress)?;
    take_and_write(plan, checks, changed, receipt, machine, progress)
}

/// Takes each step where the system differs. What was found at first holds until something is changed that others look
/// at (`stale`): a large tree is not walked twice.
fn take_all(
    plan: &Plan,
    checks: Vec<Check>,
    mut stale: bool,
    receipt: &mut Receipt,
    machine: &mut dyn Act,
    progress: &mut dyn Progress,
) -> Result<usize, SetupError> {
    let mut taken = 0;
    for (step, first) in plan.steps.iter().zip(checks) {
        let found = if stale { check(step, receipt, machine.observe()) } else { first };
        if take(step, &found, plan, receipt, machine, progress)? {
            taken += 1;
            stale |= !step.stands_alone();
        }
    }
    Ok(taken)
}

/// Puts some steps of a receipt in force with another content, and answers how many changed something. All else that the
/// receipt has stays as it is.
pub fn renew(plan: &Plan, machine: &mut dyn Act, progress: &mut dyn Progress) -> Result<usize, SetupError> {
    let receipt = Receipt::load(&plan.scope, machine.observe()).map_err(SetupError::Receipt)?;
    let checks = refuse_what_is_foreign(plan, &receipt, machine)?;
    take_and_write(plan, checks, 0, receipt, machine, progress)
}

/// Takes each step where the system differs, after `reverted` were taken back. A step's success is written together with the
/// beginning of the next one, and here with the end of all.
fn take_and_write(
    plan: &Plan,
    checks: Vec<Check>,
    reverted: usize,
    mut receipt: Receipt,
    machine: &mut dyn Act,
    progress: &mut dyn Progress,
) -> Result<usize, SetupError> {
    let before = receipt.clone();
    let taken = take_all(plan, checks, reverted > 0, &mut receipt, machine, progress);
    let is_written = matches!(taken, Ok(0)) && receipt == before;
    let stored = if is_written { Ok(()) } else { receipt.store(&plan.scope, machine) };
    let taken = taken?;
    stored.map_err(SetupError::Receipt)?;
    Ok(reverted + taken)
}

fn refuse_what_is_foreign(
    plan: &Plan,
    receipt: &Receipt,
    machine: &dyn Act,
) -> Result<Vec<Check>, SetupError> {
    let checks = checks(&plan.steps, receipt, machine.observe());
    for (step, found) in plan.steps.iter().zip(&checks) {
        let title = || step.describe().title;
        match found.clone() {
            Check::Foreign(what) => return Err(SetupError::Foreign { title: title(), what }),
            Check::Unknown(why) => return Err(SetupError::Unknown { title: title(), why }),
            _ => {}
        }
    }
    Ok(checks)
}

fn revert_left_overs(
    plan: &Plan,
    receipt: &mut Receipt,
    machine: &mut dyn Act,
    progress: &mut dyn Progress,
) -> Result<usize, SetupError> {
    let in_plan = |id: &String| plan.steps.iter().any(|step| step.id() == *id);
    let stale: Vec<_> = receipt.entries.iter().filter(|entry| !in_plan(&entry.step.id())).cloned().collect();
    for entry in stale.iter().rev() {
        let description = entry.step.describe();
        progress.begin(&description);
        let notes = entry.step.revert(&entry.undo, machine).map_err(|source| failed(&entry.step, source))?;
        for note in &notes {
            progress.note(note);
        }
        receipt.remove(&entry.step.id());
        receipt.store(&plan.scope, machine).map_err(SetupError::Receipt)?;
        progress.done(&description);
    }
    Ok(stale.len())
}

/// Takes one step where the system differs, and answers whether it did.
fn take(
    step: &AnyStep,
    found: &Check,
    plan: &Plan,
    receipt: &mut Receipt,
    machine: &mut dyn Act,
    progress: &mut dyn Progress,
) -> Result<bool, SetupError> {
    let description = step.describe();
    let known = receipt.entry(&step.id()).cloned();
    if *found == Check::Satisfied {
        // The same id with another content that is already so: the receipt follows.
        if let Some(entry) = known.filter(|entry| entry.step != *step) {
            receipt.put(Entry { step: step.clone(), ..entry });
        }
        return Ok(false);
    }
    progress.begin(&description);
    let undo = match known {
        Some(entry) => entry.undo,
        None => step.capture(machine.observe()).map_err(|source| failed(step, source))?,
    };
    receipt.put(Entry { step: step.clone(), undo: undo.clone(), state: State::Applying });
    receipt.store(&plan.scope, machine).map_err(SetupError::Receipt)?;
    let notes = step.apply(machine).map_err(|source| failed(step, source))?;
    for note in &notes {
        progress.note(note);
    }
    match step.verify(machine.observe()).map_err(|source| failed(step, source))? {
        Check::Satisfied => {}
        Check::Missing => return Err(not_in_force(step, "nothing of it is there".into())),
        Check::Drifted(differences) => return Err(not_in_force(step, differences.join("; "))),
        Check::Foreign(what) | Check::Unknown(what) => return Err(not_in_force(step, what)),
    }
    receipt.put(Entry { step: step.clone(), undo, state: State::Applied });
    progress.done(&description);
    Ok(true)
}

fn failed(step: &AnyStep, source: HostError) -> SetupError {
    StepError { title: step.describe().title, source }.into()
}

fn not_in_force(step: &AnyStep, differences: String) -> SetupError {
    SetupError::NotInForce { title: step.describe().title, differences }
}
