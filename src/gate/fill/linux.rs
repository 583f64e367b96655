//! Sets of ipset and nftables, whose elements go when their time is over.

use super::Fill;
use crate::{formats::nft, gate::Order, netlink::answers::Sets};
use std::io;

/// The sets of an agent.
pub(crate) fn open(order: &Order) -> io::Result<Box<dyn Fill>> {
    Ok(Box::new(Sets::open(nft::table(&order.firewall))?))
}
