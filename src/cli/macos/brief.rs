//! What a launch, and the commands that start one, need of the policy.

use crate::{
    cli::{Failure, Global, invoker},
    launch::{environment::Rules, relay::Way},
    model::{AbsPath, AccountName},
    policy::{Agent, Outbound},
    review::Snapshot,
};
use std::time::Duration;

/// One agent's part of the policy.
pub(in crate::cli) struct Brief {
    /// The agent.
    pub(in crate::cli) name: AccountName,
    /// Who may become it.
    pub(in crate::cli) human: String,
    /// The shared directories.
    pub(in crate::cli) projects: Vec<AbsPath>,
    /// Directories before the standard ones in its `PATH`.
    pub(in crate::cli) path: Vec<AbsPath>,
    /// Its part of the policy.
    agent: Agent,
}

impl Brief {
    /// What the environment of a session is made of.
    pub(super) fn environment(&self) -> Rules<'_> {
        rules(&self.name, &self.agent)
    }

    /// Whether its sessions run under a Seatbelt profile.
    pub(super) fn seatbelt(&self) -> bool {
        self.agent.confine.seatbelt == Some(true)
    }

    /// Whether what no rule names leaves the machine.
    pub(super) fn outbound_allowed(&self) -> bool {
        self.agent.network.outbound == Outbound::Allow
    }
}

impl<'a> From<&'a Brief> for Way<'a> {
    fn from(brief: &'a Brief) -> Self {
        Self { agent: &brief.name, private: false }
    }
}

/// The brief of the agent that is meant.
pub(in crate::cli) fn brief(global: &Global) -> Result<Brief, Failure> {
    let (_, policy) =
        invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
    let name = invoker::agent(&policy, global)?;
    let agent = policy.agents[&name].clone();
    Ok(Brief {
        human: agent.human.to_string(),
        projects: agent.projects.iter().map(|project| project.path.clone()).collect(),
        path: agent.path.clone(),
        name,
        agent,
    })
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

/// What is the agent's outside of its projects is not looked for here.
#[expect(clippy::unnecessary_wraps, reason = "on Linux it is looked for")]
pub(in crate::cli) fn outside(_: &Brief, _: Duration) -> Result<Option<Snapshot>, Failure> {
    Ok(None)
}
