//! The DNS gate of one agent: the resolver that all of its DNS goes to, which answers for allowed names alone, and opens the
//! way to what it answered before it answers.
//!
//! ```text
//! agent -- port 53, redirected --> parser: no privilege, reads DNS -- name, addresses, TTL --> keeper: root, judges again,
//!                                    |                             <-- in force ------------    fills the sets
//!                                    +-- allowed names alone --> resolvers of the machine
//! ```
//!
//! What holds, whatever is asked and answered:
//!
//! 1. An address is in the sets of both belts before its answer is sent, each time, also from the cache: somebody else may
//!    have emptied them.
//! 2. It stays there for [`lifetime`] seconds, longer than any program keeps it; the TTL that is handed out is below.
//! 3. Names are allowed exactly as listed, and below an explicit `*.`. What a name is an alias of is followed and opened by
//!    the name that was asked for. A forbidden name never leaves the machine.
//! 4. Only addresses are handed out, as if they were the name's own: no alias, no service hints (`HTTPS`, `SVCB`), no text.
//!    Private addresses and those of this machine are handed out where a network of the policy lists them, and opened by
//!    that network's own rule alone.
//! 5. A refusal comes at once, with the reason in words (RFC 8914).
//! 6. Below a wildcard, labels are limited in length and disorder, and names in number: they could carry data.

pub mod answers;
pub mod cache;
mod clients;
pub mod fill;
pub mod keeper;
pub mod link;
pub mod message;
pub mod parser;
mod refusals;
pub mod resolvers;
pub mod rules;
pub(crate) mod running;
mod server;
pub mod tables;
mod upstream;

use crate::model::desired::Firewall;
use serde::{Deserialize, Serialize};

/// The longest TTL that is believed and handed out, in seconds: names of an hour ago are asked for again.
pub const LONGEST_TTL: u32 = 3600;

/// Seconds that an answer stays in the sets. Programs and their libraries keep addresses beyond the TTL.
pub fn lifetime(ttl: u32) -> u32 {
    ttl.clamp(60, LONGEST_TTL) + 300
}

/// What the parser is told when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The agent's name, for hints.
    pub agent: String,
    /// Its policy.
    pub firewall: Firewall,
    /// Where the machine's resolvers are listed.
    pub resolvers: String,
}
