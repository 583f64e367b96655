//! Policy, facts and plans of this Mac, as the commands need them.

use super::{Failure, invoker};
use crate::{
    engine::{Plan, Receipt, StepReport, report},
    host::{Observe, System, macos, places},
    model::{AccountName, desired::Desired, facts::Facts},
    plan,
    policy::{self, Policy},
};

/// A policy, and what it comes to on this machine.
pub(super) struct Situation {
    pub(super) text: String,
    pub(super) policy: Policy,
    pub(super) facts: Facts,
}

impl Situation {
    /// Reads the facts for a policy.
    pub(super) fn of(text: String, file: &str, machine: &dyn Observe) -> Result<Self, Failure> {
        let policy = policy::parse(&text, file)?;
        let facts = macos::facts(&policy, machine)?;
        Ok(Self { text, policy, facts })
    }

    /// The policy that is in force.
    pub(super) fn present(machine: &dyn Observe) -> Result<Self, Failure> {
        let (text, _) = invoker::policy()?
            .ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup --policy FILE"))?;
        Self::of(text, places::POLICY, machine)
    }

    /// What must be there before anything can be set up.
    pub(super) fn refuse_unfit_machine(&self) -> Result<(), Failure> {
        if let Some((program, _)) = self.facts.missing.first() {
            return Err(Failure::new(anyhow::anyhow!("`{program}`, which is part of macOS, is not there")));
        }
        if !self.facts.sudo_reads_drop_ins {
            let error = anyhow::anyhow!("/etc/sudoers does not include /etc/sudoers.d");
            return Err(Failure::new(error)
                .hint("sudo visudo, and add the line `#includedir /private/etc/sudoers.d`"));
        }
        Ok(())
    }

    /// The desired state of one agent.
    pub(super) fn desired(&self, agent: &AccountName) -> Result<Desired, Failure> {
        Ok(plan::desire(&self.policy, agent, &self.facts)?)
    }

    /// The plans of the machine and of these agents.
    pub(super) fn plans(&self, agents: &[AccountName]) -> Result<Vec<Plan>, Failure> {
        let mut plans = vec![plan::machine(&self.text, &self.facts)];
        for agent in agents {
            plans.push(plan::agent(&self.desired(agent)?, &self.facts)?);
        }
        Ok(plans)
    }

    /// What a person should know of the policy.
    pub(super) fn notices(&self) -> Vec<String> {
        let mut notices = policy::warnings(&self.policy);
        for (name, agent) in &self.policy.agents {
            if agent.network.inbound == policy::Inbound::None {
                notices.push(format!(
                    "agent `{name}`: with `inbound: none` not even itself can call its own servers here"
                ));
            }
            let open = crate::presets::Expansion::of(&agent.network, name, &self.facts.catalog);
            let notes = open.unwrap_or_default().notes.into_iter();
            notices.extend(notes.map(|note| format!("agent `{name}`: {note}")));
        }
        notices
    }
}

/// Compares a plan with the machine.
pub(super) fn compare(plan: &Plan, machine: &System) -> Result<Vec<StepReport>, Failure> {
    let receipt = match Receipt::load(&plan.scope, machine) {
        Ok(receipt) => receipt,
        // Without a receipt to look into, all that matches is taken as ours.
        Err(error) if error.is_permission() && !invoker::is_root() => Receipt::assumed(plan),
        Err(error) => return Err(error.into()),
    };
    Ok(report(plan, &receipt, machine))
}

/// Agents of whom a receipt tells.
pub(super) fn agents_set_up(machine: &System) -> Result<Vec<AccountName>, Failure> {
    let names = machine.names(&places::fixed(places::STATE))?;
    let mut names: Vec<AccountName> = names
        .iter()
        .filter(|name| *name != places::machine_state().name())
        .filter_map(|name| name.parse().ok())
        .collect();
    names.sort();
    Ok(names)
}
