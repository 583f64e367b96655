//! `share` and `unshare`: an edit of the policy, and what follows from it.

use super::{
    Failure, Global, ask, existing_directory, invoker, printer,
    setup::{PATIENCE, draft::edit_failure},
    situation::Situation,
    system,
};
use crate::{
    host::{Lock, System, places},
    model::{AbsPath, AccountName},
    policy::{Access, Project, edit},
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
    /// Replace files that have other names outside the project by copies, so that the agent may write them
    #[arg(long)]
    break_links: bool,
}

#[derive(Args, Debug)]
pub(crate) struct UnshareArguments {
    /// The project directory
    #[arg(default_value = ".")]
    directory: PathBuf,
}

pub(crate) fn share(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = existing_directory(&arguments.directory)?;
    let access = if arguments.read_only { Access::ReadOnly } else { Access::ReadWrite };
    let project = Project { access, ..Project::new(path.clone()) };
    let mut line = vec![OsString::from("share"), path.as_str().into()];
    line.extend(arguments.read_only.then(|| "--read-only".into()));
    line.extend(arguments.break_links.then(|| "--break-links".into()));
    let links = arguments.break_links.then_some(&path);
    change(global, Change { line, links, path: &path, at_begin: true }, |text, name, known| match known {
        Some(_) => edit::set_access(text, name, &path, access),
        None => edit::add_project(text, name, &project),
    })
}

pub(crate) fn unshare(global: &Global, arguments: &UnshareArguments) -> Result<ExitCode, Failure> {
    // The directory may be gone: then its name as it was given has to do.
    let path = existing_directory(&arguments.directory)
        .or_else(|failure| arguments.directory.to_str().and_then(|path| path.parse().ok()).ok_or(failure))?;
    let line = vec![OsString::from("unshare"), path.as_str().into()];
    change(global, Change { line, links: None, path: &path, at_begin: true }, |text, name, known| match known
    {
        Some(_) => edit::remove_project(text, name, &path),
        None => Ok(text.to_owned()),
    })
}

/// What changes of a project.
pub(super) struct Change<'a> {
    /// The command line by which root does the same.
    pub(super) line: Vec<OsString>,
    /// The project whose files with other names outside are to be replaced by copies.
    pub(super) links: Option<&'a AbsPath>,
    /// The project.
    pub(super) path: &'a AbsPath,
    /// Whether it counts for sessions that begin after it alone.
    pub(super) at_begin: bool,
}

/// Edits the policy and puts it in force. Whoever types the command has decided: there is no further question.
pub(super) fn change(
    global: &Global,
    change: Change,
    edit: impl Fn(&str, &AccountName, Option<&Project>) -> Result<String, edit::EditError>,
) -> Result<ExitCode, Failure> {
    let Change { mut line, links, path, at_begin } = change;
    let edited = || -> Result<(AccountName, String, bool), Failure> {
        let (text, policy) =
            invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
        let name = invoker::agent(&policy, global)?;
        let known = policy.agents[&name].projects.iter().find(|project| project.path == *path);
        let new = edit(&text, &name, known).map_err(edit_failure)?;
        let differs = new != text;
        Ok((name, new, differs))
    };
    if !invoker::is_root() {
        // Judged as the human first, so that a refusal costs no password.
        let (name, text, _) = edited()?;
        let situation = Situation::of(text, places::POLICY, &System::new())?;
        situation.desired(&name)?;
        situation.refuse_unfit_machine()?;
        line.extend(["--agent".into(), name.as_str().into()]);
        line.extend(global.quiet.then(|| "--quiet".into()));
        return invoker::raise(&line, ask::possible());
    }
    let _lock = Lock::take(PATIENCE, || printer::say("waiting for another agentuser to end …"))?;
    let (name, text, differs) = edited()?;
    let situation = Situation::of(text, places::POLICY, &System::new())?;
    situation.desired(&name)?;
    let behind = at_begin && differs && system::sessions_are_behind(&situation, &name, path)?;
    system::put_in_force(&situation, std::slice::from_ref(&name), links, global.quiet)?;
    if !global.quiet && !differs && links.is_none() {
        printer::data(&format!("The policy for {path} is as it was."));
    }
    if behind {
        printer::warn(&format!(
            "sessions of {name} that run now keep the projects that they began with; {path} counts from the next one on"
        ));
    }
    Ok(ExitCode::SUCCESS)
}
