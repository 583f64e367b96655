//! From a policy and the facts of a machine to a plan. Pure: the same answer on every platform, for every caller.

mod cache;
mod desire;
mod linux;
mod macos;
mod parts;

pub use cache::{agent as kept_by_agent, machine as kept_by_machine};
pub use desire::{DesireError, desire, firewall, home, own_part};

use crate::{
    engine::Plan,
    model::{desired::Desired, facts::Facts},
};

/// What all agents share.
pub fn machine(policy: &str, facts: &Facts) -> Plan {
    match facts.mac {
        Some(_) => macos::machine(policy, facts),
        None => linux::machine(policy, facts),
    }
}

/// One agent.
pub fn agent(desired: &Desired, facts: &Facts) -> Result<Plan, DesireError> {
    match facts.mac {
        Some(_) => Ok(macos::agent(desired, facts)),
        None => linux::agent(desired, facts),
    }
}
