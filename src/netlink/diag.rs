//! Looking up which socket a packet came from (`sock_diag(7)`).

use super::message::{Batch, Message};
use crate::model::{Protocol, Uid};
use std::net::{IpAddr, SocketAddr};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;

/// The question for the socket of a packet from `source` to `destination`.
pub fn question(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Batch {
    // For UDP the kernel looks as if the packet came in: what is its source there is our destination.
    let (protocol, from, to) = match protocol {
        Protocol::Tcp => (libc::IPPROTO_TCP, source, destination),
        Protocol::Udp => (libc::IPPROTO_UDP, destination, source),
    };
    let family = if source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut request = vec![byte(family), byte(protocol), 0, 0];
    request.extend_from_slice(&u32::MAX.to_ne_bytes());
    request.extend_from_slice(&from.port().to_be_bytes());
    request.extend_from_slice(&to.port().to_be_bytes());
    for address in [from.ip(), to.ip()] {
        let mut field = [0; 16];
        match address {
            IpAddr::V4(v4) => field[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => field.copy_from_slice(&v6.octets()),
        }
        request.extend_from_slice(&field);
    }
    // Any interface, no cookie.
    request.extend_from_slice(&[0; 4]);
    request.extend_from_slice(&[0xff; 8]);
    let mut batch = Batch::default();
    batch.message(BY_FAMILY, 0, &request);
    batch
}

fn byte(number: libc::c_int) -> u8 {
    u8::try_from(number).unwrap_or_default()
}

/// Owner and inode number in the answer (`struct inet_diag_msg`); none where there is no such socket.
pub fn owner(answer: &Message<'_>) -> Option<(Uid, u32)> {
    let number = |at: usize| Some(u32::from_ne_bytes(answer.payload.get(at..at + 4)?.try_into().ok()?));
    if answer.kind != BY_FAMILY {
        return None;
    }
    Some((Uid(number(64)?), number(68)?))
}
