//! Puts the network steps of a receipt in force again: at boot, and in a network namespace that has no rules yet.

use super::{Receipt, Scope, SetupError, State};
use crate::{
    host::Act,
    step::{AnyStep, Check, StepError},
};

/// Loads what the receipt of an agent says of the firewall, where it is not in force, and answers how much was loaded.
///
/// It takes no input, asks no name server, and knows the rules from the last setup alone. Each belt is put in force whether
/// the other one could be or not; the first failure is answered when all have been tried.
pub fn ensure(scope: &Scope, machine: &mut dyn Act) -> Result<usize, SetupError> {
    let receipt = Receipt::load(scope, machine.observe()).map_err(SetupError::Receipt)?;
    let of_the_network = |step: &&AnyStep| {
        matches!(
            step,
            AnyStep::Netfilter(_)
                | AnyStep::NftTable(_)
                | AnyStep::Sockets(_)
                | AnyStep::PfEnabled(_)
                | AnyStep::PfAnchor(_)
        )
    };
    let applied = receipt.entries.iter().filter(|entry| entry.state == State::Applied);
    let (mut loaded, mut first) = (0, None);
    for step in applied.map(|entry| &entry.step).filter(of_the_network) {
        match load(step, machine) {
            Ok(changed) => loaded += usize::from(changed),
            Err(error) => first = first.or(Some(error)),
        }
    }
    first.map_or(Ok(loaded), Err)
}

/// Puts one step in force, and answers whether it was not.
fn load(step: &AnyStep, machine: &mut dyn Act) -> Result<bool, SetupError> {
    let title = || step.describe().title;
    let failed = |source| StepError { title: title(), source };
    match step.check(machine.observe()).map_err(failed)? {
        Check::Satisfied => return Ok(false),
        // Loading it again would end open connections, each minute, and change nothing.
        Check::Foreign(what) => return Err(SetupError::Foreign { title: title(), what }),
        _ => {}
    }
    step.apply(machine).map_err(failed)?;
    if step.verify(machine.observe()).map_err(failed)? != Check::Satisfied {
        return Err(SetupError::NotInForce {
            title: title(),
            differences: "the rules that were loaded are not there".into(),
        });
    }
    Ok(true)
}
