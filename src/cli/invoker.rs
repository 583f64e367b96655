//! Who called, and how to go on as root.

use super::Failure;
use crate::{
    host::{self, Program, SYSTEM_PATH, places, trust, users},
    policy::Policy,
};
use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The human behind this process: who typed sudo, or who runs it; none for root itself.
pub(crate) fn human() -> Option<String> {
    let uid = rustix::process::getuid();
    if uid.is_root() {
        return std::env::var("SUDO_USER").ok().filter(|name| name != "root" && !name.is_empty());
    }
    users::name_of(uid.as_raw())
}

/// Starts this program again as root with these arguments, and ends as it ends.
pub(crate) fn raise(arguments: &[OsString], may_ask: bool) -> Result<ExitCode, Failure> {
    let sudo = Program::Sudo.path();
    let sudo = sudo.ok_or_else(|| {
        Failure::new(anyhow::anyhow!("this needs root's rights, and sudo is not installed"))
    })?;
    let program = std::env::current_exe()?;
    let mut command = Command::new(sudo);
    if !may_ask {
        command.arg("-n");
    }
    command.arg("--").arg(program).args(arguments);
    let status = command.status()?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Root starts over with an environment of its own making, unless it has it already: programs and libraries that we call
/// see nothing that the caller chose. A search list for names may only be the empty one, which an errand is sent out with.
pub(super) fn clean_environment(arguments: &[OsString]) -> std::io::Result<()> {
    const KEPT: [&str; 6] = ["SUDO_USER", "TERM", "COLORTERM", "NO_COLOR", "PATH", "LC_ALL"];
    if !is_root() {
        return Ok(());
    }
    let is_kept = |(name, value): &(OsString, OsString)| {
        name.to_str().is_some_and(|name| is_kept(name, &KEPT) || (name == "LOCALDOMAIN" && value == "."))
    };
    let clean = std::env::vars_os().all(|variable| is_kept(&variable))
        && std::env::var_os("PATH").is_some_and(|path| path == SYSTEM_PATH)
        && std::env::var_os("LC_ALL").is_some_and(|locale| locale == "C");
    if clean {
        return Ok(());
    }
    let kept = std::env::vars_os().filter(is_kept);
    let mut command = Command::new(host::itself());
    command.args(arguments.iter().skip(1)).env_clear().envs(kept).env("PATH", SYSTEM_PATH).env("LC_ALL", "C");
    if let Some(name) = arguments.first() {
        command.arg0(name);
    }
    Err(command.exec())
}

fn is_kept(name: &str, kept: &[&str]) -> bool {
    kept.contains(&name) || (cfg!(feature = "kill-points") && name == "AGENTUSER_KILL_AT")
}

/// The policy that is in force, if there is one, as text. It must be root's alone.
pub(crate) fn policy_text() -> Result<Option<String>, Failure> {
    let path = std::path::Path::new(places::POLICY);
    if std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    trust::check(path)?;
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(anyhow::anyhow!("can't read `{}`: {error}", places::POLICY)))?;
    Ok(Some(text))
}

/// The same, as text and as a value.
pub(crate) fn policy() -> Result<Option<(String, Policy)>, Failure> {
    let Some(text) = policy_text()? else { return Ok(None) };
    let policy = crate::policy::parse(&text, places::POLICY)?;
    Ok(Some((text, policy)))
}

/// The agent that is meant: the one named, else the only one of this human, else asked for.
pub(crate) fn agent(policy: &Policy, global: &super::Global) -> Result<crate::model::AccountName, Failure> {
    use super::ask;
    if let Some(name) = &global.agent {
        return if policy.agents.contains_key(name) {
            Ok(name.clone())
        } else {
            Err(Failure::usage(format!("the policy has no agent `{name}`")).hint("agentuser status"))
        };
    }
    let human = human();
    let of = |agent: &crate::policy::Agent| human.as_deref() == Some(agent.human.as_str());
    let mine: Vec<_> = policy.agents.iter().filter(|(_, agent)| of(agent)).map(|(name, _)| name).collect();
    let names = match &human {
        _ if !mine.is_empty() => mine,
        Some(human) if !is_root() => {
            return Err(
                Failure::usage(format!("no agent of the policy is for `{human}`")).hint("agentuser setup")
            );
        }
        _ => policy.agents.keys().collect(),
    };
    match names[..] {
        [] => Err(Failure::usage("there is no agent yet").hint("agentuser setup")),
        [only] => Ok(only.clone()),
        _ if ask::possible() => {
            let answers: Vec<_> = names.iter().map(|name| name.as_str()).collect();
            Ok(names[ask::one_of("Which agent?", &answers)?].clone())
        }
        _ => {
            let all: Vec<_> = names.iter().map(|name| name.as_str()).collect();
            Err(Failure::usage(format!("there are several agents: {}", all.join(", ")))
                .hint("add --agent NAME"))
        }
    }
}
