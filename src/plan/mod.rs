//! From a policy and the facts of a machine to a plan. Pure: the same answer on every platform, for every caller.

mod cache;
mod desire;
mod linux;

pub use cache::{agent as kept_by_agent, machine as kept_by_machine};
pub use desire::{DesireError, desire, firewall, home, own_part};
pub use linux::{agent, machine};
