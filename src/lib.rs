//! agentuser gives an AI coding agent a Unix account of its own, and makes that account a complete place to work in.

#![warn(missing_docs)]

pub mod formats;
pub mod host;
pub mod model;
pub mod policy;
pub mod share;
