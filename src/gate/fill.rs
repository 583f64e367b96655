//! Where the addresses that a gate answered are let out: sets of ipset and nftables on Linux, tables of pf on macOS.

crate::on_linux! {
    #[path = "fill/linux.rs"]
    mod system;
}
crate::on_macos! {
    #[path = "fill/macos.rs"]
    mod system;
}

pub(crate) use system::open;

use std::{io, net::IpAddr};

/// An address for a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The set, see [`crate::formats::ipset::answer_sets`].
    pub set: String,
    /// The address.
    pub address: IpAddr,
    /// Seconds that it stays.
    pub seconds: u32,
}

/// The way to the sets of one agent.
pub trait Fill: Send {
    /// Puts answers in. They are in force when it is done.
    fn add(&mut self, answers: &[Answer]) -> io::Result<()>;
    /// Called at least twice a second: takes out what has had its time, where the system does not do that itself. `living`
    /// is all that belongs in.
    fn keep(&mut self, _living: &dyn Fn() -> Vec<Answer>) {}
}
