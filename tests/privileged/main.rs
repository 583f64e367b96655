//! The real machine, as root: accounts, ACLs, sudo, sessions, rules in a network namespace of the test's own.
//!
//! Only one test at a time touches the machine: each holds a [`common::Machine`], which also removes what it made, after
//! a panic too. Without root's rights the tests say so and pass, unless `AGENTUSER_PRIVILEGED=1` asks for them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stderr, reason = "why a test was skipped")]

agentuser::on_linux! {
    mod bypasses;
    mod common;
    mod confinement;
    mod doctor;
    mod drift;
    mod git;
    mod job;
    mod keeper;
    mod lifecycle;
    mod mount;
    mod policies;
    mod reviews;
    mod session;
    mod table;
    mod tools;
    mod view;
}
