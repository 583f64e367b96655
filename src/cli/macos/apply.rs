//! How plans are put in force on macOS, and proved.

use super::run;
use crate::{
    cli::{Failure, invoker, review, setup::apply, situation::Situation},
    host::System,
    launch::relay::RunError,
    model::{AbsPath, AccountName},
    policy::Policy,
};

/// Applies the plan of the machine and those of these agents.
pub(in crate::cli) fn put_in_force(
    situation: &Situation,
    names: &[AccountName],
    break_links: Option<&AbsPath>,
    quiet: bool,
) -> Result<(), Failure> {
    apply::plans(situation, names, break_links, quiet)?;
    make_room(&situation.policy, names)
}

fn make_room(policy: &Policy, names: &[AccountName]) -> Result<(), Failure> {
    for name in names {
        let Some(agent) = policy.agents.get(name) else { continue };
        let projects: Vec<_> = agent.projects.iter().map(|project| project.path.clone()).collect();
        review::make_room(name, agent.human.as_str(), &projects, &mut System::new())?;
    }
    Ok(())
}

/// Each agent starts a command through the whole way in, which refuses where the rules do not hold.
pub(in crate::cli) fn prove(names: &[AccountName]) -> Result<(), Failure> {
    let Some((_, policy)) = invoker::policy()? else { return Ok(()) };
    for name in names {
        let Some(agent) = policy.agents.get(name) else { continue };
        if let Err(said) = run::try_command(name, agent.human.as_str())? {
            let error = anyhow::anyhow!("{name} can't start a command: {said}");
            let by_sudo = said.starts_with("sudo: ");
            let hint = || RunError::NotLetIn(name.clone()).hint();
            return Err(Failure::new(error).hint(if by_sudo { hint() } else { "agentuser status".into() }));
        }
    }
    Ok(())
}

/// The same where all is in force already.
pub(in crate::cli) fn prove_again(names: &[AccountName]) -> Result<(), Failure> {
    if let Some((_, policy)) = invoker::policy()? {
        make_room(&policy, names)?;
    }
    prove(names)
}
