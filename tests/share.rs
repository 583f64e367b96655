//! Sharing on a real filesystem, with setfacl(1) and getfacl(1) as the oracle. Needs root, for files of several accounts;
//! the accounts are bare numbers, and each pass runs in a child process that has become its account for good.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are outside of #[test] functions"
)]

agentuser::on_linux! {
    #[path = "share/common.rs"]
    mod common;
    #[path = "share/directories.rs"]
    mod directories;
    #[path = "share/leaving.rs"]
    mod leaving;
    #[path = "share/links.rs"]
    mod links;
    #[path = "share/parents.rs"]
    mod parents;
    #[path = "share/priors.rs"]
    mod priors;
    #[path = "share/races.rs"]
    mod races;
    #[path = "share/tree.rs"]
    mod tree;
}
