//! Adding an address to a set of ipset(8) (`ip_set.h`).

use super::{
    message::{Batch, NETWORK_ORDER},
    nfgenmsg, subsystem,
};
use std::net::IpAddr;

const ADD: u16 = subsystem::IPSET << 8 | 9;
const PROTOCOL: u16 = 1;
const PROTOCOL_VERSION: u8 = 6;
const SETNAME: u16 = 2;
const DATA: u16 = 7;
const IP: u16 = 1;
const TIMEOUT: u16 = 6;
const IPADDR_V4: u16 = 1;
const IPADDR_V6: u16 = 2;

/// Adds the message that puts an address into a set for `seconds`; one that is there already lives on as long. `flags` is
/// [`ACK`] for the last one.
///
/// [`ACK`]: super::message::ACK
pub fn add(batch: &mut Batch, flags: u16, set: &str, address: IpAddr, seconds: u32) {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let family = u8::try_from(family).unwrap_or_default();
    // Without NLM_F_EXCL an element that is there is no error (`-exist`).
    batch
        .message(ADD, flags, &nfgenmsg(family, 0))
        .attribute(PROTOCOL, &[PROTOCOL_VERSION])
        .text(SETNAME, set);
    batch.nested(DATA, |data| {
        data.nested(IP, |ip| {
            match address {
                IpAddr::V4(v4) => ip.attribute(IPADDR_V4 | NETWORK_ORDER, &v4.octets()),
                IpAddr::V6(v6) => ip.attribute(IPADDR_V6 | NETWORK_ORDER, &v6.octets()),
            };
        });
        data.attribute(TIMEOUT | NETWORK_ORDER, &seconds.to_be_bytes());
    });
}
