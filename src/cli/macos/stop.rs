//! `stop`: every process of the agent ends, at once and without a question.

use super::{Failure, Global, invoker, printer, run};
use crate::{
    engine::{Receipt, Scope},
    host::{Act, System},
    model::AccountName,
};
use std::process::ExitCode;

pub(super) fn stop(global: &Global) -> Result<ExitCode, Failure> {
    let (_, policy) = invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up"))?;
    let agent = invoker::agent(&policy, global)?;
    let ended = run::ask_root("stop", &agent)
        .and_then(|text| text.trim().parse::<usize>().map_err(|e| e.to_string()));
    let ended = ended.map_err(|said| {
        Failure::new(anyhow::anyhow!("processes of {agent} could not be ended: {said}"))
            .hint(format!("agentuser stop, or sudo pkill -KILL -u {agent}"))
    })?;
    if !global.quiet {
        printer::data(&match ended {
            0 => format!("Nothing of {agent} was running."),
            1 => format!("Ended 1 process of {agent}."),
            _ => format!("Ended {ended} processes of {agent}."),
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// Root's half. It takes no input and does not wait for the lock, for whoever calls it is in a hurry.
pub(super) fn helper(agent: &AccountName) -> Result<ExitCode, Failure> {
    let mut machine = System::new();
    let receipt = Receipt::load(&Scope::Agent(agent.clone()), &machine)?;
    let account = receipt.account();
    let uid = account
        .map(|account| account.uid)
        .ok_or_else(|| Failure::new(anyhow::anyhow!("no receipt tells of an agent `{agent}`")))?;
    printer::data(&machine.end_processes(uid, &[])?.to_string());
    Ok(ExitCode::SUCCESS)
}
