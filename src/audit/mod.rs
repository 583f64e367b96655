//! The audit log: what was refused to an agent, and on request each new flow, as lines of JSON that its human reads and the
//! agent can neither read nor change.
//!
//! ```text
//! rules -- NFLOG group --> listener: no privilege, reads packets -- who, where to, how often --> journal: root, finds the
//! DNS gate -- refused names ---------------------------------------------------------------->    process, writes
//! ```

pub mod file;
mod record;
pub mod tally;
pub mod view;

crate::on_linux! {
    pub mod journal;
    pub mod listener;
    pub(crate) mod process;
}

pub use record::{Act, Denial, Record, parse, since};

use crate::{
    host::places,
    model::{AbsPath, AccountName},
};

/// Where the logs are.
pub const DIRECTORY: &str = places::LOGS;

/// The log of an agent.
pub fn path(agent: &AccountName) -> AbsPath {
    places::fixed(DIRECTORY).join(&format!("{agent}.jsonl"))
}
