//! `reset`: a fresh home for the agent. Projects, policy and tokens stay.

use super::{
    Failure, Global, ask, invoker,
    printer::{self, Steps},
    setup::PATIENCE,
};
use crate::{
    engine::{self, Receipt, Scope},
    host::{Lock, System},
    step::{AnyStep, Step},
};
use clap::Args;
use std::{ffi::OsString, process::ExitCode};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
}

pub(crate) fn reset(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (_, policy) =
        invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
    let agent = invoker::agent(&policy, global)?;
    if !invoker::is_root() {
        let mut line: Vec<OsString> = vec!["reset".into(), "--agent".into(), agent.as_str().into()];
        line.extend(arguments.yes.then(|| "--yes".into()));
        line.extend(global.quiet.then(|| "--quiet".into()));
        return invoker::raise(&line, ask::possible());
    }
    let _lock = Lock::take(PATIENCE, || printer::say("waiting for another agentuser to end …"))?;
    let scope = Scope::Agent(agent.clone());
    let receipt = Receipt::load(&scope, &System::new())?;
    let home = receipt.entries.iter().find_map(|entry| match &entry.step {
        AnyStep::Home(home) => Some(home.clone()),
        _ => None,
    });
    let home = home.ok_or_else(|| {
        Failure::new(anyhow::anyhow!("no receipt tells of a home of {agent}")).hint("agentuser setup")
    })?;
    if !arguments.yes {
        printer::heading(&format!("This gives {agent} a fresh home:"));
        printer::data(&format!("  every process of {agent} ends"));
        printer::data(&format!("  {} and what {agent} left in temporary directories are removed", home.path));
        let from = if home.bare { "made, empty" } else { "made from /etc/skel" };
        printer::data(&format!("  {} is {from}", home.path));
        printer::data("  projects, policy and tokens stay as they are");
        if !ask::confirm(&format!("Reset {agent}?"), "--yes")? {
            printer::say("Nothing was changed.");
            return Ok(ExitCode::from(1));
        }
    }
    let mut steps = Steps::new(global.quiet);
    let mut machine = System::with_progress(steps.counter());
    engine::reset(&scope, &home.id(), &mut machine, &mut steps)?;
    // Its processes have ended with the home: nobody is in its own temporary directories either.
    let own = receipt.entries.iter().filter(|entry| matches!(entry.step, AnyStep::PrivateTmp(_)));
    for tmp in own {
        engine::reset(&scope, &tmp.step.id(), &mut machine, &mut steps)?;
    }
    drop(steps);
    if !global.quiet {
        printer::data(&format!("{agent} has a fresh home; agentuser shell"));
    }
    Ok(ExitCode::SUCCESS)
}
