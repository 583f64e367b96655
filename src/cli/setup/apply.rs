//! Puts plans in force.

use crate::{
    cli::{Failure, printer::Steps, situation::Situation, system},
    engine::{self, Plan},
    host::System,
    model::{AbsPath, AccountName},
    step::AnyStep,
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

/// Applies the plan of the machine and those of these agents. In one project, files with names outside it may be replaced by
/// copies.
pub(in crate::cli) fn plans(
    situation: &Situation,
    names: &[AccountName],
    break_links: Option<&AbsPath>,
    quiet: bool,
) -> Result<(), Failure> {
    let mut plans = names.iter().map(|name| situation.agent_plan(name)).collect::<Result<Vec<_>, _>>()?;
    for plan in &mut plans {
        mark_links(plan, break_links);
    }
    let mut steps = Steps::new(quiet);
    let mut machine = System::with_progress(steps.counter());
    engine::setup(&situation.machine_plan(), &mut machine, &mut steps)?;
    for plan in &plans {
        engine::setup(plan, &mut machine, &mut steps)?;
    }
    Ok(())
}

fn mark_links(plan: &mut Plan, root: Option<&AbsPath>) {
    for step in &mut plan.steps {
        let (of, break_links) = match step {
            AnyStep::ShareAcl(share) => (&share.job.root, &mut share.job.break_links),
            AnyStep::ShareMount(share) => (&share.job.root, &mut share.job.break_links),
            AnyStep::ShareAces(share) => (&share.job.root, &mut share.job.break_links),
            _ => continue,
        };
        *break_links = root == Some(of);
    }
}
