//! An agent that is guarded: its policy, its gate, and what its gate answered.

use super::{Agent, state::Guarded};
use crate::{
    audit::journal::Journal,
    gate::{
        answers::Answers,
        fill,
        keeper::take_over,
        running::{self, Gate, lock},
    },
    model::{AccountName, desired::Firewall},
    step::Netfilter,
};
use std::sync::{Arc, Mutex};

/// Puts what still lives into the sets, after these were made anew.
pub(super) fn fill(name: &AccountName, firewall: &Firewall, answers: &Mutex<Answers>) {
    if !firewall.names.is_empty() {
        let living = lock(answers).clone();
        // Sets that are not there yet are filled by the gate, with its next answers.
        let _ = fill::open(&running::order(name, firewall))
            .and_then(|mut sets| take_over(&living, firewall, sets.as_mut()));
    }
}

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
        let answers = Arc::new(Mutex::new(running::remembered(&agent.name)));
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
        let journal = journal.clone();
        let told = move |uid, why, count, name: &str| lock(&journal).name_refused(uid, why, count, name);
        let gate = Gate::open(name, firewall, port, self.answers.clone(), Arc::new(told));
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
