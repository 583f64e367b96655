//! `run` and `shell`: the human's half of a launch.
//!
//! The rules are looked at, and put in force again where something put them out, before each command; then sudo starts the
//! agent's half, which tries them.

use crate::{
    cli::{
        Failure, Global, invoker,
        run::{Place, directory, what_comes_along},
    },
    host::{places, trust, users},
    launch::{
        self,
        environment::Rules,
        relay::{self, Way},
    },
    model::AccountName,
    policy::Agent,
};
use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::Path,
    process::{ExitCode, Stdio},
};

/// Starts a command as the agent, in the way of its human, as a proof; where that fails, answers what was said, escaped.
pub(super) fn try_command(name: &AccountName, human: &str) -> Result<Result<(), String>, Failure> {
    let mut command = relay::way_in(Way { agent: name, private: false })?;
    if invoker::is_root() {
        let Some(human) = users::person(human)? else {
            return Ok(Err(format!("there is no account `{human}`")));
        };
        command.uid(human.uid.0).gid(human.gid.0);
    }
    let output = command.args(["--directory=", "--", "/usr/bin/true"]).stdin(Stdio::null()).output()?;
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

pub(in crate::cli) fn launch(
    global: &Global,
    place: &Place,
    command: Vec<OsString>,
) -> Result<ExitCode, Failure> {
    let (_, policy) =
        invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
    let name = invoker::agent(&policy, global)?;
    let agent = &policy.agents[&name];
    trust::check(Path::new(places::PROGRAM))?;
    let projects: Vec<_> = agent.projects.iter().map(|project| project.path.clone()).collect();
    let directory = directory(&projects, place)?;
    let ensured = launch::helper("ensure", &name)?;
    if !ensured.status.success() {
        let said = String::from_utf8_lossy(&ensured.stderr).trim().escape_debug().to_string();
        return Err(Failure::new(anyhow::anyhow!("the firewall could not be put in force: {said}"))
            .hint("agentuser status"));
    }
    let mut arguments = what_comes_along(&rules(&name, agent), &directory);
    arguments.push("--".into());
    arguments.extend(command);
    let code = relay::run(Way { agent: &name, private: false }, arguments, || {}).map_err(|error| {
        let hint = error.hint();
        Failure::new(error).hint(hint)
    })?;
    Ok(ExitCode::from(code))
}
