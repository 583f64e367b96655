//! `setup`: a policy from a file, or the one in force; then plan, show, ask, apply, verify.

use super::{
    Failure, Global, ask, invoker,
    printer::{self, Mark, Steps},
    run,
    situation::{self, Situation},
};
use crate::{
    engine::{self, StepReport},
    host::{Lock, System, places},
    model::AccountName,
    step::Check,
};
use clap::Args;
use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

/// How long a command waits for another one that changes the machine.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Args, Debug, Clone, Default)]
pub(crate) struct Arguments {
    /// Take this policy file; it becomes /etc/agentuser/policy.yaml
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The plan as JSON, with --dry-run
    #[arg(long, requires = "dry_run")]
    json: bool,
}

/// The text of the policy to put in force, and the file that it is from.
fn text(arguments: &Arguments) -> Result<(String, String), Failure> {
    if let Some(file) = &arguments.policy {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("can't read `{}`: {error}", file.display())))?;
        return Ok((text, file.display().to_string()));
    }
    let (text, _) = invoker::policy()?
        .ok_or_else(|| Failure::usage("there is no policy yet").hint("agentuser setup --policy FILE"))?;
    Ok((text, places::POLICY.into()))
}

pub(super) fn setup(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (text, file) = text(arguments)?;
    let machine = System::new();
    let situation = Situation::of(text, &file, &machine)?;
    situation.refuse_unfit_machine()?;
    let names = names(&situation, global)?;
    if arguments.dry_run {
        return dry_run(&situation, &names, arguments.json);
    }
    if !invoker::is_root() {
        // What the plan refuses is said before a password is asked for.
        situation.plans(&names)?;
        return invoker::raise(&command_line(global, arguments)?, ask::possible());
    }
    let lock = Lock::take(PATIENCE, || printer::say("waiting for another agentuser to end …"))?;
    let changes = changes(&situation, &names, &machine)?;
    if changes.is_empty() {
        drop(lock);
        prove(&names)?;
        if !global.quiet {
            printer::data("Nothing to do: all of the policy is in force.");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !global.quiet {
        show(&changes, false);
        situation.notices().iter().for_each(|notice| printer::warn(notice));
    }
    if !arguments.yes && !agreed(&changes)? {
        printer::say("Nothing was changed.");
        return Ok(ExitCode::from(1));
    }
    apply(&situation, &names, global.quiet)?;
    drop(lock);
    prove(&names)?;
    if !global.quiet {
        printer::data("All of the policy is in force. Next: agentuser shell, in a project.");
    }
    Ok(ExitCode::SUCCESS)
}

fn names(situation: &Situation, global: &Global) -> Result<Vec<AccountName>, Failure> {
    match &global.agent {
        Some(name) if !situation.policy.agents.contains_key(name) => {
            Err(Failure::usage(format!("the policy has no agent `{name}`")).hint("agentuser status"))
        }
        Some(name) => Ok(vec![name.clone()]),
        None => Ok(situation.policy.agents.keys().cloned().collect()),
    }
}

fn command_line(global: &Global, arguments: &Arguments) -> Result<Vec<OsString>, Failure> {
    let mut line: Vec<OsString> = vec!["setup".into()];
    if let Some(agent) = &global.agent {
        line.extend(["--agent".into(), agent.as_str().into()]);
    }
    if let Some(file) = &arguments.policy {
        line.extend(["--policy".into(), std::fs::canonicalize(file)?.into()]);
    }
    line.extend(arguments.yes.then(|| "--yes".into()));
    line.extend(global.quiet.then(|| "--quiet".into()));
    Ok(line)
}

/// The steps that are not in force; what is foreign or unknown is refused.
fn changes(
    situation: &Situation,
    names: &[AccountName],
    machine: &System,
) -> Result<Vec<StepReport>, Failure> {
    let mut all = Vec::new();
    for plan in situation.plans(names)? {
        all.extend(situation::compare(&plan, machine)?);
    }
    all.retain(|report| report.check != Check::Satisfied);
    for report in &all {
        let title = &report.description.title;
        match &report.check {
            Check::Foreign(what) => {
                return Err(Failure::new(anyhow::anyhow!("{title}: {what}"))
                    .hint("remove or rename it, or choose another name for the agent"));
            }
            Check::Unknown(why) if invoker::is_root() => {
                return Err(Failure::new(anyhow::anyhow!("{title}: can't be checked: {why}"))
                    .hint("agentuser status"));
            }
            _ => {}
        }
    }
    Ok(all)
}

fn show(changes: &[StepReport], whole: bool) {
    let mut layer = None;
    for report in changes {
        if layer != Some(report.description.layer) {
            layer = Some(report.description.layer);
            printer::heading(report.description.layer.heading());
        }
        let verb = if report.left_over { "undo: " } else { "" };
        printer::marked(Mark::Open, &format!("{verb}{}", report.description.title));
        if whole {
            report.description.change.iter().for_each(|line| printer::detail(line));
        }
    }
}

fn agreed(changes: &[StepReport]) -> Result<bool, Failure> {
    if !ask::possible() {
        return Err(
            Failure::usage("the plan above needs a yes, and nobody is there to give it").hint("add --yes")
        );
    }
    loop {
        match ask::one_of("Apply this plan?", &["yes", "no", "explain"])? {
            0 => return Ok(true),
            1 => return Ok(false),
            _ => show(changes, true),
        }
    }
}

fn dry_run(situation: &Situation, names: &[AccountName], json: bool) -> Result<ExitCode, Failure> {
    let changes = changes(situation, names, &System::new())?;
    if json {
        let steps: Vec<_> = changes.iter().map(|report| &report.description).collect();
        printer::data(&serde_json::to_string_pretty(&steps).map_err(Failure::new)?);
    } else if changes.is_empty() {
        printer::data("Nothing to do: all of the policy is in force.");
    } else {
        show(&changes, true);
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts the plans of the machine and of these agents in force.
pub(super) fn apply(situation: &Situation, names: &[AccountName], quiet: bool) -> Result<(), Failure> {
    let mut steps = Steps::new(quiet);
    let mut machine = System::new();
    for plan in situation.plans(names)? {
        engine::setup(&plan, &mut machine, &mut steps)?;
    }
    Ok(())
}

/// Each agent starts a command through the whole way in, which refuses where the rules do not hold.
pub(super) fn prove(names: &[AccountName]) -> Result<(), Failure> {
    for name in names {
        if let Err(said) = run::try_command(name)? {
            let error = anyhow::anyhow!("{name} can't start a command: {said}");
            return Err(Failure::new(error).hint("agentuser status"));
        }
    }
    Ok(())
}
