//! Policy, facts and plans of this machine, as the commands need them.

use super::{Failure, invoker, system};
use crate::{
    engine::{Plan, Receipt, Scope, StepReport, report},
    host::{Observe, System, places},
    model::{AbsPath, AccountName, desired::Desired, facts::Facts},
    plan,
    policy::{self, Policy},
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
        let facts = system::facts(&policy, machine)?;
        Ok(Self { text, policy, facts, told: vec![] })
    }

    /// What must be there before anything can be set up.
    pub(crate) fn refuse_unfit_machine(&self) -> Result<(), Failure> {
        system::refuse_unfit_machine(&self.facts)
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

    /// What this machine lacks, in words for a person.
    pub(crate) fn notices(&self) -> Vec<String> {
        let mut notices = policy::warnings(&self.policy);
        for name in self.policy.agents.keys() {
            let open = self.open(name).unwrap_or_default();
            notices.extend(open.notes.into_iter().map(|note| format!("agent `{name}`: {note}")));
        }
        notices.extend(system::notices(self));
        notices.extend(self.told.iter().cloned());
        notices
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
