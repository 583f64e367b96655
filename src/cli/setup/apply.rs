//! Puts plans in force.

use crate::{
    cli::{Failure, printer::Steps, situation::Situation, system},
    engine::{self, Plan},
    host::System,
    model::AccountName,
};

/// Puts the plans in force, then has each agent prove it.
pub(in crate::cli) fn apply(
    situation: &Situation,
    names: &[AccountName],
    quiet: bool,
) -> Result<(), Failure> {
    system::put_in_force(situation, names, None, quiet)?;
    system::prove(names)
}

/// Applies the plan of the machine and those of these agents, each with what `mark` makes of it.
pub(in crate::cli) fn plans(
    situation: &Situation,
    names: &[AccountName],
    mark: impl Fn(&mut Plan),
    quiet: bool,
) -> Result<(), Failure> {
    let mut plans = names.iter().map(|name| situation.agent_plan(name)).collect::<Result<Vec<_>, _>>()?;
    plans.iter_mut().for_each(mark);
    let mut steps = Steps::new(quiet);
    let mut machine = System::with_progress(steps.counter());
    engine::setup(&situation.machine_plan(), &mut machine, &mut steps)?;
    for plan in &plans {
        engine::setup(plan, &mut machine, &mut steps)?;
    }
    Ok(())
}
