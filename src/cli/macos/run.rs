//! `run` and `shell`: the human's half of a launch.
//!
//! The rules are looked at, and put in force again where something put them out, before each command; then sudo starts the
//! agent's half, which tries them.

use super::{Failure, Global, existing_directory, invoker};
use crate::{
    host::{Program, places, trust},
    launch::environment::{self, Rules},
    model::AccountName,
    policy::Agent,
};
use clap::Args;
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
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

pub(super) fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    launch(global, &arguments.place, arguments.command)
}

pub(super) fn shell(global: &Global, place: &Place) -> Result<ExitCode, Failure> {
    launch(global, place, vec![])
}

/// The beginning of a command line that sudo runs as `account` without asking for a password.
fn sudo(account: &str) -> io::Result<Command> {
    let path = Program::Sudo
        .path()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "sudo is not installed"))?;
    let mut command = Command::new(path);
    command.args(["-n", "-u", account, "--", places::PROGRAM]);
    Ok(command)
}

/// Has root's helper do something for an agent, and answers what it printed.
pub(super) fn ask_root(what: &str, name: &AccountName) -> Result<String, String> {
    let output = sudo("root").and_then(|mut sudo| sudo.args(["helper", what, name.as_str()]).output());
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().escape_debug().to_string().replace("\\n", " "))
}

/// Starts a command as the agent, as a proof; where that fails, answers what was said, escaped.
pub(super) fn try_command(name: &AccountName) -> Result<Result<(), String>, Failure> {
    let output = sudo(name.as_str())?
        .args(["enter", "--directory=", "--", "/usr/bin/true"])
        .stdin(Stdio::null())
        .output()?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().escape_debug().to_string();
    Ok(if output.status.success() { Ok(()) } else { Err(said()) })
}

/// What the environment of an agent is made of.
pub(super) fn rules<'a>(name: &'a AccountName, agent: &'a Agent) -> Rules<'a> {
    Rules {
        name,
        shell: &agent.shell,
        path: &agent.path,
        pass: &agent.environment.pass,
        set: &agent.environment.set,
        has_projects: !agent.projects.is_empty(),
    }
}

fn launch(global: &Global, place: &Place, command: Vec<OsString>) -> Result<ExitCode, Failure> {
    let (_, policy) = invoker::policy()?
        .ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup --policy FILE"))?;
    let name = invoker::agent(&policy, global)?;
    let agent = &policy.agents[&name];
    trust::check(Path::new(places::PROGRAM))?;
    let directory = directory(agent, place)?;
    ask_root("ensure", &name).map_err(|said| {
        Failure::new(anyhow::anyhow!("the firewall could not be put in force: {said}"))
            .hint("agentuser status")
    })?;
    let mut arguments =
        vec![option("--directory=", directory.as_os_str()), option("--umask=", OsStr::new(&umask()))];
    let rules = rules(&name, agent);
    for (variable, value) in std::env::vars_os() {
        if variable.to_str().is_some_and(|variable| environment::passes(&rules, variable)) {
            let mut pair = option("--env=", &variable);
            pair.push("=");
            pair.push(value);
            arguments.push(pair);
        }
    }
    arguments.push("--".into());
    arguments.extend(command);
    let status = sudo(name.as_str())?.arg("enter").args(arguments).status()?;
    // sudo ends by the signal that ended the command, and so does this.
    if let Some(signal) = status.signal() {
        let signal = nix::sys::signal::Signal::try_from(signal).map_err(io::Error::from)?;
        nix::sys::signal::raise(signal).map_err(io::Error::from)?;
    }
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(125)))
}

fn option(name: &str, value: &OsStr) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

/// The directory to work in, which must be shared; empty for the agent's home.
fn directory(agent: &Agent, place: &Place) -> Result<PathBuf, Failure> {
    if place.home {
        return Ok(PathBuf::new());
    }
    let directory = match &place.project {
        Some(directory) => existing_directory(directory)?.as_path().to_owned(),
        None => std::env::current_dir()?,
    };
    if agent.projects.iter().any(|project| directory.starts_with(project.path.as_path())) {
        return Ok(directory);
    }
    let error = anyhow::anyhow!("`{}` is not shared with the agent", directory.display());
    Err(Failure::new(error).hint("agentuser share ."))
}

/// The caller's umask, in octal.
fn umask() -> String {
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    format!("{:03o}", mask.bits())
}
