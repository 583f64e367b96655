//! Makes one step anew: taken back and applied again, while all others stay.

use super::{Entry, Progress, Receipt, Scope, SetupError, State};
use crate::{
    host::Act,
    step::{Check, StepError},
};

/// Takes back the step of the receipt with this id and applies it again, and answers whether there was one.
///
/// A kill in between leaves it begun: `setup` completes it, `teardown` takes it back.
pub fn reset(
    scope: &Scope,
    id: &str,
    machine: &mut dyn Act,
    progress: &mut dyn Progress,
) -> Result<bool, SetupError> {
    let mut receipt = Receipt::load(scope, machine.observe()).map_err(SetupError::Receipt)?;
    let Some(Entry { step, undo, .. }) = receipt.entry(id).cloned() else { return Ok(false) };
    let description = step.describe();
    let failed = |source| StepError { title: step.describe().title, source };
    let mut put = |state, machine: &mut dyn Act| {
        receipt.put(Entry { step: step.clone(), undo: undo.clone(), state });
        receipt.store(scope, machine).map_err(SetupError::Receipt)
    };
    progress.begin(&description);
    put(State::Applying, machine)?;
    let notes = step.revert(&undo, machine).map_err(failed)?;
    let more = step.apply(machine).map_err(failed)?;
    for note in notes.iter().chain(&more) {
        progress.note(note);
    }
    if step.verify(machine.observe()).map_err(failed)? != Check::Satisfied {
        let differences = "what was made anew is not as it should be".into();
        return Err(SetupError::NotInForce { title: description.title, differences });
    }
    put(State::Applied, machine)?;
    progress.done(&description);
    Ok(true)
}
