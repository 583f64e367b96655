//! `teardown`: everything undone, from the receipt.

use super::{
    Failure, Global, ask, invoker,
    printer::{self, Mark, Steps},
    setup::{PATIENCE, draft::edit_failure},
    situation::{self, Situation},
    system,
};
use crate::{
    engine::{self, Receipt, Scope},
    host::{Act, Lock, Observe, System, places},
    model::{AbsPath, AccountName, Gid, Uid},
    policy::edit,
    step::AnyStep,
};
use clap::Args;
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Keep the agent's home as this directory, which must not exist yet; it becomes yours
    #[arg(long, value_name = "DIR")]
    keep_home: Option<PathBuf>,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
}

pub(crate) fn teardown(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if !invoker::is_root() {
        let mut line = vec![OsString::from("teardown")];
        line.extend(global.agent.iter().flat_map(|name| ["--agent".into(), name.as_str().into()]));
        line.extend(arguments.keep_home.iter().flat_map(|dir| {
            ["--keep-home".into(), std::path::absolute(dir).unwrap_or_else(|_| dir.clone()).into()]
        }));
        line.extend(arguments.yes.then(|| "--yes".into()));
        line.extend(global.quiet.then(|| "--quiet".into()));
        return invoker::raise(&line, ask::possible());
    }
    let _lock = Lock::take(PATIENCE, || printer::say("waiting for another agentuser to end …"))?;
    let Some(name) = agent(global)? else { return finish(global.quiet) };
    let scope = Scope::Agent(name.clone());
    let receipt = Receipt::load(&scope, &System::new())?;
    let keep = arguments.keep_home.as_ref().map(|dir| keep_target(dir, &receipt)).transpose()?;
    if !arguments.yes {
        show(&name, &receipt, keep.as_ref());
        if !ask::confirm(&format!("Tear down {name}?"), "--yes")? {
            printer::say("Nothing was changed.");
            return Ok(ExitCode::from(1));
        }
    }
    let mut steps = Steps::new(global.quiet);
    let mut machine = System::with_progress(steps.counter());
    if let Some((from, to)) = &keep {
        keep_home(&receipt, from, to, &mut machine)?;
    }
    system::before_teardown(&name);
    engine::teardown(&scope, &mut machine, &mut steps)?;
    let others = situation::agents_set_up(&machine)?;
    if others.is_empty() {
        system::after_the_last();
        engine::teardown(&Scope::Machine, &mut machine, &mut steps)?;
    } else {
        drop(steps);
        leave_policy(&name, global.quiet)?;
    }
    if !global.quiet {
        printer::data(&format!("{name} is gone; what it changed on this machine is as it was."));
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes back what all agents share where no agent is left: a setup was cut short before its first one, or a teardown
/// after its last.
fn finish(quiet: bool) -> Result<ExitCode, Failure> {
    let mut steps = Steps::new(quiet);
    engine::teardown(&Scope::Machine, &mut System::new(), &mut steps)?;
    drop(steps);
    if !quiet {
        printer::data("No agent was left; what they shared is gone.");
    }
    Ok(ExitCode::SUCCESS)
}

/// The agent to tear down; it need not be in the policy any more. None where only what agents share is left.
fn agent(global: &Global) -> Result<Option<AccountName>, Failure> {
    let set_up = situation::agents_set_up(&System::new())?;
    let no = |name: &AccountName| {
        Failure::usage(format!("no receipt tells of an agent `{name}`")).hint("agentuser status")
    };
    let begun = System::new().directory(&places::fixed(places::STATE))?.is_some();
    match (&global.agent, &set_up[..]) {
        (Some(name), _) if set_up.contains(name) => Ok(Some(name.clone())),
        (_, []) if begun => Ok(None),
        (Some(name), _) => Err(no(name)),
        (None, []) => Err(Failure::usage("nothing is set up")),
        (None, [only]) => Ok(Some(only.clone())),
        (None, _) => {
            let (_, policy) = invoker::policy()?.unwrap_or_default();
            let name = invoker::agent(&policy, global)?;
            if set_up.contains(&name) { Ok(Some(name)) } else { Err(no(&name)) }
        }
    }
}

fn show(name: &AccountName, receipt: &Receipt, keep: Option<&(AbsPath, AbsPath)>) {
    printer::heading(&format!("This undoes, for {name}:"));
    for entry in receipt.entries.iter().rev() {
        printer::marked(Mark::Open, &entry.step.describe().title);
    }
    if let Some((from, to)) = keep {
        printer::data(&format!("  {from} is kept as {to}"));
    }
}

/// Where the home is, and where it goes. Both must be on one filesystem, for it is moved, not copied.
fn keep_target(dir: &PathBuf, receipt: &Receipt) -> Result<(AbsPath, AbsPath), Failure> {
    use std::os::unix::fs::MetadataExt;
    let home = receipt.entries.iter().find_map(|entry| match &entry.step {
        AnyStep::Home(home) => Some(home.path.clone()),
        _ => None,
    });
    let home = home.ok_or_else(|| Failure::usage("the receipt tells of no home"))?;
    let absolute = std::path::absolute(dir)?;
    let to: AbsPath =
        absolute.to_string_lossy().trim_end_matches('/').to_owned().try_into().map_err(Failure::new)?;
    let parent = to.parent().unwrap_or_else(AbsPath::root);
    let device = |path: &AbsPath| std::fs::metadata(path).map(|is| is.dev());
    if std::fs::symlink_metadata(&to).is_ok() {
        return Err(
            Failure::usage(format!("`{to}` exists already")).hint("name a directory that does not exist yet")
        );
    }
    if device(&parent)? != device(&home)? {
        let text = format!("`{to}` is on another filesystem than {home}");
        return Err(
            Failure::usage(text).hint(format!("name a directory beside {home}, and move it afterwards"))
        );
    }
    Ok((home, to))
}

/// Ends the agent's processes, moves the home and gives it to the human.
fn keep_home(receipt: &Receipt, from: &AbsPath, to: &AbsPath, machine: &mut System) -> Result<(), Failure> {
    let human = receipt.entries.iter().find_map(|entry| match &entry.step {
        AnyStep::ShareAcl(share) => Some(share.owner.clone()),
        AnyStep::ShareMount(share) => Some(share.owner.clone()),
        AnyStep::Traverse(parent) => Some(parent.owner.clone()),
        _ => None,
    });
    let agent = receipt.account().map(|it| ((it.uid, it.gid), &it.marker));
    let Some((agent, marker)) = agent else { return Err(Failure::usage("the receipt tells of no account")) };
    let owner = match human {
        Some(owner) => (owner.uid, owner.gid),
        None => owner_by_marker(marker, machine)?,
    };
    machine.end_processes(agent.0, &[])?;
    Ok(machine.move_home(from, to, agent, owner)?)
}

/// The human named in the account's comment field.
fn owner_by_marker(marker: &str, machine: &System) -> Result<(Uid, Gid), Failure> {
    let name = marker.split(' ').nth(3).unwrap_or_default();
    let person =
        machine.person(name)?.ok_or_else(|| Failure::new(anyhow::anyhow!("`{name}` has no account")))?;
    Ok((person.uid, person.gid))
}

/// Other agents stay: the policy goes on without this one.
fn leave_policy(name: &AccountName, quiet: bool) -> Result<(), Failure> {
    let Some((text, policy)) = invoker::policy()? else { return Ok(()) };
    if !policy.agents.contains_key(name) {
        return Ok(());
    }
    let text = edit::remove_agent(&text, name).map_err(edit_failure)?;
    let situation = Situation::of(text, places::POLICY, &System::new())?;
    let mut steps = Steps::new(quiet);
    engine::setup(&situation.machine_plan(), &mut System::new(), &mut steps)?;
    Ok(())
}
