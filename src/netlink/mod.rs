//! Netlink, as far as the guard speaks it: answers of the DNS gate go into sets, refused packets and changes of rules are
//! heard of, sockets are looked up.
//!
//! Each message is a value of bytes that a pure function makes or reads; [`Socket`] alone talks to the kernel. netlink(7)
//! has the frame; the numbers are those of the kernel's `include/uapi/linux/netfilter/` headers.

pub mod diag;
pub mod events;
pub mod ipset;
pub mod message;
pub mod nflog;
pub mod nft;
pub mod routes;
crate::on_linux! {
    pub mod answers;
    mod socket;
    pub use socket::{PIECE, Socket};
}

/// Subsystems of `NETLINK_NETFILTER` (`nfnetlink.h`).
mod subsystem {
    /// NFLOG.
    pub(super) const ULOG: u16 = 4;
    /// ipset(8).
    pub(super) const IPSET: u16 = 6;
    /// `nf_tables`.
    pub(super) const NFTABLES: u16 = 10;
}

/// `struct nfgenmsg`: family, version 0, and a number in network byte order whose meaning depends on the message.
fn nfgenmsg(family: u8, number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [family, 0, high, low]
}
