//! `run` and `shell`: where the agent works, and what comes along from whoever calls.

use super::{Failure, Global, existing_directory, invoker, system};
use crate::{
    launch::{
        environment::{self, Rules},
        quoted,
    },
    model::AbsPath,
};
use clap::Args;
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Where the agent works.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// Work in this shared directory instead of the present one
    #[arg(long, value_name = "DIR", conflicts_with = "home")]
    project: Option<PathBuf>,
    /// Start in the agent's own home
    #[arg(long)]
    home: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// `agentuser [--agent NAME] run [--agent NAME] -- COMMAND...`, and nothing else: the whole command line takes longer to
/// build than the rest of a launch.
pub(crate) fn plain(arguments: &[OsString]) -> Option<(Global, Arguments)> {
    let mut global = Global::default();
    let mut words = arguments.get(1..)?.iter();
    let mut is_run = false;
    loop {
        match words.next()?.to_str()? {
            "run" if !is_run => is_run = true,
            "--agent" if global.agent.is_none() => global.agent = Some(words.next()?.to_str()?.parse().ok()?),
            "--" if is_run => break,
            _ => return None,
        }
    }
    let command: Vec<_> = words.cloned().collect();
    let place = Place { project: None, home: false };
    (!command.is_empty() && !invoker::is_root()).then_some((global, Arguments { place, command }))
}

pub(super) fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    system::launch(global, &arguments.place, arguments.command)
}

/// Runs one command as the agent, in its home.
pub(super) fn at_home(global: &Global, command: Vec<OsString>) -> Result<ExitCode, Failure> {
    system::launch(global, &Place { project: None, home: true }, command)
}

pub(super) fn shell(global: &Global, place: &Place) -> Result<ExitCode, Failure> {
    system::launch(global, place, vec![])
}

/// The directory to work in, which must be shared; empty for the agent's home.
pub(super) fn directory(projects: &[AbsPath], place: &Place) -> Result<PathBuf, Failure> {
    if place.home {
        return Ok(PathBuf::new());
    }
    let directory = match &place.project {
        Some(directory) => existing_directory(directory)?.as_path().to_owned(),
        None => std::env::current_dir()?,
    };
    if projects.iter().any(|project| directory.starts_with(project)) {
        return Ok(directory);
    }
    let error = anyhow::anyhow!("`{}` is not shared with the agent", directory.display());
    let shared: Vec<_> = projects.iter().map(AbsPath::as_str).collect();
    let share = format!("agentuser share {}", quoted(&directory));
    Err(Failure::new(error).hint(match shared[..] {
        [] => share,
        _ => format!("{share}, or `--project DIR` with one of: {}", shared.join(", ")),
    }))
}

/// What `enter` is told of the caller: the directory, the umask, and the variables that pass.
pub(super) fn what_comes_along(rules: &Rules, directory: &Path) -> Vec<OsString> {
    let mut arguments =
        vec![option("--directory=", directory.as_os_str()), option("--umask=", OsStr::new(&umask()))];
    for (variable, value) in std::env::vars_os() {
        if variable.to_str().is_some_and(|variable| environment::passes(rules, variable)) {
            let mut pair = option("--env=", &variable);
            pair.push("=");
            pair.push(value);
            arguments.push(pair);
        }
    }
    arguments
}

fn option(name: &str, value: &OsStr) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

/// The caller's umask, in octal.
fn umask() -> String {
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    format!("{:03o}", mask.bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plainly(line: &str) -> Option<(Option<String>, Vec<String>)> {
        let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
        let (global, arguments) = plain(&words)?;
        let command = arguments.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        Some((global.agent.map(|name| name.to_string()), command))
    }

    #[test]
    fn only_the_plain_form_is_read_here() {
        if invoker::is_root() {
            assert_eq!(plainly("agentuser run -- true"), None);
            return;
        }
        assert_eq!(
            plainly("agentuser run -- ls --home").unwrap(),
            (None, vec!["ls".into(), "--home".into()])
        );
        assert_eq!(plainly("agentuser --agent bot run -- x").unwrap().0, Some("bot".into()));
        for other in [
            "agentuser run",
            "agentuser run --",
            "agentuser run ls",
            "agentuser run --home -- x",
            "agentuser shell -- x",
        ] {
            assert_eq!(plainly(other), None, "{other}");
        }
    }
}
