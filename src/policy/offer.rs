//! What a repository asks for: its `agentuser.yaml`, which anybody who works there can write, the agent too. So it is no
//! policy. It is shown beside the policy in force, and what a person agrees to is added to that.

use super::{Access, Allow, Deny, Dns, Policy, Project, Setting, edit, edit::EditError};
use crate::model::AccountName;

/// The file's name, at the top of a repository.
pub const OFFER: &str = "agentuser.yaml";

/// What the file asks for. It adds to a policy and never takes anything away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Directories in the repository.
    pub projects: Vec<Project>,
    /// Keys of `network` that take one word.
    pub settings: Vec<Setting>,
    /// What to let through.
    pub allow: Vec<Allow>,
    /// What to refuse.
    pub deny: Vec<Deny>,
}

/// One difference that an offer would make to a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A project that the policy does not have, or has with the other access.
    Project {
        /// The project as it would be.
        project: Project,
        /// What the agent may do there now.
        now: Option<Access>,
    },
    /// A key of `network` with another word.
    Setting {
        /// The key as it would be.
        setting: Setting,
        /// As it is.
        now: Setting,
    },
    /// A destination that would be let through.
    Allow(Allow),
    /// A network that would be refused.
    Deny(Deny),
}

impl Offer {
    /// What it would change for an agent.
    pub fn wishes(&self, policy: &Policy, agent: &AccountName) -> Result<Vec<Wish>, EditError> {
        let there = policy.agents.get(agent).ok_or_else(|| EditError::NoAgent(agent.clone()))?;
        let network = &there.network;
        let projects = self.projects.iter().filter_map(|project| {
            let now =
                there.projects.iter().find(|known| known.path == project.path).map(|known| known.access);
            (now != Some(project.access)).then(|| Wish::Project { project: project.clone(), now })
        });
        let covered = |allow: &&Allow| !network.allow.iter().any(|entry| entry.covers(allow));
        let allow = self.allow.iter().filter(covered).cloned().map(Wish::Allow);
        let deny = self.deny.iter().filter(|deny| !network.deny.contains(deny)).cloned().map(Wish::Deny);
        let settings = self.settings.iter().copied().chain(self.gate(network.dns)).filter_map(|setting| {
            let now = setting.of(network);
            (now != setting).then_some(Wish::Setting { setting, now })
        });
        Ok(projects.chain(settings).chain(allow).chain(deny).collect())
    }

    /// Names that nobody resolves open nothing.
    fn gate(&self, now: Dns) -> Option<Setting> {
        let by_name = |entry: &Allow| matches!(entry, Allow::Preset { .. } | Allow::Domain { .. });
        let says = self.settings.iter().any(|setting| matches!(setting, Setting::Dns(_)));
        (now == Dns::None && !says && self.allow.iter().any(by_name)).then_some(Setting::Dns(Dns::Gate))
    }
}

impl Wish {
    /// Puts it into the text of a policy.
    pub fn add_to(&self, text: &str, agent: &AccountName) -> Result<String, EditError> {
        match self {
            Self::Project { project, now: None } => edit::add_project(text, agent, project),
            Self::Project { project, now: Some(_) } => {
                edit::set_access(text, agent, &project.path, project.access)
            }
            Self::Setting { setting, .. } => edit::set(text, agent, *setting),
            Self::Allow(allow) => edit::add_allow(text, agent, allow),
            Self::Deny(deny) => edit::add_deny(text, agent, deny),
        }
    }
}

#[cfg(test)]
mod tests;
