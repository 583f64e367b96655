//! What the kernel tells of routes (`rtnetlink(7)`): when a default route comes, the network is up.

use super::message::Message;

/// The multicast groups as bits of the address: `RTMGRP_IPV4_ROUTE` and `RTMGRP_IPV6_ROUTE`.
pub const GROUPS: u32 = 0x40 | 0x400;

const NEW_ROUTE: u16 = 24;
/// `RTN_UNICAST`.
const UNICAST: u8 = 1;

/// Whether this is word of a route to everywhere (`struct rtmsg`: family, length of the destination, six more bytes of which
/// the last one is the route's type).
pub fn is_default_route(message: &Message<'_>) -> bool {
    message.kind == NEW_ROUTE
        && message.payload.get(..8).is_some_and(|route| route[1] == 0 && route[7] == UNICAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::{Batch, messages};

    #[test]
    fn a_default_route_comes() {
        let comes = |kind, route: &[u8]| {
            let mut batch = Batch::default();
            batch.message(kind, 0, route);
            messages(batch.bytes()).any(|message| is_default_route(&message))
        };
        assert!(comes(NEW_ROUTE, &[2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]));
        assert!(!comes(NEW_ROUTE, &[2, 24, 0, 0, 254, 2, 253, 1, 0, 0, 0, 0]));
        assert!(!comes(NEW_ROUTE, &[10, 0, 0, 0, 254, 3, 0, 7, 0, 0, 0, 0]));
        assert!(!comes(25, &[2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]));
        assert!(!comes(NEW_ROUTE, &[2, 0, 0]));
    }
}
