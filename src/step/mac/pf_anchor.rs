//! The rules of one agent in an anchor of pf of their own.
//!
//! pfctl(8) prints rules otherwise than they are written: lists expanded, ports by name, states with flags. So what it prints
//! right after the load is kept, and compared later; tables are compared with the policy itself, but for those that the DNS
//! gate fills.

use super::text;
use crate::{
    formats::{
        pf,
        pfctl::{self, Main},
    },
    host::{Act, Command, FileState, HostError, MacQuery, Observe, Program, Validator},
    model::{AbsPath, Gid, Uid, desired::Firewall},
    step::{Check, Description, Layer, Step, Undo, carried::carried},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The anchor of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PfAnchor {
    /// What it lets out.
    pub firewall: Firewall,
    /// Where the text read back after the load is kept.
    pub record: AbsPath,
    /// Where the DNS gate keeps what it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AbsPath>,
}

/// What was loaded, and how pfctl(8) of this machine prints it.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Record {
    loaded: String,
    listed: String,
}

impl PfAnchor {
    fn uid(&self) -> Uid {
        self.firewall.uid
    }

    fn listed(&self, machine: &dyn Observe) -> Result<String, HostError> {
        let rules = text(MacQuery::PfRules(self.uid()), machine)?;
        if self.firewall.gate.is_none() {
            return Ok(rules);
        }
        Ok(rules + &text(MacQuery::PfTurned(self.uid()), machine)?)
    }

    /// Whether the main ruleset asks anchors where a packet is to be turned to, as macOS has it.
    fn turns(&self, machine: &dyn Observe) -> Result<bool, HostError> {
        if self.firewall.gate.is_none() {
            return Ok(true);
        }
        let (rules, nat) = (text(MacQuery::PfMain, machine)?, text(MacQuery::PfNat, machine)?);
        // That it calls no anchor at all is told by the step that has pf on.
        Ok(pfctl::turns(&nat) || pfctl::main_rules(&rules, &nat) != Main::CallsOurs)
    }

    fn record(&self, machine: &dyn Observe) -> Result<Option<Record>, HostError> {
        let file = machine.file(&self.record)?;
        Ok(file.and_then(|file| serde_json::from_slice(&file.bytes).ok()))
    }

    /// `-o none`: the optimizer would put rules in another order.
    fn load(&self) -> Command {
        Command::new(Program::Pfctl, ["-o", "none", "-a", &pf::anchor(self.uid()), "-f", "-"])
    }

    /// Tables that hold something else than the policy says.
    fn table_faults(&self, machine: &dyn Observe) -> Result<Vec<String>, HostError> {
        let mut faults = Vec::new();
        for table in pf::tables(&self.firewall) {
            let there = pfctl::table(&text(MacQuery::PfTable(self.uid(), table.name.clone()), machine)?);
            let wanted: BTreeSet<_> = table.nets.into_iter().collect();
            if there != wanted {
                let (gone, added) = (wanted.difference(&there).count(), there.difference(&wanted).count());
                faults.push(format!("table {}: {gone} entries missing, {added} added", table.name));
            }
        }
        Ok(faults)
    }
}

impl Step for PfAnchor {
    fn id(&self) -> String {
        format!("pf-anchor:{}", self.uid())
    }

    fn describe(&self) -> Description {
        let rules = pf::render(&self.firewall);
        let rules = rules.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        Description {
            layer: Layer::Network,
            title: format!(
                "firewall of uid {}: {}",
                self.uid(),
                crate::step::netfilter::summary(&self.firewall)
            ),
            why: "the agent reaches what the policy lists, and nothing else",
            change: vec![
                format!("{} ({rules} lines)", self.load().line()),
                "states of before are ended".into(),
            ],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let listed = self.listed(machine)?;
        if listed.trim().is_empty() {
            return Ok(Check::Missing);
        }
        let mut faults = match self.record(machine)? {
            Some(record) if record.loaded != pf::render(&self.firewall) => {
                return Ok(Check::Drifted(vec!["it was made from another policy".into()]));
            }
            Some(record) if record.listed == listed => vec![],
            Some(_) => vec!["its rules were changed".into()],
            None => vec!["nothing tells what was loaded".into()],
        };
        if faults.is_empty() {
            faults = self.table_faults(machine)?;
        }
        if !self.turns(machine)? {
            let call = pf::CALL;
            return Ok(Check::Foreign(format!(
                "another tool replaced the main rules: without `rdr-anchor \"{call}\"` port 53 does not lead to the gate"
            )));
        }
        Ok(Check::of(faults))
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let void = self.listed(machine.observe())?.trim().is_empty();
        if void {
            // What runs may hold flows that no rule let out.
            machine.end_processes(self.uid(), &[])?;
        }
        let carried = carried(self.answers.as_ref(), &self.firewall, machine.observe())?;
        let carried: Vec<_> = carried.into_iter().map(|(table, address, _)| (table, address)).collect();
        machine.run(&self.load().reading(pf::render_with(&self.firewall, &carried)))?;
        // A state outlives the rule that made it.
        machine.clear_states()?;
        if void {
            machine.end_processes(self.uid(), &[])?;
        }
        let record = Record { loaded: pf::render(&self.firewall), listed: self.listed(machine.observe())? };
        let bytes = serde_json::to_vec(&record)
            .map_err(|error| HostError::path("can't write", &self.record, error))?;
        machine.write(
            &self.record,
            &FileState { bytes, mode: 0o600, uid: Uid(0), gid: Gid(0) },
            Validator::Nobody,
        )?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.end_processes(self.uid(), &[])?;
        // A gate fills no table of an anchor without a record.
        machine.remove(&self.record)?;
        machine.run(&Command::new(Program::Pfctl, ["-a", &pf::anchor(self.uid()), "-F", "all"]))?;
        Ok(vec![])
    }

    /// An anchor of this name says for itself whose it is.
    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}
