//! What sudoers lets the human call as root without a password, with fixed arguments, and what the service manager calls.

use super::{Failure, guard, invoker, situation, situation::Situation, status};
use crate::{
    engine::{Scope, ensure},
    host::{Act, FileState, Lock, Observe, System, Validator, places},
    model::{AccountName, Gid, Uid},
};
use clap::Subcommand;
use std::{process::ExitCode, time::Duration};

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Tells what only root can see of an agent, as JSON
    Status {
        /// The agent
        name: AccountName,
    },
    /// Puts the saved rules of an agent in force
    Ensure {
        /// The agent
        name: AccountName,
    },
    /// Puts the saved rules of all agents in force
    Boot,
}

pub(crate) fn helper(command: &Command) -> Result<ExitCode, Failure> {
    if !invoker::is_root() {
        return Err(Failure::usage("`helper` is for agentuser itself to call, as root"));
    }
    match command {
        Command::Status { name } => tell(name),
        Command::Ensure { name } => load(std::slice::from_ref(name)),
        Command::Boot => load(&situation::agents_set_up(&System::new())?),
    }
}

/// Steps on the human's files are left out: the human looks at those.
fn tell(name: &AccountName) -> Result<ExitCode, Failure> {
    let machine = System::new();
    let (text, _) =
        invoker::policy()?.ok_or_else(|| Failure::usage("there is no policy").hint("agentuser setup"))?;
    let situation = Situation::of(text, places::POLICY, &machine)?;
    let mut reports = situation::compare(&situation.machine_plan(), &machine, false)?;
    reports.extend(situation::compare(&situation.agent_plan(name)?, &machine, false)?);
    let lines: Vec<_> = reports.iter().map(status::Line::of).collect();
    let json = serde_json::to_string(&lines).map_err(Failure::new)?;
    super::printer::data(&json);
    Ok(ExitCode::SUCCESS)
}

fn load(names: &[AccountName]) -> Result<ExitCode, Failure> {
    for name in names {
        load_one(name, Duration::from_secs(30))?;
    }
    guard::start_where_needed()?;
    Ok(ExitCode::SUCCESS)
}

/// Puts the saved rules of an agent in force, and answers how much had to be loaded.
pub(crate) fn load_one(name: &AccountName, patience: Duration) -> Result<usize, Failure> {
    let _lock = Lock::take(patience, || {})?;
    let mut machine = System::new();
    let loaded = ensure(&Scope::Agent(name.clone()), &mut machine)?;
    stamp(name, &mut machine)?;
    Ok(loaded)
}

/// Leaves word that the rules are in force in this boot and this network namespace.
pub(crate) fn stamp(name: &AccountName, machine: &mut System) -> Result<(), Failure> {
    let bytes = moment().into_bytes();
    let file = FileState { bytes, mode: 0o644, uid: Uid(0), gid: Gid(0) };
    let path = places::stamp(name);
    if machine.file(&path)?.as_ref() != Some(&file) {
        machine.write(&path, &file, Validator::Nobody)?;
    }
    Ok(())
}

/// This boot and this network namespace, as text.
pub(crate) fn moment() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let net = std::fs::read_link("/proc/self/ns/net").unwrap_or_default();
    format!("{} {}\n", boot.trim(), net.display())
}
