//! `net`: what the agent reaches, why, and changes of it.

mod change;
mod list;
pub(super) mod log;
mod propose;
mod refresh;
mod renew;
mod test;
mod why;

use super::{Failure, Global, invoker, situation::Situation, system};
use crate::{
    host::{System, places},
    model::{AccountName, desired::Firewall},
    policy::Network,
    presets::Expansion,
};
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// What is open, because of what, and what could leak through it
    List(list::Arguments),
    /// Which rule decides about a destination, and the command that changes it
    Why(why::Arguments),
    /// Let the agent reach a destination
    Allow(change::AllowArguments),
    /// Take a destination away from the agent
    Deny(change::DenyArguments),
    /// Look again at published ranges, hosts of your tools and addresses of names; ask, and put them in force
    Refresh(refresh::Arguments),
    #[command(flatten)]
    System(system::NetCommand),
    /// Connect to a destination as the agent; exit 0 when it is open, else 1
    Test(test::Arguments),
}

pub(crate) fn net(global: &Global, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(arguments) => list::list(global, arguments),
        Command::Why(arguments) => why::why(global, arguments),
        Command::Allow(arguments) => change::allow(global, arguments),
        Command::Deny(arguments) => change::deny(global, arguments),
        Command::Refresh(arguments) => refresh::refresh(global, arguments),
        Command::System(command) => system::net(global, command),
        Command::Test(arguments) => test::test(global, arguments),
    }
}

/// The command that opens a destination, such as `host:22`, where it is refused.
pub(super) fn refused(global: &Global, destination: &str) -> Result<Option<String>, Failure> {
    let verdict = why::judge(&View::of(global)?, &why::read(destination)?.0);
    let change = verdict.change.unwrap_or(verdict.because);
    Ok((!verdict.open).then_some(change))
}

pub(super) use list::about;
pub(super) use renew::renew;
pub(super) use test::{ConnectArguments, connect};

/// Puts what the human's tools say now, and the addresses of names that have none yet, into the plan. Answers which hosts
/// came or went, one line each.
pub(super) fn propose(situation: &mut Situation, names: &[AccountName]) -> Vec<String> {
    let hosts = propose::hosts(situation, names);
    propose_addresses(situation, names);
    hosts
}

/// The addresses alone.
fn propose_addresses(situation: &mut Situation, names: &[AccountName]) {
    propose::addresses(situation, names, false);
}

/// The network of one agent: what the policy says, and what that comes to.
struct View {
    name: AccountName,
    network: Network,
    open: Expansion,
    firewall: Firewall,
}

impl View {
    /// Reads it from the policy in force.
    fn of(global: &Global) -> Result<Self, Failure> {
        let (text, policy) =
            invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
        let name = invoker::agent(&policy, global)?;
        let situation = Situation::of(text, places::POLICY, &System::new())?;
        let firewall = situation.desired(&name)?.firewall;
        let open = situation.open(&name)?;
        Ok(Self { network: policy.agents[&name].network.clone(), name, open, firewall })
    }
}
