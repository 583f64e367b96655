//! What root does for others on macOS: `firewall ensure` for launchd, beside what every system has, and the rules of receipts.

use super::renewal;
use crate::{
    cli::{Failure, helper, situation},
    engine::{self, Scope},
    host::{Lock, System},
    model::AccountName,
};
use clap::Subcommand;
use std::{process::ExitCode, time::Duration};

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Puts the saved rules of all agents in force
    Ensure,
    /// Answers the DNS of all agents that have a gate
    Gate,
    /// For the gate itself to call
    ParseDns,
}

/// Each minute, and when the main ruleset changes. What is in force is left alone.
pub(super) fn ensure() -> Result<ExitCode, Failure> {
    helper::refuse_others()?;
    let agents = situation::agents_set_up(&System::new())?;
    let loaded = load(&agents);
    if !agents.is_empty() {
        renewal::start_when_due();
    }
    loaded
}

/// It takes no input, asks no name server, and knows the rules from the receipts alone.
pub(in crate::cli) fn load(names: &[AccountName]) -> Result<ExitCode, Failure> {
    let lock = Lock::take(Duration::from_secs(30), || {})?;
    let mut machine = System::new();
    let agents = names.iter().cloned().map(Scope::Agent);
    for scope in std::iter::once(Scope::Machine).chain(agents) {
        engine::ensure(&scope, &mut machine)?;
    }
    drop(lock);
    Ok(ExitCode::SUCCESS)
}
