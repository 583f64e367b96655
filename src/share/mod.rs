//! Sharing: what is shared with whom, and what a pass over the files found.
//!
//! These are values, for plans, receipts and reports on every platform. The work itself is in the module of its kind of
//! ACL: POSIX ACLs of Linux in `posix`, those of macOS in `aces`.

pub mod aces;
mod report;

pub use crate::model::desired::Access;
pub use aces::{AceJob, AcePrior, Aces, PassJob};
crate::on_linux! {
    mod posix;
    pub use posix::*;
}
pub use report::{Finding, Passage, PassageEnd, Report, Why};

use crate::model::{AbsPath, Uid};
use serde::{Deserialize, Serialize};

/// A project, and who shares it how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The project directory.
    pub root: AbsPath,
    /// The agent.
    pub agent: Uid,
    /// The human.
    pub human: Uid,
    /// What the agent may do.
    pub access: Access,
    /// How many threads walk the tree, from 1 to [`MOST_THREADS`].
    pub threads: usize,
    /// Whether files with names outside the project are replaced by copies, so that the agent may write them.
    pub break_links: bool,
}
