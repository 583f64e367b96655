//! The service that keeps the network policy of all agents in force.
pub(crate) mod child;
