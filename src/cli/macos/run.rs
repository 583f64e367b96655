//! `run` and `shell`: the human's half of a launch.
//!
//! The rules are looked at, and put in force again where something put them out, before each command; then sudo starts the
//! agent's half, which tries them.

use super::brief::{Brief, brief};
use crate::{
    cli::{
        Failure, Global, invoker, review,
        run::{Place, directory, what_comes_along},
    },
    doctor::Probe,
    host::{mac_open::OPEN, places, trust, users},
    launch::{
        self,
        relay::{self, Way},
    },
    model::AccountName,
};
use std::{
    ffi::OsString,
    io::{self, IsTerminal},
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

pub(in crate::cli) fn launch(
    global: &Global,
    place: &Place,
    command: Vec<OsString>,
) -> Result<ExitCode, Failure> {
    let brief = brief(global)?;
    trust::check(Path::new(places::PROGRAM))?;
    let directory = directory(&brief.projects, place)?;
    make_ready(&brief)?;
    let is_shell = command.is_empty();
    if !invoker::is_root() {
        review::begin(&brief);
    }
    let mut arguments = what_comes_along(&brief.environment(), &directory);
    arguments.push("--".into());
    arguments.extend(command);
    let code = relay::run(&brief, arguments, || {}).map_err(|error| {
        let hint = error.hint();
        Failure::new(error).hint(hint)
    })?;
    if is_shell && !global.quiet && io::stderr().is_terminal() && !invoker::is_root() {
        review::end(&brief);
    }
    Ok(ExitCode::from(code))
}

/// Has root's helper look at the rules, and put them in force again where something put them out.
pub(in crate::cli) fn make_ready(brief: &Brief) -> Result<(), Failure> {
    let ensured = launch::helper("ensure", &brief.name)?;
    if ensured.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ensured.stderr).trim().escape_debug().to_string();
    Err(Failure::new(anyhow::anyhow!("the firewall could not be put in force: {said}"))
        .hint("agentuser status"))
}

/// Why macOS or the policy leaves a way open, where one does.
pub(in crate::cli) fn stated(brief: &Brief, probe: Probe) -> Option<&'static str> {
    if probe == Probe::Beyond && brief.outbound_allowed() {
        return Some("`outbound: allow` leaves it open");
    }
    if brief.seatbelt() && probe.closed_by_seatbelt() {
        return None;
    }
    let id = probe.left_open_by_macos()?;
    OPEN.iter().find(|open| open.id == id).map(|open| open.what)
}
