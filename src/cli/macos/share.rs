//! `share` and `unshare`: an edit of the policy, and what follows from it.

use super::{Failure, Global, ask, existing_directory, invoker, printer, setup, situation::Situation};
use crate::{
    host::{Lock, System, places},
    model::{AbsPath, AccountName},
    policy::{Access, Policy, Project, edit},
};
use clap::Args;
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The project directory
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// The agent may read, not write
    #[arg(long)]
    read_only: bool,
}

#[derive(Args, Debug)]
pub(crate) struct UnshareArguments {
    /// The project directory
    #[arg(default_value = ".")]
    directory: PathBuf,
}

pub(super) fn share(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = existing_directory(&arguments.directory)?;
    let access = if arguments.read_only { Access::ReadOnly } else { Access::ReadWrite };
    let mut line: Vec<OsString> = vec!["share".into(), path.as_str().into()];
    line.extend(arguments.read_only.then(|| "--read-only".into()));
    change(global, line, |text, name, policy| {
        let project = Project { access, ..Project::new(path.clone()) };
        match known(policy, name, &path) {
            Some(known) if known.access == access => Ok(text.to_owned()),
            Some(_) => edit::add_project(&edit::remove_project(text, name, &path)?, name, &project),
            None => edit::add_project(text, name, &project),
        }
    })
}

pub(super) fn unshare(global: &Global, arguments: &UnshareArguments) -> Result<ExitCode, Failure> {
    // The directory may be gone: then its name as it was given has to do.
    let path = existing_directory(&arguments.directory)
        .or_else(|failure| arguments.directory.to_str().and_then(|path| path.parse().ok()).ok_or(failure))?;
    let line: Vec<OsString> = vec!["unshare".into(), path.as_str().into()];
    change(global, line, |text, name, policy| match known(policy, name, &path) {
        Some(_) => edit::remove_project(text, name, &path),
        None => Ok(text.to_owned()),
    })
}

fn known<'a>(policy: &'a Policy, name: &AccountName, path: &AbsPath) -> Option<&'a Project> {
    policy.agents[name].projects.iter().find(|project| project.path == *path)
}

/// Edits the policy and puts it in force. Whoever types the command has decided: there is no further question.
fn change(
    global: &Global,
    mut line: Vec<OsString>,
    edit: impl Fn(&str, &AccountName, &Policy) -> Result<String, edit::EditError>,
) -> Result<ExitCode, Failure> {
    let present = || {
        invoker::policy()?
            .ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup --policy FILE"))
    };
    let (text, policy) = present()?;
    let name = invoker::agent(&policy, global)?;
    let edited = |text: &str, policy: &Policy| {
        edit(text, &name, policy).map_err(|error| {
            let hint = error.hint();
            Failure::usage(error.to_string()).hint(hint)
        })
    };
    let new = edited(&text, &policy)?;
    if !invoker::is_root() {
        let names = [name.clone()];
        Situation::of(new, places::POLICY, &System::new())?.plans(&names)?;
        line.extend(["--agent".into(), name.as_str().into()]);
        line.extend(global.quiet.then(|| "--quiet".into()));
        return invoker::raise(&line, ask::possible());
    }
    let lock = Lock::take(setup::PATIENCE, || printer::say("waiting for another agentuser to end …"))?;
    // Read again under the lock: another command may have changed it just now.
    let (text, policy) = present()?;
    let situation = Situation::of(edited(&text, &policy)?, places::POLICY, &System::new())?;
    let names = [name.clone()];
    setup::apply(&situation, &names, global.quiet)?;
    drop(lock);
    setup::prove(&names)?;
    Ok(ExitCode::SUCCESS)
}
