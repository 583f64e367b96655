//! What the commands need of macOS, and the commands that are there alone.

mod apply;
mod brief;
mod enter;
mod gate;
mod helper;
mod log;
mod renewal;
mod run;
mod situation;
mod status;

pub(super) use apply::{prove, prove_again, put_in_force};
pub(super) use brief::{Brief, brief, outside};
pub(super) use helper::load;
pub(super) use log::{NOT_RECORDED, NetCommand, net};
pub(super) use renewal::ranges_are_new;
pub(super) use run::{launch, make_ready, stated};
pub(super) use situation::{
    after_the_last, before_teardown, facts, has_private_view, notices, refuse_unfit_machine,
    sessions_are_behind, why_not_mapped,
};
pub(super) use status::{Open, Sessions, moved, service_notice, take_away};

use super::Failure;
use clap::Subcommand;
use std::{ffi::OsString, process::ExitCode};

/// Most programs have mDNSResponder resolve names, which no gate hears.
pub(super) const HAS_GATE: bool = false;

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// For sudo to call
    #[command(hide = true, subcommand)]
    Helper(super::helper::Common),
    /// For launchd to call
    #[command(hide = true, subcommand)]
    Firewall(helper::Command),
    /// For agentuser itself to call
    #[command(hide = true)]
    Worker,
    /// For agentuser itself to call
    #[command(hide = true)]
    Errand,
}

/// The command that sudo starts on the path of every launch must start at once.
pub(super) fn at_once(arguments: &[OsString]) -> Option<ExitCode> {
    match arguments.get(1)?.to_str()? {
        "enter" => Some(enter::enter(arguments[2..].to_vec())),
        "sealed" => Some(enter::sealed(&arguments[2..])),
        _ => None,
    }
}

pub(super) fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Helper(command) => super::helper::helper(&command),
        Command::Firewall(helper::Command::Ensure) => helper::ensure(),
        Command::Firewall(helper::Command::Gate) => gate::serve(),
        Command::Firewall(helper::Command::ParseDns) => {
            crate::gate::parser::main()?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Worker => {
            crate::host::macos::worker::main()?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Errand => {
            crate::host::errand::main()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
