//! What the commands need of Linux, and the commands that are there alone.

mod apply;
mod confinement;
mod guard;
mod helper;
mod net;
mod outside;
mod run;
mod situation;
mod status;
mod teardown;

pub(super) use crate::launch::{brief::Brief, view::why_not_mapped};
pub(super) use apply::{prove, prove_again, put_in_force};
pub(super) use helper::{load, ranges_are_new};
pub(super) use net::{NetCommand, net};
pub(super) use outside::outside;
pub(super) use run::{brief, launch, make_ready, stated};
pub(super) use situation::{facts, has_private_view, notices, refuse_unfit_machine, sessions_are_behind};
pub(super) use status::{Open, Sessions, moved, service_notice, take_away};
pub(super) use teardown::{after_the_last, before_teardown};

use super::Failure;
use clap::Subcommand;
use std::{ffi::OsString, process::ExitCode};

/// Whether a guided setup has names resolved by a gate of the agent's own.
pub(super) const HAS_GATE: bool = true;

/// What a log that says nothing does not mean here.
pub(super) const NOT_RECORDED: &str = "";

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// For sudo and the service manager to call
    #[command(hide = true, subcommand)]
    Helper(helper::Command),
    /// The service that keeps the network policy in force
    #[command(hide = true)]
    Guard(guard::Arguments),
    /// For agentuser itself to call, beside a session
    #[command(hide = true)]
    Keep,
    /// For agentuser itself to call
    #[command(hide = true)]
    Worker {
        /// For a service that may not become others
        #[arg(long)]
        bound: bool,
    },
    /// For agentuser itself to call
    #[command(hide = true)]
    Errand,
}

/// The two commands that sudo starts on the path of every launch must start at once.
pub(super) fn at_once(arguments: &[OsString]) -> Option<ExitCode> {
    let word = |at: usize| arguments.get(at).and_then(|word| word.to_str());
    match (word(1), word(2)) {
        (Some("enter"), _) => Some(run::enter(arguments[2..].to_vec())),
        (Some("helper"), Some("session")) => Some(run::session(arguments[3..].to_vec())),
        _ => None,
    }
}

pub(super) fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Helper(command) => return helper::helper(&command),
        Command::Guard(arguments) => return guard::guard(&arguments),
        Command::Keep => crate::launch::keeper::humans().map_err(Failure::new)?,
        Command::Worker { bound } => crate::host::worker::main(bound).map_err(Failure::new)?,
        Command::Errand => crate::host::errand::main().map_err(Failure::new)?,
    }
    Ok(ExitCode::SUCCESS)
}
