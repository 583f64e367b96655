//! `helper renew`: what the guard has done now and then. Names of `dns: system` are resolved anew, and ranges are fetched; what
//! they stand for goes into the rules that are in force, and nothing else changes.
//!
//! It is taken unasked, so it must not open what nobody chose. Hosts of the human's tools are not looked at. An agent whose
//! part of the policy file is another one than that in force is left to `setup`. What looks wrong leaves the last good ranges.

use super::propose;
use crate::{
    cli::{Failure, invoker, printer, situation::Situation},
    engine::{Plan, Receipt, Scope, Silent, State, renew as put_in_force},
    host::{Lock, Observe, System, catalog, places},
    model::{AccountName, catalog::Catalog, facts::Facts},
    plan,
    policy::{Agent, Dns},
    step::{AnyStep, Netfilter, NftTable, PfAnchor},
};
use std::{process::ExitCode, time::Duration};

/// How long it waits for a command that changes the machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Looks up anew and takes what is good. Fails where something could not be had.
pub(in crate::cli) fn renew(ranges: bool) -> Result<ExitCode, Failure> {
    let Some((text, policy)) = invoker::policy()? else { return Ok(ExitCode::SUCCESS) };
    let mut machine = System::new();
    // The catalog alone: in its unit the guard may read little else.
    let facts = Facts { catalog: catalog::catalog(&policy, &machine)?, ..Facts::default() };
    let agents: Vec<AccountName> = policy.agents.keys().cloned().collect();
    let mut situation = Situation { text, policy, facts, told: vec![] };
    let mut lines = propose::addresses(&mut situation, &agents, true);
    if ranges {
        lines.extend(propose::published(&mut situation));
    }
    for note in &situation.told {
        printer::warn(note);
    }
    let lock = Lock::take(PATIENCE, || {})?;
    if invoker::policy()?.is_none_or(|(text, _)| text != situation.text) {
        // Another command was faster: the next time is soon.
        return Ok(ExitCode::SUCCESS);
    }
    let catalog = &situation.facts.catalog;
    let steps = plan::kept_by_machine(catalog);
    if !steps.is_empty() {
        put_in_force(&Plan { scope: Scope::Machine, steps }, &mut machine, &mut Silent)?;
    }
    for (name, agent) in &situation.policy.agents {
        let scope = Scope::Agent(name.clone());
        let Some(steps) = steps_of(name, agent, &scope, catalog, &machine)? else { continue };
        put_in_force(&Plan { scope, steps }, &mut machine, &mut Silent)?;
    }
    drop(lock);
    for line in &lines {
        printer::say(line);
    }
    Ok(if situation.told.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The steps of an agent's network as they are in force, with other addresses; none where that is not for us to change.
fn steps_of(
    name: &AccountName,
    agent: &Agent,
    scope: &Scope,
    catalog: &Catalog,
    machine: &System,
) -> Result<Option<Vec<AnyStep>>, Failure> {
    let in_force = machine.file(&places::in_force(name))?;
    if in_force.is_none_or(|file| file.bytes != plan::own_part(name, agent).as_bytes()) {
        return Ok(None);
    }
    let open = crate::presets::Expansion::of(&agent.network, name, catalog)
        .map_err(|error| Failure::usage(error.to_string()).hint(error.hint()))?;
    let mut steps = plan::kept_by_agent(name, catalog);
    for entry in Receipt::load(scope, machine)?.entries {
        let renewed = |firewall| {
            let mut firewall: crate::model::desired::Firewall = firewall;
            firewall.allow = open.nets();
            if agent.network.dns == Dns::System {
                firewall.resolvers.clone_from(&catalog.resolvers);
            }
            firewall
        };
        match entry.step {
            // A setup that was cut off goes on first.
            AnyStep::Netfilter(_) | AnyStep::NftTable(_) | AnyStep::PfAnchor(_)
                if entry.state != State::Applied =>
            {
                return Ok(None);
            }
            AnyStep::Netfilter(step) => {
                steps.push(Netfilter { firewall: renewed(step.firewall), ..step }.into());
            }
            AnyStep::NftTable(step) => {
                steps.push(NftTable { firewall: renewed(step.firewall), ..step }.into());
            }
            AnyStep::PfAnchor(step) => {
                steps.push(PfAnchor { firewall: renewed(step.firewall), ..step }.into());
            }
            _ => {}
        }
    }
    Ok(Some(steps))
}
