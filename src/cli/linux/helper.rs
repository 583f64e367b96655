//! What root does for others on Linux: what the service manager calls beside what every system has, and the rules of a receipt.

use super::guard;
use crate::{
    cli::{Failure, helper, invoker, situation},
    engine::{Receipt, Scope, ensure},
    host::{Act, FileState, Lock, Observe, System, Validator, places, role},
    launch::{
        brief::{Stamp, moment},
        repositories::Inside,
    },
    model::{AccountName, Gid, Uid, view::View},
    step::AnyStep,
};
use clap::Subcommand;
use std::{process::ExitCode, time::Duration};

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    #[command(flatten)]
    Common(helper::Common),
    /// Puts the saved rules of all agents in force
    Boot,
    /// Takes a role for one that the service manager runs, as asked on standard input
    Child,
}

pub(crate) fn helper(command: &Command) -> Result<ExitCode, Failure> {
    helper::refuse_others()?;
    match command {
        Command::Common(command) => helper::helper(command),
        Command::Child => role::become_asked().map(|()| ExitCode::SUCCESS).map_err(Failure::new),
        Command::Boot => load(&situation::agents_set_up(&System::new())?),
    }
}

/// How often rules are loaded again that another tool put out of force meanwhile, as they do at boot.
const TRIES: u32 = 5;

/// One agent's failure is no reason to leave another one's rules out; the first is told when all have been tried.
pub(in crate::cli) fn load(names: &[AccountName]) -> Result<ExitCode, Failure> {
    let lock = Lock::take(Duration::from_secs(30), || {})?;
    let mut machine = System::new();
    let mut first = None;
    for name in names {
        for number in 1..=TRIES {
            match load_locked(&Scope::Agent(name.clone()), name, &mut machine) {
                Ok(_) => break,
                Err(_) if number < TRIES => std::thread::sleep(Duration::from_millis(100) * number),
                Err(failure) => first = first.or(Some(failure)),
            }
        }
    }
    drop(lock);
    guard::start_where_needed();
    first.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Puts the saved rules of an agent in force, and answers how much had to be loaded. Whoever calls it holds the lock.
/// Of an agent that was torn down meanwhile nothing is left to load, nor to leave word of.
pub(crate) fn load_locked(scope: &Scope, name: &AccountName, machine: &mut System) -> Result<usize, Failure> {
    // What is no agent's has no rules: the receipt of what all share lies beside theirs, under a name that one could have.
    let receipt = Receipt::load(scope, machine)?;
    if !receipt.entries.iter().any(|entry| matches!(entry.step, AnyStep::Netfilter(_))) {
        return Ok(0);
    }
    let loaded = ensure(scope, machine)?;
    // The guard comes by all the while, and asks nobody what is known since setup, or since the boot.
    let known = Stamp::read(name).filter(|stamp| stamp.moment == moment()).and_then(|stamp| stamp.brief);
    leave_word(name, known.map(|brief| brief.inside), machine)?;
    Ok(loaded)
}

/// Leaves word that the rules are in force in this boot and this network namespace, and what a launch needs of the policy.
pub(crate) fn stamp(name: &AccountName, machine: &mut System) -> Result<(), Failure> {
    leave_word(name, None, machine)
}

fn leave_word(name: &AccountName, inside: Option<Inside>, machine: &mut System) -> Result<(), Failure> {
    let view = machine.file(&places::view(name))?.and_then(|file| View::kept(&file.bytes));
    let in_force = machine.file(&places::in_force(name))?;
    let in_force = in_force.as_ref().and_then(|file| std::str::from_utf8(&file.bytes).ok());
    // Rules are loaded at boot whatever the policy file says now.
    let mut stamp = match invoker::policy() {
        Ok(Some((text, policy))) => Stamp::new(&text, &policy, name, in_force, view),
        _ => Stamp { moment: moment(), policy: 0, brief: None },
    };
    if let Some(brief) = &mut stamp.brief {
        brief.inside = inside.unwrap_or_else(|| Inside::of_the_machine(&brief.path));
    }
    let bytes = serde_json::to_vec(&stamp).map_err(Failure::new)?;
    let file = FileState { bytes, mode: 0o644, uid: Uid(0), gid: Gid(0) };
    let path = places::stamp(name);
    if machine.file(&path)?.as_ref() != Some(&file) {
        machine.write(&path, &file, Validator::Nobody)?;
    }
    Ok(())
}

/// The guard knows when it had ranges fetched.
pub(in crate::cli) fn ranges_are_new() {}
