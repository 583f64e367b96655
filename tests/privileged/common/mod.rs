//! What all privileged tests stand on.

mod human;
mod machine;
mod outcome;
mod snapshot;
mod terminal;

pub(crate) use human::{Administrator, Human};
pub(crate) use machine::{AGENT, Machine, PROGRAM, SECOND_AGENT, View};
pub(crate) use outcome::{Outcome, attempt, finish, processes_of, system, until, wait};
pub(crate) use snapshot::{Snapshot, times};
pub(crate) use terminal::Terminal;
