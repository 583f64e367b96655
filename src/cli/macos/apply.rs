//! How plans are put in force on macOS, and proved.

use super::run;
use crate::{
    cli::{Failure, setup::apply, situation::Situation},
    model::{AbsPath, AccountName},
};

/// Applies the plan of the machine and those of these agents.
pub(in crate::cli) fn put_in_force(
    situation: &Situation,
    names: &[AccountName],
    _: Option<&AbsPath>,
    quiet: bool,
) -> Result<(), Failure> {
    apply::plans(situation, names, |_| {}, quiet)
}

/// Each agent starts a command through the whole way in, which refuses where the rules do not hold.
pub(in crate::cli) fn prove(names: &[AccountName]) -> Result<(), Failure> {
    for name in names {
        if let Err(said) = run::try_command(name)? {
            let error = anyhow::anyhow!("{name} can't start a command: {said}");
            return Err(Failure::new(error).hint("agentuser status"));
        }
    }
    Ok(())
}

/// The same where all is in force already.
pub(in crate::cli) fn prove_again(names: &[AccountName]) -> Result<(), Failure> {
    prove(names)
}
