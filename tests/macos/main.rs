//! macOS without a Mac: rules, parsers and steps against machines in memory that refuse what real ones refuse. Runs on every
//! platform.

#![expect(clippy::unwrap_used, clippy::format_push_string, reason = "a test may panic, and need not be fast")]

mod fake;
mod files;
mod grammar;
mod programs;
mod rules;
mod setup;
#[path = "../support/ssh_key.rs"]
mod ssh_key;
