//! What root does for others on every system: what sudoers lets the human call without a password, with fixed arguments, and
//! what a service calls now and then.

use super::{Failure, invoker, net, secret, status, stop, system};
use crate::{host::caller, model::AccountName};
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(crate) enum Common {
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
    /// Keeps, lists or forgets tokens of an agent, as asked on standard input
    Secret {
        /// The agent
        name: AccountName,
    },
    /// Looks up anew what names and ranges stand for, for the service that keeps the rules in force
    Renew {
        /// Fetches ranges as well
        #[arg(long)]
        ranges: bool,
    },
}

/// Does what was asked, for root alone.
pub(super) fn helper(command: &Common) -> Result<ExitCode, Failure> {
    refuse_others()?;
    // A service has its limits from the service manager.
    if !matches!(command, Common::Renew { .. }) {
        caller::let_go().map_err(|error| {
            Failure::new(anyhow::anyhow!("what came along from the caller can't be let go: {error}"))
                .hint("the same from a shell with the limits of a fresh login")
        })?;
    }
    match command {
        Common::Status { name } => status::helper(name),
        Common::Ensure { name } => system::load(std::slice::from_ref(name)),
        Common::Stop { name } => stop::helper(name),
        Common::Secret { name } => secret::helper(name),
        Common::Renew { ranges } => {
            let renewed = net::renew(*ranges)?;
            if *ranges && renewed == ExitCode::SUCCESS {
                system::ranges_are_new();
            }
            Ok(renewed)
        }
    }
}

/// Refuses whoever is not root.
pub(super) fn refuse_others() -> Result<(), Failure> {
    if invoker::is_root() {
        return Ok(());
    }
    Err(Failure::usage("`helper` is for agentuser itself to call, as root"))
}
