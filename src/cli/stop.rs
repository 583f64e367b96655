//! `stop`: every process of the agent ends, at once and without a question.

use super::{Failure, Global, invoker, printer};
use crate::{
    engine::{Receipt, Scope},
    formats::accounts,
    host::{Act, System},
    launch,
    model::AccountName,
};
use std::process::ExitCode;

pub(crate) fn stop(global: &Global) -> Result<ExitCode, Failure> {
    let (_, policy) =
        invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
    let agent = invoker::agent(&policy, global)?;
    let output = launch::helper("stop", &agent)?;
    let ended = std::str::from_utf8(&output.stdout).ok().and_then(|text| text.trim().parse::<usize>().ok());
    let Some(ended) = ended.filter(|_| output.status.success()) else {
        let said = String::from_utf8_lossy(&output.stderr).trim().escape_debug().to_string();
        return Err(Failure::new(anyhow::anyhow!("processes of {agent} could not be ended: {said}"))
            .hint(format!("agentuser stop, or sudo pkill -KILL -u {agent}")));
    };
    if !global.quiet {
        printer::data(&match ended {
            0 => format!("Nothing of {agent} was running."),
            1 => format!("Ended 1 process of {agent}."),
            _ => format!("Ended {ended} processes of {agent}."),
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// Root's half: what sudo lets the human call. It takes no input and does not wait for the lock, for whoever calls it is
/// in a hurry.
pub(super) fn helper(agent: &AccountName) -> Result<ExitCode, Failure> {
    let mut machine = System::new();
    let receipt = Receipt::load(&Scope::Agent(agent.clone()), &machine)?;
    let uid = receipt
        .account()
        .map(|account| account.uid)
        .ok_or_else(|| Failure::new(anyhow::anyhow!("no receipt tells of an agent `{agent}`")))?;
    let text = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    let (name, number) = (agent.as_str(), uid.to_string());
    let own = accounts::sub_ids(&text).filter(|(owner, _)| *owner == name || *owner == number);
    let ranges: Vec<_> = own.map(|(_, range)| range).collect();
    let ended = machine.end_processes(uid, &ranges)?;
    printer::data(&ended.to_string());
    Ok(ExitCode::SUCCESS)
}
