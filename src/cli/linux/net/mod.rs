//! What `net` has on Linux alone: what asks name servers, publishers and the human's tools, and what the guard recorded.

mod propose;
mod refresh;
mod renew;

pub(super) use renew::renew;

use super::net_log;
use crate::{
    cli::{Failure, Global, situation::Situation},
    model::AccountName,
};
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(crate) enum NetCommand {
    /// Look again at published ranges, hosts of your tools and addresses of names; ask, and put them in force
    Refresh(refresh::Arguments),
    /// What was refused, and what to type about it
    Log(net_log::Arguments),
}

pub(in crate::cli) fn net(global: &Global, command: &NetCommand) -> Result<ExitCode, Failure> {
    match command {
        NetCommand::Refresh(arguments) => refresh::refresh(global, arguments),
        NetCommand::Log(arguments) => net_log::log(global, arguments),
    }
}

/// Puts what the human's tools say now, and the addresses of names that have none yet, into the plan. Answers which hosts
/// came or went, one line each.
pub(in crate::cli) fn propose(situation: &mut Situation, names: &[AccountName]) -> Vec<String> {
    let hosts = propose::hosts(situation, names);
    propose_addresses(situation, names);
    hosts
}

/// The addresses alone.
pub(in crate::cli) fn propose_addresses(situation: &mut Situation, names: &[AccountName]) {
    propose::addresses(situation, names, false);
}
