//! What `net` has on Linux alone: what the guard recorded.

use crate::cli::{Failure, Global, net::log};
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(crate) enum NetCommand {
    /// What was refused, and what to type about it
    Log(log::Arguments),
}

pub(in crate::cli) fn net(global: &Global, command: &NetCommand) -> Result<ExitCode, Failure> {
    let NetCommand::Log(arguments) = command;
    log::log(global, arguments)
}
