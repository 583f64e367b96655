//! `teardown`: everything undone, from the receipt.

use super::{
    Failure, Global, ask, invoker,
    printer::{self, Steps},
    setup::PATIENCE,
    situation,
};
use crate::{
    engine::{self, Scope},
    host::{Act, Lock, Observe, System, Validator, places},
    model::AccountName,
    policy::edit,
};
use clap::Args;
use std::{ffi::OsString, process::ExitCode};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn teardown(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let set_up = situation::agents_set_up(&System::new())?;
    let name = match (&global.agent, &set_up[..]) {
        (Some(name), _) if set_up.contains(name) => name.clone(),
        (Some(name), _) => {
            return Err(
                Failure::usage(format!("no receipt tells of an agent `{name}`")).hint("agentuser status")
            );
        }
        (None, [only]) => only.clone(),
        (None, []) if crate::host::macos::is_set_up() => {
            // A setup was cut short before its first agent, or a teardown after its last.
            if !invoker::is_root() {
                return invoker::raise(&["teardown".into(), "--yes".into()], ask::possible());
            }
            let _lock = Lock::take(PATIENCE, || {})?;
            engine::teardown(&Scope::Machine, &mut System::new(), &mut Steps::new(global.quiet))?;
            return Ok(ExitCode::SUCCESS);
        }
        (None, []) => return Err(Failure::usage("nothing is set up")),
        (None, all) => {
            let names: Vec<_> = all.iter().map(AccountName::as_str).collect();
            return Err(Failure::usage(format!("there are several agents: {}", names.join(", ")))
                .hint("add --agent NAME"));
        }
    };
    if !arguments.yes
        && !ask::confirm(&format!("Remove {name}, with its home and all that is in it?"), "--yes")?
    {
        printer::say("Nothing was changed.");
        return Ok(ExitCode::from(1));
    }
    if !invoker::is_root() {
        let line = ["teardown", "--yes", "--agent", name.as_str()].map(OsString::from);
        return invoker::raise(&line, ask::possible());
    }
    let _lock = Lock::take(PATIENCE, || printer::say("waiting for another agentuser to end …"))?;
    let mut machine = System::new();
    let mut steps = Steps::new(global.quiet);
    engine::teardown(&Scope::Agent(name.clone()), &mut machine, &mut steps)?;
    if situation::agents_set_up(&machine)?.is_empty() {
        engine::teardown(&Scope::Machine, &mut machine, &mut steps)?;
    } else {
        leave_policy(&name, &mut machine)?;
    }
    drop(steps);
    if !global.quiet {
        printer::data(&format!("{name} is gone; what it changed on this machine is as it was."));
    }
    Ok(ExitCode::SUCCESS)
}

/// The policy no longer names an agent that is gone.
fn leave_policy(name: &AccountName, machine: &mut System) -> Result<(), Failure> {
    let path = places::fixed(places::POLICY);
    let Some(file) = machine.file(&path)? else { return Ok(()) };
    let text = String::from_utf8_lossy(&file.bytes).into_owned();
    match edit::remove_agent(&text, name) {
        Ok(text) => {
            let file = crate::host::FileState { bytes: text.into_bytes(), ..file };
            machine.write(&path, &file, Validator::Nobody)?;
        }
        Err(error) => printer::warn(&format!("{name} is still in {}: {error}", places::POLICY)),
    }
    Ok(())
}
