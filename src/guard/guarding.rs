//! An agent that is guarded: its policy, its gate, and what its gate answered.

use super::{
    Agent,
    gates::{self, Gate},
    state::Guarded,
};
use crate::{audit::journal::Journal, gate::answers::Answers, step::Netfilter};
use std::sync::{Arc, Mutex};

/// An agent that is guarded.
pub(super) struct Guarding {
    pub(super) agent: Agent,
    pub(super) answers: Arc<Mutex<Answers>>,
    gate: Option<Gate>,
    /// Why the rules could not be put in force.
    pub(super) fault: Option<String>,
    /// Why the gate could not be opened.
    closed: Option<String>,
}

impl Guarding {
    /// An agent with what its gate answered before, its gate still closed.
    pub(super) fn new(agent: Agent) -> Self {
        let answers = Arc::new(Mutex::new(gates::remembered(&agent.name)));
        Self { agent, answers, gate: None, fault: None, closed: None }
    }

    /// Takes the policy of a receipt: the gate is opened, changed, moved to another port or closed.
    pub(super) fn take(&mut self, agent: Agent, journal: &Arc<Mutex<Journal>>) {
        let changed = self.agent.rules != agent.rules;
        self.agent = agent;
        let Agent { name, rules: Netfilter { firewall, .. }, .. } = &self.agent;
        if self.gate.as_ref().map(Gate::port) != firewall.gate {
            self.gate = None;
        }
        match &self.gate {
            Some(gate) if changed => gate.change(name, firewall),
            Some(_) => {}
            None => self.open_gate(journal),
        }
    }

    /// Opens the gate that the policy wants, where it is not open.
    pub(super) fn open_gate(&mut self, journal: &Arc<Mutex<Journal>>) {
        let Agent { name, rules: Netfilter { firewall, .. }, .. } = &self.agent;
        let Some(port) = firewall.gate.filter(|_| self.gate.is_none()) else { return };
        let gate = Gate::open(name, firewall, port, self.answers.clone(), journal.clone());
        self.closed = gate.as_ref().err().map(|error| format!("DNS gate at port {port}: {error}"));
        self.gate = gate.ok();
    }

    /// What is told of it.
    pub(super) fn state(&self) -> Guarded {
        let of_gate = || self.closed.clone().or_else(|| self.gate.as_ref()?.fault());
        Guarded {
            name: self.agent.name.to_string(),
            gate: self.gate.as_ref().map(Gate::port),
            restarts: self.gate.as_ref().map_or(0, Gate::restarts),
            fault: self.fault.clone().or_else(of_gate),
        }
    }
}
