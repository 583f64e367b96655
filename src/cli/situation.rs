//! Policy, facts and plans of this machine, as the commands need them.

use super::{Failure, invoker};
use crate::{
    engine::{Plan, Receipt, Scope, StepReport, report},
    host::{Observe, System, cgroup, gather, places},
    launch::view,
    model::{AbsPath, AccountName, desired::Desired, facts::Facts, view::View},
    plan,
    policy::{self, Agent, Policy, Sharing},
    presets::Expansion,
    step::Layer,
};

/// A policy, and what it comes to on this machine.
pub(crate) struct Situation {
    /// The policy as text.
    pub(crate) text: String,
    /// The policy.
    pub(crate) policy: Policy,
    /// Facts of the machine.
    pub(crate) facts: Facts,
    /// What was found out beside the facts and a person should know, one line each.
    pub(crate) told: Vec<String>,
}

impl Situation {
    /// Reads the facts for a policy. What the policy asks for and can't be given yet is refused by name.
    pub(crate) fn of(text: String, file: &str, machine: &dyn Observe) -> Result<Self, Failure> {
        let policy = policy::parse(&text, file)?;
        let mut facts = gather::facts(&policy, machine)?;
        facts.no_private_view = view::why_not();
        for agent in policy.agents.values().filter(|agent| agent.sharing == Sharing::Mount) {
            let Some(human) = facts.humans.get(agent.human.as_str()) else { continue };
            for project in &agent.projects {
                let why = view::why_not_mapped(&project.path, human);
                facts.not_mappable.extend(why.map(|why| (project.path.clone(), why)));
            }
        }
        if !invoker::is_root() {
            recall(&mut facts, &policy, machine);
        }
        facts.no_cgroup = cgroup::why_not();
        Ok(Self { text, policy, facts, told: vec![] })
    }

    /// What must be there before anything can be set up.
    pub(crate) fn refuse_unfit_machine(&self) -> Result<(), Failure> {
        if !self.facts.missing.is_empty() {
            let names: Vec<_> = self.facts.missing.iter().map(|(program, _)| *program).collect();
            let mut packages: Vec<_> = self.facts.missing.iter().map(|(_, package)| *package).collect();
            packages.sort_unstable();
            packages.dedup();
            let hint =
                format!("sudo apt-get install {}, or what your distribution calls them", packages.join(" "));
            return Err(Failure::new(anyhow::anyhow!("not installed: {}", names.join(", "))).hint(hint));
        }
        if !self.facts.sudo_reads_drop_ins {
            let error = anyhow::anyhow!("/etc/sudoers does not include /etc/sudoers.d");
            return Err(
                Failure::new(error).hint("sudo visudo, and add the line `@includedir /etc/sudoers.d`")
            );
        }
        Ok(())
    }

    /// The desired state of one agent.
    pub(crate) fn desired(&self, agent: &AccountName) -> Result<Desired, Failure> {
        Ok(plan::desire(&self.policy, agent, &self.facts)?)
    }

    /// What the network policy of one agent comes to.
    pub(crate) fn open(&self, agent: &AccountName) -> Result<Expansion, Failure> {
        let network = &self.policy.agents[agent].network;
        Expansion::of(network, agent, &self.facts.catalog)
            .map_err(|error| Failure::usage(error.to_string()).hint(error.hint()))
    }

    /// The plan of what all agents share.
    pub(crate) fn machine_plan(&self) -> Plan {
        plan::machine(&self.text, &self.facts)
    }

    /// The plan of one agent.
    pub(crate) fn agent_plan(&self, agent: &AccountName) -> Result<Plan, Failure> {
        Ok(plan::agent(&self.desired(agent)?, &self.facts)?)
    }

    /// Whether one of these agents has sub-uids.
    pub(crate) fn gives_sub_uids(&self, agents: &[AccountName]) -> Result<bool, Failure> {
        for agent in agents {
            if !self.desired(agent)?.firewall.sub_uids.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What this machine lacks, in words for a person.
    pub(crate) fn notices(&self) -> Vec<String> {
        let mut notices = policy::warnings(&self.policy);
        for name in self.policy.agents.keys() {
            let open = self.open(name).unwrap_or_default();
            notices.extend(open.notes.into_iter().map(|note| format!("agent `{name}`: {note}")));
        }
        for (name, agent) in &self.policy.agents {
            let Ok(desired) = self.desired(name) else { continue };
            let hidden = desired.view.private.map(|_| out_of_sight(agent, &desired.human.home));
            notices.extend(hidden.into_iter().flatten().map(|path| {
                format!(
                    "agent `{name}`: {path} is out of sight in its private view: agentuser share --read-only {path}, \
                     or a directory above it"
                )
            }));
        }
        notices.extend(self.told.iter().cloned());
        if !self.facts.systemd {
            notices.push(
                "no systemd here: nothing loads the rules at boot; the first `agentuser run` after a boot does".into(),
            );
        }
        if !self.facts.nft {
            notices.push(
                "nft is not installed: there is no second belt when another tool flushes the iptables rules"
                    .into(),
            );
        }
        if self.facts.sshd_reads_drop_ins == Some(false) {
            notices.push(
                "sshd does not read /etc/ssh/sshd_config.d: a key in the agent's own home could log in; \
                 add `DenyUsers` for it to /etc/ssh/sshd_config"
                    .into(),
            );
        }
        notices
    }
}

/// What a policy names in the human's home and does not share: the private view masks it.
fn out_of_sight<'a>(agent: &'a Agent, home: &AbsPath) -> Vec<&'a AbsPath> {
    let named = agent.path.iter().chain(&agent.confine.read).chain(&agent.confine.write);
    let shared = |path: &AbsPath| agent.projects.iter().any(|project| path.is_within(&project.path));
    named.filter(|path| path.is_within(home) && !shared(path)).collect()
}

/// What only root can try was settled at setup: whoever can't try takes it from there.
fn recall(facts: &mut Facts, policy: &Policy, machine: &dyn Observe) {
    for name in policy.agents.keys() {
        let settled = machine.file(&places::view(name)).ok().flatten();
        if let Some(view) = settled.and_then(|file| View::kept(&file.bytes)) {
            facts.no_private_view = facts.no_private_view.take().or(view.why);
            facts.not_mappable.extend(view.not_mapped);
        }
    }
}

/// Compares a plan with the machine, with or without the steps on a human's files.
pub(crate) fn compare(plan: &Plan, machine: &System, sharing: bool) -> Result<Vec<StepReport>, Failure> {
    let receipt = match Receipt::load(&plan.scope, machine) {
        Ok(receipt) => receipt,
        Err(error) if error.is_permission() && !invoker::is_root() => {
            // Without a receipt to look into, all that matches is taken as ours.
            Receipt::assumed(plan)
        }
        Err(error) => return Err(error.into()),
    };
    let wanted = |layer: Layer| sharing || layer != Layer::Sharing;
    let steps = plan.steps.iter().filter(|step| wanted(step.describe().layer)).cloned().collect();
    let mut reports = report(&Plan { scope: plan.scope.clone(), steps }, &receipt, machine);
    let in_plan = |report: &StepReport| plan.steps.iter().any(|step| step.id() == report.id);
    reports.retain(|report| !(report.left_over && in_plan(report)));
    Ok(reports)
}

/// Names of the agents that have a receipt.
pub(crate) fn agents_set_up(machine: &dyn Observe) -> Result<Vec<AccountName>, Failure> {
    let names = machine.names(&places::fixed(places::STATE))?;
    let mut agents: Vec<AccountName> =
        names.iter().filter(|name| *name != "machine").filter_map(|name| name.parse().ok()).collect();
    agents.retain(|name| receipt_exists(machine, name));
    agents.sort();
    Ok(agents)
}

fn receipt_exists(machine: &dyn Observe, name: &AccountName) -> bool {
    let path: AbsPath = Scope::Agent(name.clone()).state();
    machine.names(&path).is_ok_and(|names| names.iter().any(|name| name == "receipt.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_view_hides_is_told() {
        let text = "version: 1\nagents:\n  bot:\n    human: ann\n    projects:\n      - path: /home/ann/node\n        \
                    access: read-only\n    path: [/home/ann/node/bin, /home/ann/go/bin, /opt/bin]\n    confine:\n      \
                    read: [/home/ann/data, /srv/data]\n";
        let policy = policy::parse(text, "p").unwrap();
        let hidden = out_of_sight(&policy.agents[&"bot".parse().unwrap()], &"/home/ann".parse().unwrap());
        let hidden: Vec<_> = hidden.iter().map(|path| path.as_str()).collect();
        assert_eq!(hidden, ["/home/ann/go/bin", "/home/ann/data"]);
    }
}
