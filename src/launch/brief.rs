//! What a launch needs of the policy, made ready when the policy is put in force: the policy itself takes longer to read
//! than the rest of a launch.
//!
//! A brief is root's, and counts only as long as the policy file is, byte for byte, the one that it was made from.

use super::{
    canary::Flight, confine::Orders, environment::Rules, keeper, limits::Limits, repositories::Inside,
};
use crate::{
    formats::digest::fnv1a,
    host::{places, trust},
    model::{AbsPath, AccountName, Uid, view},
    plan,
    policy::{Agent, Dns, EnvPattern, Log, Outbound, Policy},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One agent's part of the policy, as far as it is for a launch to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// The agent.
    pub name: AccountName,
    /// Who may become it.
    pub human: String,
    /// Whether it is the human's only one.
    pub only: bool,
    /// Its login shell.
    pub shell: AbsPath,
    /// The shared directories.
    pub projects: Vec<AbsPath>,
    /// Directories before the standard ones in its `PATH`.
    pub path: Vec<AbsPath>,
    /// Variables that pass from the human.
    pub pass: Vec<EnvPattern>,
    /// Variables with fixed values.
    pub set: BTreeMap<String, String>,
    /// Whether what no rule names leaves the machine.
    pub outbound_allowed: bool,
    /// Whether names or an audit log need the guard.
    pub guarded: bool,
    /// What proves that the firewall holds.
    pub flight: Flight,
    /// How git is told of repositories inside of projects. Not known without a stamp.
    #[serde(default)]
    pub inside: Inside,
    /// Projects whose files a keeper keeps usable for both.
    pub kept: Vec<AbsPath>,
    /// What the command gives up.
    pub confine: Orders,
    /// What its sessions may use.
    pub limits: Limits,
    /// What root's half has to make; none with the plain view.
    pub private: Option<view::Private>,
}

impl Brief {
    /// The brief of an agent of a policy, with its view as it was settled.
    pub fn of(policy: &Policy, name: &AccountName, view: view::View) -> Option<Self> {
        let agent = policy.agents.get(name)?;
        let of_the_same = |other: &&Agent| other.human == agent.human;
        Some(Self {
            name: name.clone(),
            human: agent.human.to_string(),
            only: policy.agents.values().filter(of_the_same).count() == 1,
            shell: agent.shell.clone(),
            projects: agent.projects.iter().map(|project| project.path.clone()).collect(),
            path: agent.path.clone(),
            pass: agent.environment.pass.clone(),
            set: agent.environment.set.clone(),
            outbound_allowed: agent.network.outbound == Outbound::Allow,
            guarded: agent.network.dns == Dns::Gate || agent.network.log != Log::None,
            flight: Flight::of(&plan::firewall(Uid(0), vec![], &agent.network)),
            inside: Inside::OneByOne,
            kept: keeper::kept(agent, &view),
            confine: Orders::of(
                agent,
                &plan::home(name),
                view.private.is_some(),
                view.private.iter().flat_map(|private| &private.projects).any(|seen| seen.mapped),
            ),
            limits: Limits::from(&agent.limits),
            private: view.private,
        })
    }
}

impl Brief {
    /// What the environment of a session is made of.
    pub fn environment(&self) -> Rules<'_> {
        Rules {
            name: &self.name,
            shell: &self.shell,
            path: &self.path,
            pass: &self.pass,
            set: &self.set,
            has_projects: !self.projects.is_empty(),
        }
    }
}

impl<'a> From<&'a Brief> for super::relay::Way<'a> {
    fn from(brief: &'a Brief) -> Self {
        Self { agent: &brief.name, private: brief.private.is_some() }
    }
}

/// Why there is no brief.
#[derive(Debug, thiserror::Error)]
pub enum BriefError {
    /// What was put in force can't be read.
    #[error("can't read what was put in force: {0}")]
    Read(#[from] std::io::Error),
    /// The policy is malformed.
    #[error(transparent)]
    Policy(#[from] crate::policy::PolicyError),
    /// The account is no agent of the policy.
    #[error("`{0}` is no agent of the policy")]
    NoAgent(AccountName),
    /// The policy was edited, and not put in force.
    #[error("the policy of `{0}` was changed since it was put in force")]
    Changed(AccountName),
}

impl BriefError {
    /// The command to type next.
    pub fn hint(&self) -> String {
        match self {
            Self::Read(_) => "agentuser status, then agentuser setup".into(),
            Self::Policy(error) => error.hint(),
            Self::NoAgent(_) => "agentuser status".into(),
            Self::Changed(_) => "agentuser setup".into(),
        }
    }
}

/// The brief from the policy itself, for whoever finds none with the stamp. The agent's part must be the one that was put in
/// force, with the view that was settled then.
pub fn from_policy(text: &str, name: &AccountName) -> Result<Brief, BriefError> {
    let policy = crate::policy::parse(text, places::POLICY)?;
    let agent = policy.agents.get(name).ok_or_else(|| BriefError::NoAgent(name.clone()))?;
    let changed = || BriefError::Changed(name.clone());
    let read = |path: AbsPath| match std::fs::read(path.as_path()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(changed()),
        read => Ok(read?),
    };
    if read(places::in_force(name))? != plan::own_part(name, agent).as_bytes() {
        return Err(changed());
    }
    let view = view::View::kept(&read(places::view(name))?).ok_or_else(changed)?;
    Brief::of(&policy, name, view).ok_or_else(changed)
}

/// Word that an agent's rules were put in force, in which boot and network namespace, and for which policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The boot and the network namespace, as [`moment`] tells them.
    pub moment: String,
    /// A digest of the policy file.
    pub policy: u64,
    /// The agent's part of it; none where the file asks for something else than what is in force.
    pub brief: Option<Brief>,
}

impl Stamp {
    /// The stamp for an agent of a policy file, whose part in force is known, and its view as it was settled.
    pub fn new(
        text: &str,
        policy: &Policy,
        name: &AccountName,
        in_force: Option<&str>,
        view: Option<view::View>,
    ) -> Self {
        let own = policy.agents.get(name).map(|agent| plan::own_part(name, agent));
        let brief = view.filter(|_| own.as_deref() == in_force);
        let brief = brief.and_then(|view| Brief::of(policy, name, view));
        Self { moment: moment(), policy: fnv1a(text.bytes()), brief }
    }

    /// The stamp of an agent, where there is one that root alone can have written.
    pub fn read(name: &AccountName) -> Option<Self> {
        let path = places::stamp(name);
        trust::check(path.as_path()).ok()?;
        serde_json::from_slice(&std::fs::read(path.as_path()).ok()?).ok()
    }

    /// The brief, if it was made from this policy file.
    pub fn brief_for(self, text: &str) -> Option<Brief> {
        self.brief.filter(|_| self.policy == fnv1a(text.bytes()))
    }
}

/// This boot and this network namespace, as text.
pub fn moment() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let net = std::fs::read_link("/proc/self/ns/net").unwrap_or_default();
    format!("{} {}", boot.trim(), net.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "version: 1\nagents:\n  bot: {human: ann, environment: {set: {EDITOR: vi}}}\n";

    fn stamp(in_force: impl FnOnce(&Policy) -> Option<String>) -> Stamp {
        let (policy, name) = (crate::policy::parse(POLICY, "p").unwrap(), "bot".parse().unwrap());
        let view = view::View { version: 1, ..view::View::default() };
        Stamp::new(POLICY, &policy, &name, in_force(&policy).as_deref(), Some(view))
    }

    #[test]
    fn a_brief_counts_for_its_own_policy_alone() {
        let own = |policy: &Policy| {
            let (name, agent) = policy.agents.iter().next()?;
            Some(plan::own_part(name, agent))
        };
        let json = serde_json::to_vec(&stamp(own)).unwrap();
        let read = || serde_json::from_slice::<Stamp>(&json).unwrap();
        assert_eq!(read(), stamp(own));
        let brief = read().brief_for(POLICY).unwrap();
        assert_eq!((brief.human.as_str(), brief.only, brief.set["EDITOR"].as_str()), ("ann", true, "vi"));
        assert_eq!(read().brief_for(&POLICY.replace("vi", "ed")), None);
        assert_eq!(stamp(|_| None).brief_for(POLICY), None);
    }
}
