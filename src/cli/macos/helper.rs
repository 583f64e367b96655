//! What root does for others: `firewall ensure` for launchd, and what sudoers lets the human call without a password.

use super::renewal;
use crate::{
    cli::{Failure, invoker, net, secret, situation, status, stop},
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
}

#[derive(Subcommand, Debug)]
pub(crate) enum Helper {
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
    /// Ends every process of an agent, and tells how many there were
    Stop {
        /// The agent
        name: AccountName,
    },
    /// Looks up anew what names and ranges stand for, for the job of launchd
    Renew {
        /// Fetches ranges as well
        #[arg(long)]
        ranges: bool,
    },
    /// Keeps, lists or forgets tokens of an agent, as asked on standard input
    Secret {
        /// The agent
        name: AccountName,
    },
}

fn refuse_others() -> Result<(), Failure> {
    if invoker::is_root() {
        Ok(())
    } else {
        Err(Failure::usage("this is for agentuser itself to call, as root"))
    }
}

/// Each minute, and when the main ruleset changes. What is in force is left alone.
pub(super) fn ensure() -> Result<ExitCode, Failure> {
    refuse_others()?;
    let agents = situation::agents_set_up(&System::new())?;
    let loaded = load(&agents);
    if !agents.is_empty() {
        renewal::start_when_due();
    }
    loaded
}

pub(super) fn helper(command: &Helper) -> Result<ExitCode, Failure> {
    refuse_others()?;
    match command {
        Helper::Status { name } => status::helper(name),
        Helper::Ensure { name } => load(std::slice::from_ref(name)),
        Helper::Stop { name } => stop::helper(name),
        Helper::Renew { ranges } => {
            let renewed = net::renew(*ranges)?;
            if *ranges && renewed == ExitCode::SUCCESS {
                renewal::ranges_are_new();
            }
            Ok(renewed)
        }
        Helper::Secret { name } => secret::helper(name),
    }
}

/// It takes no input, asks no name server, and knows the rules from the receipts alone.
fn load(names: &[AccountName]) -> Result<ExitCode, Failure> {
    let lock = Lock::take(Duration::from_secs(30), || {})?;
    let mut machine = System::new();
    let agents = names.iter().cloned().map(Scope::Agent);
    for scope in std::iter::once(Scope::Machine).chain(agents) {
        engine::ensure(&scope, &mut machine)?;
    }
    drop(lock);
    Ok(ExitCode::SUCCESS)
}
