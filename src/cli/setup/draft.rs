//! The policy that is to be set up: a file, the one in force with what flags add to it, or a new one from answers.

use super::{Answers, Arguments, offer, sharing};
use crate::{
    cli::{Failure, Global, ask as question, existing_directory, invoker, system},
    host::places,
    model::{AbsPath, AccountName, PortRange},
    policy::{self, Access, Agent, Allow, Dns, HumanName, PRESETS, Policy, Project, edit},
    presets::listed::about,
};
use std::path::PathBuf;

/// A policy as text, and where it came from.
pub(super) struct Draft {
    pub(super) text: String,
    pub(super) file: String,
    /// The agent that it is about; none where it is about all of them.
    pub(super) agent: Option<AccountName>,
}

/// Asks what flags left open, where somebody can answer and there is no policy yet that answers it.
pub(super) fn ask(
    global: &Global,
    given: &Arguments,
    existing: Option<&(String, Policy)>,
) -> Result<Answers, Failure> {
    let mut answers = Answers { global: global.clone(), arguments: given.clone() };
    if answers.arguments.human.is_none() {
        answers.arguments.human = invoker::human();
    }
    offer::consider(&mut answers, existing)?;
    let arguments = &mut answers.arguments;
    let has_agent = existing.is_some_and(|(_, policy)| match &global.agent {
        Some(name) => policy.agents.contains_key(name),
        None => policy.agents.values().any(|agent| Some(agent.human.as_str()) == arguments.human.as_deref()),
    });
    let settled = has_agent
        || arguments.policy.is_some()
        || arguments.from.is_some()
        || !arguments.project.is_empty()
        || !arguments.read_only.is_empty();
    if settled || arguments.yes || arguments.dry_run || !question::possible() {
        return Ok(answers);
    }
    if answers.global.agent.is_none() {
        let name = question::text("Name of the agent's account", &free_name(existing))?;
        answers.global.agent = Some(name.parse().map_err(|error| Failure::usage(format!("{error}")))?);
    }
    let here = std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    loop {
        let prompt = "Project directory to share (empty: no more)";
        let first = arguments.project.is_empty() && arguments.read_only.is_empty() && is_a_project(&here);
        let answer = if first { question::text(prompt, &here)? } else { question::optional(prompt)? };
        if answer.trim().is_empty() {
            break;
        }
        let access = question::one_of("What may the agent do there?", &["read and write", "read only"])?;
        let list = if access == 0 { &mut arguments.project } else { &mut arguments.read_only };
        list.push(PathBuf::from(answer.trim()));
    }
    let shares = !arguments.project.is_empty() || !arguments.read_only.is_empty();
    arguments.sharing = arguments.sharing.or(shares.then_some(sharing::How::Ask));
    let presets: Vec<String> =
        PRESETS.iter().map(|preset| format!("{preset:<18} {}", about(*preset).opens)).collect();
    let chosen = question::some_of("Services that it may reach (space chooses, enter goes on)", &presets)?;
    let ports = question::optional("Loopback ports of yours that it may reach, such as 5432 (empty: none)")?;
    arguments.loopback = words(&ports);
    let other = question::optional(
        "Networks and hosts that it may reach, such as 10.20.0.0/16:443 api.example.com (empty: none)",
    )?;
    arguments.allow = chosen.into_iter().map(|at| format!("preset:{}", PRESETS[at])).collect();
    arguments.allow.extend(other.split_ascii_whitespace().map(str::to_owned));
    Ok(answers)
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A name for the account that the policy does not have yet.
fn free_name(existing: Option<&(String, Policy)>) -> String {
    let taken = |name: &str| {
        existing.is_some_and(|(_, policy)| policy.agents.keys().any(|agent| agent.as_str() == name))
    };
    let names = std::iter::once("agent".to_owned()).chain((2..).map(|n| format!("agent{n}")));
    names.into_iter().find(|name| !taken(name)).unwrap_or_default()
}

/// A directory that looks like a project, not like a home.
fn is_a_project(dir: &str) -> bool {
    [".git", "Cargo.toml", "package.json", "pyproject.toml", "go.mod", "Makefile"]
        .iter()
        .any(|name| std::path::Path::new(dir).join(name).exists())
}

/// The policy to be set up.
pub(super) fn draft(
    global: &Global,
    arguments: &Arguments,
    existing: Option<&(String, Policy)>,
) -> Result<Draft, Failure> {
    let own = without_offer(global, arguments, existing)?;
    match &arguments.from {
        Some(file) => offer::add(own, file, arguments.seen.as_deref()),
        None => Ok(own),
    }
}

fn without_offer(
    global: &Global,
    arguments: &Arguments,
    existing: Option<&(String, Policy)>,
) -> Result<Draft, Failure> {
    if let Some(file) = &arguments.policy {
        let text =
            std::fs::read(file).map_err(|error| Failure::usage(format!("`{}`: {error}", file.display())))?;
        let text = String::from_utf8(text);
        let text = text.map_err(|_| Failure::usage(format!("`{}` is not UTF-8 text", file.display())))?;
        return Ok(Draft { text, file: file.display().to_string(), agent: None });
    }
    let projects = projects(arguments)?;
    let allow = allow(arguments)?;
    let in_force = |agent: Option<&AccountName>, text: String| Draft {
        text,
        file: places::POLICY.into(),
        agent: agent.cloned(),
    };
    let (text, policy) = match existing {
        Some((text, policy)) => (text.clone(), policy.clone()),
        None => (String::new(), Policy::default()),
    };
    let name = match &global.agent {
        Some(name) => name.clone(),
        None => match agent_of(arguments.human.as_deref(), &policy) {
            Some(name) => name,
            None => free_name(existing).parse().map_err(|error| Failure::usage(format!("{error}")))?,
        },
    };
    if policy.agents.contains_key(&name) {
        if !allow.is_empty() {
            return Err(Failure::usage(format!(
                "agent `{name}` is in the policy already; --allow and --loopback are for a new one"
            ))
            .hint("agentuser net allow DESTINATION"));
        }
        let text = add_projects(text, &policy, &name, projects)?;
        let text = match arguments.sharing.and_then(sharing::How::sharing) {
            Some(sharing) => edit::set_sharing(&text, &name, sharing).map_err(edit_failure)?,
            None => text,
        };
        return Ok(in_force(Some(&name), text));
    }
    if existing.is_some()
        && projects.is_empty()
        && allow.is_empty()
        && arguments.sharing.is_none()
        && global.agent.is_none()
        && !policy.agents.is_empty()
    {
        // Root, or a human without an agent, sets up what the policy says.
        return Ok(in_force(None, text));
    }
    let human = arguments.human.as_deref().ok_or_else(|| {
        Failure::usage("root sets up an agent for a human, and nobody is named").hint("add --human USER")
    })?;
    let human: HumanName = human.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    let mut agent = Agent::new(human);
    agent.projects = projects;
    agent.sharing = arguments.sharing.and_then(sharing::How::sharing).unwrap_or_default();
    agent.network.allow = allow;
    // Names that nobody resolves open nothing.
    let by_name = |entry: &Allow| matches!(entry, Allow::Preset { .. } | Allow::Domain { .. });
    if system::HAS_GATE && agent.network.allow.iter().any(by_name) {
        agent.network.dns = Dns::Gate;
    }
    let text = match existing {
        Some(_) => edit::add_agent(&text, &name, &agent).map_err(edit_failure)?,
        None => policy::render(&Policy::new([(name.clone(), agent)].into())),
    };
    Ok(in_force(Some(&name), text))
}

/// The first agent of a human in a policy.
fn agent_of(human: Option<&str>, policy: &Policy) -> Option<AccountName> {
    let mine = policy.agents.iter().find(|(_, agent)| human == Some(agent.human.as_str()));
    mine.map(|(name, _)| name.clone())
}

fn add_projects(
    mut text: String,
    policy: &Policy,
    name: &AccountName,
    projects: Vec<Project>,
) -> Result<String, Failure> {
    for project in projects {
        let known = policy.agents[name].projects.iter().find(|known| known.path == project.path);
        if known.is_some_and(|known| known.access == project.access) {
            continue;
        }
        if known.is_some() {
            text = edit::remove_project(&text, name, &project.path).map_err(edit_failure)?;
        }
        text = edit::add_project(&text, name, &project).map_err(edit_failure)?;
    }
    Ok(text)
}

pub(in crate::cli) fn edit_failure(error: edit::EditError) -> Failure {
    let hint = error.hint();
    Failure { error: error.into(), hint: Some(hint), code: 2 }
}

fn projects(arguments: &Arguments) -> Result<Vec<Project>, Failure> {
    let list = |dirs: &[PathBuf], access: Access| {
        let project = move |dir: &PathBuf| {
            existing_directory(dir).map(|path: AbsPath| Project { access, ..Project::new(path) })
        };
        dirs.iter().map(project).collect::<Result<Vec<_>, _>>()
    };
    let mut all = list(&arguments.project, Access::ReadWrite)?;
    all.extend(list(&arguments.read_only, Access::ReadOnly)?);
    Ok(all)
}

fn allow(arguments: &Arguments) -> Result<Vec<Allow>, Failure> {
    let ports = |texts: &[&str]| -> Result<Vec<PortRange>, Failure> {
        texts.iter().map(|text| text.parse().map_err(|error| Failure::usage(format!("{error}")))).collect()
    };
    let mut allow = Vec::new();
    for entry in &arguments.allow {
        let target = Allow::read_target(entry);
        allow.push(target.map_err(|refusal| Failure::usage(refusal.to_string()).hint(refusal.hint()))?);
    }
    let loopback = ports(&arguments.loopback.iter().map(String::as_str).collect::<Vec<_>>())?;
    if !loopback.is_empty() {
        allow.push(Allow::Loopback(loopback.into()));
    }
    Ok(allow)
}
