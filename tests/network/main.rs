//! The firewall on a real kernel: every launch and every rule is inside network namespaces that the test makes, two
//! machines joined by a cable. What is shown closed for the agent is shown open for the human, or without the rule, in the
//! same test.
//!
//! The tests set agentuser up on this machine and take it away; a lock lets one of them do so at a time.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::format_push_string,
    reason = "a test may panic and say why, and need not be fast"
)]

agentuser::on_linux! {
    mod agents;
    mod boot;
    mod canary;
    mod commands;
    mod guards;
    mod inbound;
    mod legacy;
    mod loopback;
    mod names;
    mod odd;
    mod older;
    mod outbound;
    mod presets;
    mod reapply;
    mod refresh;
    mod resolvers;
    mod sshd;
    mod subuids;
    #[path = "../support/mod.rs"]
    mod support;
    mod world;
}
