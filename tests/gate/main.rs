//! The DNS gate, the guard and the audit log on a real kernel, with a name server and listeners of the test's own.
//!
//! Each test has two network namespaces, joined by a cable, and a mount namespace in which the machine's state is empty: no
//! account is made, and nothing of this machine changes. The agent is a uid that no account has.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic and say why, and need not be fast"
)]

agentuser::on_linux! {
    mod answers;
    mod audit;
    mod guard;
    mod refusals;
    #[path = "../support/mod.rs"]
    mod support;
    mod units;
    mod world;
}
