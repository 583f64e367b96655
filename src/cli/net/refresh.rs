//! `net refresh`: ranges, hosts of tools and addresses of names as they are now. Nothing of it is taken unasked.

use super::propose;
use crate::{
    cli::{
        Failure, Global, ask, invoker,
        printer::{self, Mark},
        setup::{self, PATIENCE, show::Shown},
        situation::Situation,
    },
    host::{Lock, System, places},
    model::AccountName,
};
use clap::Args;
use std::{ffi::OsString, process::ExitCode};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
    /// Show what would change and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn refresh(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (text, policy) =
        invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
    let name = invoker::agent(&policy, global)?;
    if !invoker::is_root() && !arguments.dry_run {
        let mut line: Vec<OsString> =
            ["net", "refresh", "--agent", name.as_str()].into_iter().map(Into::into).collect();
        line.extend(arguments.yes.then(|| "--yes".into()));
        line.extend(global.quiet.then(|| "--quiet".into()));
        return invoker::raise(&line, ask::possible());
    }
    if arguments.dry_run {
        let (_, lines) = now(text, &name)?;
        show(global, &lines);
        return Ok(ExitCode::SUCCESS);
    }
    let _lock = Lock::take(PATIENCE, || printer::say("waiting for another agentuser to end …"))?;
    let (text, _) =
        invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
    let (situation, lines) = now(text, &name)?;
    show(global, &lines);
    if lines.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.yes && !ask::confirm("Take these changes?", "--yes")? {
        printer::say("Nothing was changed.");
        return Ok(ExitCode::from(1));
    }
    // Ranges are the same for all agents.
    let names: Vec<AccountName> = situation.policy.agents.keys().cloned().collect();
    Shown::of(&situation, &names, &System::new())?.refuse_what_is_foreign()?;
    setup::apply(&situation, &names, global.quiet)?;
    Ok(ExitCode::SUCCESS)
}

/// What is so now, and how it differs from what is known.
fn now(text: String, name: &AccountName) -> Result<(Situation, Vec<String>), Failure> {
    let mut situation = Situation::of(text, places::POLICY, &System::new())?;
    let agents = std::slice::from_ref(name);
    let mut lines = propose::published(&mut situation);
    lines.extend(propose::hosts(&mut situation, agents));
    lines.extend(propose::addresses(&mut situation, agents, true));
    for note in &situation.told {
        printer::warn(note);
    }
    Ok((situation, lines))
}

fn show(global: &Global, lines: &[String]) {
    if global.quiet {
        return;
    }
    if lines.is_empty() {
        printer::data("Nothing has changed.");
    }
    for line in lines {
        printer::marked(Mark::Open, line);
    }
}
