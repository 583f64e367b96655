//! Foreign texts and bytes: one file per format, render and parse side by side. Pure.

pub mod accounts;
pub mod dbus;
pub mod digest;
pub mod dscl;
pub mod git_remote;
pub mod gitconfig;
pub mod ipset;
pub mod iptables;
pub mod launchd;
pub mod mac_acl;
pub mod mountinfo;
pub mod nft;
pub mod pf;
pub mod pfctl;
pub mod pflog;
pub mod posix_acl;
pub mod ps;
pub mod seatbelt;
pub mod ssh_key;
pub mod sudoers;
pub mod systemd;
