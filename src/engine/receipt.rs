//! The receipt: what was done to the machine, in the order in which it was done, on the disk before each change.

use crate::{
    host::{Act, FileState, HostError, Observe, Validator, places},
    model::{AbsPath, AccountName, Gid, Uid},
    step::{Account, AnyStep, DsAccount, Undo},
};
use serde::{Deserialize, Serialize};

/// The version of the receipt's form. A reader refuses a newer one; older ones stay readable.
const VERSION: u32 = 1;

/// How far a step got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was begun; whether it took effect is not known.
    Applying,
    /// It was applied, and found so.
    Applied,
}

/// One step that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The step.
    pub step: AnyStep,
    /// What was there before.
    pub undo: Undo,
    /// How far it got.
    pub state: State,
}

/// Whose receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What all agents share.
    Machine,
    /// One agent.
    Agent(AccountName),
}

impl Scope {
    /// The directory of its state.
    pub fn state(&self) -> AbsPath {
        match self {
            Self::Machine => places::machine_state(),
            Self::Agent(name) => places::state(name),
        }
    }

    fn receipt(&self) -> AbsPath {
        self.state().join("receipt.json")
    }
}

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    version: u32,
    /// Steps, the first one first.
    pub entries: Vec<Entry>,
}

impl Default for Receipt {
    fn default() -> Self {
        Self { version: VERSION, entries: Vec::new() }
    }
}

impl Receipt {
    /// Reads the receipt of a scope; an empty one where there is none.
    pub fn load(scope: &Scope, machine: &dyn Observe) -> Result<Self, HostError> {
        let path = scope.receipt();
        let Some(file) = machine.file(&path)? else { return Ok(Self::default()) };
        let unexpected = |is: String| HostError::Unexpected { path: path.to_string(), is };
        let receipt: Self = serde_json::from_slice(&file.bytes)
            .map_err(|error| unexpected(format!("is not a receipt: {error}")))?;
        if receipt.version > VERSION {
            return Err(unexpected(format!(
                "was written by a newer agentuser (version {})",
                receipt.version
            )));
        }
        Ok(receipt)
    }

    /// The receipt as it would be if all of a plan had been applied, for a reader who may not see the real one.
    pub fn assumed(plan: &super::Plan) -> Self {
        let entry = |step: &AnyStep| Entry { step: step.clone(), undo: Undo::Nothing, state: State::Applied };
        Self { version: VERSION, entries: plan.steps.iter().map(entry).collect() }
    }

    /// Writes the receipt; it is on the disk when this returns. An empty one is removed.
    pub fn store(&self, scope: &Scope, machine: &mut dyn Act) -> Result<(), HostError> {
        let path = scope.receipt();
        if self.entries.is_empty() {
            return machine.remove(&path);
        }
        let bytes =
            serde_json::to_vec_pretty(self).map_err(|error| HostError::path("can't write", &path, error))?;
        for dir in [places::fixed(places::STATE), scope.state()] {
            if machine.directory(&dir)?.is_none() {
                machine.make_dir(&dir, 0o755)?;
            }
        }
        machine.write(&path, &FileState { bytes, mode: 0o600, uid: Uid(0), gid: Gid(0) }, Validator::Nobody)
    }

    /// The account that it tells of.
    pub fn account(&self) -> Option<&Account> {
        self.entries.iter().find_map(|entry| match &entry.step {
            AnyStep::Account(account) | AnyStep::DsAccount(DsAccount { account, .. }) => Some(account),
            _ => None,
        })
    }

    /// The entry of a step.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.step.id() == id)
    }

    /// Puts an entry in place of the one with its id, or at the end.
    pub fn put(&mut self, entry: Entry) {
        let id = entry.step.id();
        match self.entries.iter_mut().find(|old| old.step.id() == id) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }

    /// Removes an entry.
    pub fn remove(&mut self, id: &str) {
        self.entries.retain(|entry| entry.step.id() != id);
    }
}
