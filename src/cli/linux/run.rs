//! A launch on Linux: what the human's half makes ready, and both halves that sudo starts.

use crate::{
    audit,
    cli::{
        Failure, Global, invoker, printer, review,
        run::{Place, directory, what_comes_along},
        status,
    },
    doctor::Probe,
    guard,
    host::{places, trust},
    launch::{
        self,
        brief::{self, Brief, Stamp, moment as moment_now},
        enter::{self as agents_half, EnterError},
        keeper, relay,
        request::{self, Ended},
        view,
    },
    model::AccountName,
    policy::{self, Agent, Line},
    step::Layer,
};
use std::{ffi::OsString, io::IsTerminal, path::Path, process::ExitCode, time::SystemTime};

pub(crate) fn launch(global: &Global, place: &Place, command: Vec<OsString>) -> Result<ExitCode, Failure> {
    let text =
        invoker::policy_text()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
    let (brief, stamped) = match from_stamp(global, &text) {
        Some((brief, moment)) => (brief, moment == moment_now()),
        None => (from_policy(global, &text)?, false),
    };
    trust::check(Path::new(places::PROGRAM))?;
    let directory = directory(&brief.projects, place)?;
    make_ready_unless(&brief, stamped)?;

    let mut arguments = what_comes_along(&brief.environment(), &directory);
    let is_shell = command.is_empty();
    arguments.push("--".into());
    arguments.extend(command);
    if !invoker::is_root() {
        review::begin(&brief);
    }
    let began = SystemTime::now();
    let code = relay::run(&brief, arguments, || keeper::start_humans(&brief)).map_err(|error| {
        let hint = error.hint();
        Failure::new(error).hint(hint)
    })?;
    if code != 0 && !global.quiet && std::io::stderr().is_terminal() {
        explain(&brief.name, began);
    }
    if is_shell && !global.quiet && std::io::stderr().is_terminal() && !invoker::is_root() {
        review::end(&brief);
    }
    Ok(ExitCode::from(code))
}

/// A refused connection looks like a closed port: where the audit log tells of one since the command began, it is said.
fn explain(name: &AccountName, began: SystemTime) {
    const MOST: usize = 3;
    let denials = audit::since(audit::path(name).as_path(), began);
    let Some(first) = denials.first() else { return };
    let mut targets: Vec<_> = denials.iter().take(MOST).map(ToString::to_string).collect();
    if denials.len() > MOST {
        targets.push(format!("{} more", denials.len() - MOST));
    }
    let remedy = first.remedy().map(|command| format!("{command}, or ")).unwrap_or_default();
    printer::warn(&format!("{name} was refused {}; {remedy}agentuser net log", targets.join(", ")));
}

/// What a launch needs of the policy, for the agent that is meant.
pub(crate) fn brief(global: &Global) -> Result<Brief, Failure> {
    let text =
        invoker::policy_text()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
    match from_stamp(global, &text) {
        Some((brief, _)) => Ok(brief),
        None => from_policy(global, &text),
    }
}

/// The brief that whoever put the policy in force left, with the moment of that; none where it does not tell which agent
/// is meant, or is of another policy.
fn from_stamp(global: &Global, text: &str) -> Option<(Brief, String)> {
    let name = match &global.agent {
        Some(name) => name.clone(),
        None => only_stamp()?,
    };
    let stamp = Stamp::read(&name)?;
    let moment = stamp.moment.clone();
    let brief = stamp.brief_for(text)?;
    let callers = invoker::human().is_some_and(|human| human == brief.human);
    (callers && (brief.only || global.agent.is_some())).then_some((brief, moment))
}

/// The agent of whom alone there is a stamp.
fn only_stamp() -> Option<AccountName> {
    let files = std::fs::read_dir(places::RUNTIME).ok()?.flatten();
    let mut names = files.filter_map(|file| file.file_name().to_str()?.strip_suffix(".loaded")?.parse().ok());
    names.next().filter(|_| names.next().is_none())
}

fn from_policy(global: &Global, text: &str) -> Result<Brief, Failure> {
    let policy = policy::parse(text, places::POLICY)?;
    let name = invoker::agent(&policy, global)?;
    refuse_others(&name, &policy.agents[&name])?;
    brief::from_policy(text, &name).map_err(|error| {
        let hint = error.hint();
        Failure::new(error).hint(hint)
    })
}

/// Says so before sudo asks for a password that would not help.
fn refuse_others(name: &AccountName, agent: &Agent) -> Result<(), Failure> {
    if invoker::is_root() || invoker::human().as_deref() == Some(agent.human.as_str()) {
        return Ok(());
    }
    Err(Failure::new(anyhow::anyhow!("`{name}` is the agent of {}, and not yours", agent.human.as_str()))
        .hint("agentuser setup, for an agent of your own"))
}

/// What must be so before a session can begin. Whether it is so is proved by the session itself.
pub(crate) fn make_ready(brief: &Brief) -> Result<(), Failure> {
    make_ready_unless(brief, false)
}

/// The same where word of the rules may have been left for this boot.
fn make_ready_unless(brief: &Brief, stamped: bool) -> Result<(), Failure> {
    put_in_force(brief, stamped)?;
    if let Some(private) = &brief.private {
        view::make_ready(&private.projects);
    }
    Ok(())
}

/// After a boot, and in another network namespace, the saved rules are loaded first. Whether they hold is proved by `enter`;
/// where everything may leave, its proof says little, so root is asked.
fn put_in_force(brief: &Brief, stamped: bool) -> Result<(), Failure> {
    let name = &brief.name;
    let current = stamped || Stamp::read(name).is_some_and(|stamp| stamp.moment == moment_now());
    let guarded = !brief.guarded || Path::new("/run/systemd/system").exists() || guard::state().is_some();
    if !(current && guarded) {
        let status = launch::sudo("root")?.args(["helper", "ensure", name.as_str()]).status()?;
        if !status.success() {
            return Err(Failure::new(anyhow::anyhow!("the firewall could not be put in force"))
                .hint("agentuser setup"));
        }
    }
    if brief.outbound_allowed {
        let lines = status::told_by_helper(name).map_err(|why| Failure::new(anyhow::anyhow!(why)))?;
        let fault =
            lines.iter().find(|line| line.layer == Layer::Network && line.state != status::State::InForce);
        if let Some(line) = fault {
            let error = anyhow::anyhow!("{}: {}", line.title, line.differences.join("; "));
            return Err(Failure::new(error).hint("agentuser status, then agentuser setup"));
        }
    }
    Ok(())
}

/// Why the policy leaves a way open, where it does.
pub(crate) fn stated(brief: &Brief, probe: Probe) -> Option<&'static str> {
    let plain = brief.private.is_none();
    let lacks = |line| !brief.confine.wants(line);
    let why = match probe {
        Probe::Beyond | Probe::Resolvers => (brief.outbound_allowed, "`outbound: allow` leaves it open"),
        Probe::Families => (lacks(Line::SocketFamilies), "`confine` leaves it open"),
        Probe::IoUring => (lacks(Line::IoUring), "`confine` leaves it open"),
        Probe::Terminal => (lacks(Line::TerminalInput), "the session has a terminal of its own"),
        Probe::Sibling => (plain && lacks(Line::Landlock), "`view: plain` without Landlock leaves it open"),
        Probe::Temporary => (plain, "`view: plain` shares them"),
        Probe::Abstract => (lacks(Line::AbstractSockets), "`confine` leaves it open"),
        Probe::Runtime | Probe::Processes => (plain, "`view: plain` leaves it open"),
        Probe::Setuid => (lacks(Line::NoNewPrivileges), "`confine` leaves it open"),
        Probe::Git => (plain, "`view: plain` has no guard for git; `agentuser review` tells of it"),
        _ => (false, ""),
    };
    let may = brief.private.as_ref().is_some_and(|private| !private.tmp);
    match probe {
        Probe::Temporary if may => Some("`private-tmp: false` shares them"),
        _ => why.0.then_some(why.1),
    }
}

/// The agent's half, which sudo starts: it becomes the command, or says why not and ends with 125, 126 or 127.
pub(super) fn enter(arguments: Vec<OsString>) -> ExitCode {
    let error = match request::parse(arguments).map_err(EnterError::from).and_then(agents_half::enter) {
        Err(error) => error,
        Ok(Ended(code)) => return ExitCode::from(code),
    };
    refused(error.status(), error.hint(), error)
}

/// Root's half of a session in the private view, which sudo starts; it ends as `enter` does.
pub(super) fn session(arguments: Vec<OsString>) -> ExitCode {
    let error = match view::session(arguments) {
        Err(error) => error,
        Ok(Ended(code)) => return ExitCode::from(code),
    };
    refused(error.status(), error.hint(), error)
}

fn refused(code: u8, hint: Option<String>, error: impl Into<anyhow::Error>) -> ExitCode {
    let failure = Failure::new(error);
    printer::failure(&match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    });
    ExitCode::from(code)
}
