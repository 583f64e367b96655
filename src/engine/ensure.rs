//! Puts the network steps of a receipt in force again: at boot, and in a network namespace that has no rules yet.

use super::{Receipt, Scope, SetupError, State};
use crate::{
    host::Act,
    step::{AnyStep, Check, StepError},
};

/// Loads what the receipt of an agent says of the firewall, where it is not in force, and answers how much was loaded.
///
/// It takes no input, asks no name server, and knows the rules from the last setup alone.
pub fn ensure(scope: &Scope, machine: &mut dyn Act) -> Result<usize, SetupError> {
    let receipt = Receipt::load(scope, machine.observe()).map_err(SetupError::Receipt)?;
    let mut loaded = 0;
    for entry in receipt.entries.iter().filter(|entry| entry.state == State::Applied) {
        let step = &entry.step;
        if !matches!(
            step,
            AnyStep::Netfilter(_)
                | AnyStep::NftTable(_)
                | AnyStep::Sockets(_)
                | AnyStep::PfEnabled(_)
                | AnyStep::PfAnchor(_)
        ) {
            continue;
        }
        let title = || step.describe().title;
        let failed = |source| StepError { title: title(), source };
        if step.check(machine.observe()).map_err(failed)? == Check::Satisfied {
            continue;
        }
        step.apply(machine).map_err(failed)?;
        if step.verify(machine.observe()).map_err(failed)? != Check::Satisfied {
            return Err(SetupError::NotInForce {
                title: title(),
                differences: "the rules that were loaded are not there".into(),
            });
        }
        loaded += 1;
    }
    Ok(loaded)
}
