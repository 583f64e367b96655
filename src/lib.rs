//! agentuser gives an AI coding agent a Unix account of its own, and makes that account a complete place to work in.
//!
//! ```text
//! policy.yaml -> policy -> (with Facts) plan::desire -> plan::agent -> Plan: steps
//!     engine: check, capture, receipt, apply, check        setup
//!             check                                        --dry-run, status
//!             revert, backwards, from the receipt          teardown
//! host: Observe reads, Act changes; the only door to the machine
//! launch: run (as the human) -> sudo -> enter (as the agent) -> the command
//! presets, discover: what an entry of the policy opens on this machine, with its origin
//! review: what the agent left in the projects that the human's tools execute
//! guard: root's service; its children without privilege: gate (DNS), audit (packets that were refused)
//! ```
//!
//! `policy`, `model`, `formats` and `plan` are pure: text and values in, values out.

pub mod audit;
pub mod cli;
pub mod discover;
pub mod doctor;
pub mod engine;
pub mod formats;
pub mod gate;
crate::on_linux! {
    pub mod guard;
}
pub mod host;
pub mod launch;
pub mod model;
pub mod netlink;
pub mod plan;
pub mod policy;
pub mod presets;
pub mod review;
pub mod share;
pub mod step;
