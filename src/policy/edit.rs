//! Changes to the text of a policy that leave everything else as a person wrote it: comments, order, layout.
//!
//! Each change is checked by reading the result and comparing it with the value that was meant, so that an edit either
//! does just that or is refused.

mod network;
mod project;
mod sharing;

pub use network::{add_allow, add_deny, remove_allow, remove_deny, set};
pub use project::{set_access, set_deploy_key};
pub use sharing::set_sharing;

use super::{
    Agent, Policy, PolicyError, Project,
    error::quote,
    parse, render,
    splice::{Entry, Page},
    yaml::{self, Key, Kind, Node},
};
use crate::model::{AbsPath, AccountName};

/// Why a policy was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The policy as it stands can't be read.
    #[error("{0}")]
    Unreadable(PolicyError),
    /// The policy would be refused after the change; places are those of the changed text.
    #[error("{0}")]
    Refused(PolicyError),
    /// There is one already.
    #[error("the policy has the agent `{0}` already")]
    AgentThere(AccountName),
    /// There is none.
    #[error("the policy has no agent `{0}`")]
    NoAgent(AccountName),
    /// There is one already.
    #[error("the agent has the project {} already", quote(.0.as_str()))]
    ProjectThere(AbsPath),
    /// There is none.
    #[error("the agent has no project {}", quote(.0.as_str()))]
    NoProject(AbsPath),
    /// There is one already.
    #[error("the agent's network has the entry {} already", quote(.0))]
    EntryThere(String),
    /// There is none.
    #[error("the agent's network has no entry {}", quote(.0))]
    NoEntry(String),
    /// The layout of the file is one that no edit was written for.
    #[error("line {line} of the policy is written in a way that can't be edited safely")]
    ByHand {
        /// The line, from 1.
        line: usize,
        /// What to write there.
        mend: String,
    },
}

impl EditError {
    /// What to do instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable(error) | Self::Refused(error) => error.hint(),
            Self::AgentThere(name) => format!("choose another name, or remove `{name}` first"),
            Self::NoAgent(_) => "`agentuser status` lists the agents".into(),
            Self::ProjectThere(_) | Self::EntryThere(_) => "nothing is left to do".into(),
            Self::NoEntry(_) => "`agentuser net list` lists what is open".into(),
            Self::NoProject(_) => "`agentuser status` lists the projects".into(),
            Self::ByHand { mend, .. } => mend.clone(),
        }
    }
}

const FILE: &str = "policy.yaml";

/// Adds an agent after the last one.
pub fn add_agent(text: &str, name: &AccountName, agent: &Agent) -> Result<String, EditError> {
    let mut wanted = read(text)?;
    if wanted.agents.insert(name.clone(), agent.clone()).is_some() {
        return Err(EditError::AgentThere(name.clone()));
    }
    let lines = render::agent_lines(name, agent);
    let mend = format!("add by hand, below `agents`:\n{}", lines.text(2));
    change(text, &wanted, &mend, |page, root| {
        let (key, agents) = root.get("agents")?;
        let Some(last) = page.entries(agents)?.pop() else {
            return open(page, root, agents, &lines.text(page.column(key.at.start)? + 2));
        };
        if page.is_flow(agents) {
            return None;
        }
        let block = lines.text(page.column(last.first)?);
        Some(insert(page, page.lines(&last)?.end, &block))
    })
}

/// Removes an agent with all that belongs to it.
pub fn remove_agent(text: &str, name: &AccountName) -> Result<String, EditError> {
    let mut wanted = read(text)?;
    if wanted.agents.remove(name).is_none() {
        return Err(EditError::NoAgent(name.clone()));
    }
    let mend = format!("remove the agent `{name}` by hand");
    change(text, &wanted, &mend, |page, root| {
        let (key, agents) = root.get("agents")?;
        let Kind::Map(entries) = &agents.kind else { return None };
        let index = entries.iter().position(|(key, _)| key.name == name.as_str())?;
        remove(page, key, agents, index, "{}")
    })
}

/// Adds a project after the agent's last one.
pub fn add_project(text: &str, agent: &AccountName, project: &Project) -> Result<String, EditError> {
    let mut wanted = read(text)?;
    let there = wanted.agents.get_mut(agent).ok_or_else(|| EditError::NoAgent(agent.clone()))?;
    if there.projects.iter().any(|other| other.path == project.path) {
        return Err(EditError::ProjectThere(project.path.clone()));
    }
    there.projects.push(project.clone());
    let lines = render::project_lines(project);
    let flow = render::project_flow(project);
    let mend = format!("add by hand, below `projects` of the agent `{agent}`:\n{}", lines.text(6));
    change(text, &wanted, &mend, |page, root| {
        let (_, node) = root.get("agents")?.1.get(agent.as_str())?;
        let Some((key, projects)) = node.get("projects") else {
            let flow = format!("projects: [{flow}]");
            return first_key(page, node, &EARLY, &render::first_project(project), &flow);
        };
        add_item(page, node, key, projects, &lines, &flow)
    })
}

/// Removes a project.
pub fn remove_project(text: &str, agent: &AccountName, path: &AbsPath) -> Result<String, EditError> {
    let mut wanted = read(text)?;
    let there = wanted.agents.get_mut(agent).ok_or_else(|| EditError::NoAgent(agent.clone()))?;
    let index = there.projects.iter().position(|project| project.path == *path);
    let index = index.ok_or_else(|| EditError::NoProject(path.clone()))?;
    there.projects.remove(index);
    let mend = format!("remove the project {} by hand", quote(path.as_str()));
    change(text, &wanted, &mend, |page, root| {
        let (_, node) = root.get("agents")?.1.get(agent.as_str())?;
        let (key, projects) = node.get("projects")?;
        remove(page, key, projects, index, "[]")
    })
}

fn read(text: &str) -> Result<Policy, EditError> {
    parse(text, FILE).map_err(EditError::Unreadable)
}

/// Makes a change, and checks that it is the one that was meant.
fn change(
    text: &str,
    wanted: &Policy,
    mend: &str,
    edit: impl Fn(Page<'_>, &Node<'_>) -> Option<String>,
) -> Result<String, EditError> {
    let page = Page(text);
    let by_hand = |line| EditError::ByHand { line, mend: mend.trim_end().into() };
    let Ok(root) = yaml::tree(text) else { return Err(by_hand(1)) };
    let line = root.get("agents").map_or(1, |(key, _)| page.line(key.at.start));
    let changed = edit(page, &root).ok_or_else(|| by_hand(line))?;
    match parse(&changed, FILE) {
        Ok(policy) if policy == *wanted => Ok(changed),
        // Where the value itself is refused, however it is written, the layout is not at fault.
        Err(error) if parse(&render::render(wanted), FILE).is_err() => Err(EditError::Refused(error)),
        Ok(_) | Err(_) => Err(by_hand(line)),
    }
}

fn insert(page: Page<'_>, at: usize, block: &str) -> String {
    page.replace(at..at, block)
}

/// Puts a block in place of an empty list or mapping in brackets; `parent` holds its key.
fn open(page: Page<'_>, parent: &Node<'_>, empty: &Node<'_>, block: &str) -> Option<String> {
    if page.is_flow(parent) {
        return None;
    }
    let end = page.end(empty)?;
    let below = page.line_end(end);
    let with_block = insert(page, below, block);
    let before = page.0[..empty.at.start].trim_end_matches(' ').len();
    Some(format!("{}{}", &with_block[..before], &with_block[end..]))
}

/// Keys of an agent that stand before its projects.
const EARLY: [&str; 5] = ["human", "shell", "groups", "sharing", "view"];

/// A key for an agent that does not have it yet, after those of `early` that it has: as lines, or in braces.
fn first_key(
    page: Page<'_>,
    agent: &Node<'_>,
    early: &[&str],
    lines: &render::Lines,
    flow: &str,
) -> Option<String> {
    let Kind::Map(entries) = &agent.kind else { return None };
    let extents = page.entries(agent)?;
    if page.is_flow(agent) {
        let end = extents.last()?.end;
        return Some(page.replace(end..end, &format!(", {flow}")));
    }
    let early = |(_, ((key, _), _)): &(usize, (&(Key<'_>, Node<'_>), &Entry))| early.contains(&&*key.name);
    let (index, _) = entries.iter().zip(&extents).enumerate().rfind(early)?;
    let entry = &extents[index];
    Some(insert(page, page.lines(entry)?.end, &lines.text(page.column(entry.first)?)))
}

/// Adds an item to the list of a key of `parent` that is there: as lines, or in braces.
fn add_item(
    page: Page<'_>,
    parent: &Node<'_>,
    key: &Key<'_>,
    items: &Node<'_>,
    lines: &render::Lines,
    flow: &str,
) -> Option<String> {
    let Some(last) = page.entries(items)?.pop() else {
        if page.is_flow(parent) {
            return Some(page.replace(items.at.start..page.end(items)?, &format!("[{flow}]")));
        }
        return open(page, parent, items, &lines.text(page.column(key.at.start)? + 2));
    };
    if page.is_flow(items) {
        return Some(page.replace(last.end..last.end, &format!(", {flow}")));
    }
    let block = lines.text(page.column(last.first)?);
    Some(insert(page, page.lines(&last)?.end, &block))
}

/// Removes the entry of a list or mapping; `empty` stands for one without entries.
fn remove(page: Page<'_>, key: &Key<'_>, parent: &Node<'_>, index: usize, empty: &str) -> Option<String> {
    let entries = page.entries(parent)?;
    let entry = entries.get(index)?;
    if page.is_flow(parent) {
        let range =
            match (entries.get(index + 1), index.checked_sub(1).and_then(|before| entries.get(before))) {
                (Some(next), _) => entry.first..next.first,
                (None, Some(before)) => before.end..entry.end,
                (None, None) => return Some(page.replace(parent.at.start..page.end(parent)?, empty)),
            };
        return Some(page.replace(range, ""));
    }
    if entries.len() == 1 {
        let lines = page.lines(entry)?;
        let colon = page.behind_colon(key)?;
        let without = page.replace(lines, "");
        return Some(format!("{} {empty}{}", &without[..colon], &without[colon..]));
    }
    let lines = if index == 0 { page.lines(entry)? } else { page.lines_with_heading(entry)? };
    Some(page.replace(lines, ""))
}

#[cfg(test)]
mod tests;
