//! Proof without privilege that the firewall holds for this very account: packets that it must refuse, sent and refused.
//!
//! A datagram to an unlisted loopback port must fail with EPERM. Beyond loopback a datagram and a connection go to addresses
//! that are reserved for documentation (RFC 5737, RFC 3849): EPERM, and ECONNREFUSED at once, for the rules answer with a
//! reset. An unreachable network proves nothing there, and does no harm. It takes about a tenth of a millisecond.

use crate::model::{Family, Protocol, desired::Firewall};
use rustix::{
    io::Errno,
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, connect, sendto, socket_with, sockopt},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a canary found open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Open {
    /// A packet that must be refused was not.
    #[error("{protocol} to {to} was not refused ({answer})")]
    Packet {
        /// Its transport.
        protocol: Protocol,
        /// Where it went.
        to: SocketAddr,
        /// What the kernel said.
        answer: String,
    },
}

/// Sends the canaries. With `outbound: allow` only loopback can be proved.
pub fn fly(firewall: &Firewall) -> Result<(), Open> {
    for family in Family::BOTH {
        loopback(family, firewall)?;
        if !firewall.outbound_allowed {
            beyond(family, firewall)?;
        }
    }
    Ok(())
}

fn loopback(family: Family, firewall: &Firewall) -> Result<(), Open> {
    let address: IpAddr = match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    let listed = |port: u16| firewall.loopback.of(Protocol::Udp).any(|r| (r.first..=r.last).contains(&port));
    let Some(port) = (1..=u16::MAX).find(|port| !listed(*port)) else { return Ok(()) };
    let to = SocketAddr::new(address, port);
    match datagram(to) {
        Err(Errno::PERM) => Ok(()),
        Err(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) if family == Family::V6 && ipv6_is_absent() => Ok(()),
        answer => Err(open(Protocol::Udp, to, answer)),
    }
}

/// No interface has an IPv6 address, not even loopback, or the kernel lacks the protocol.
fn ipv6_is_absent() -> bool {
    std::fs::read("/proc/net/if_inet6").map_or(true, |text| text.is_empty())
}

fn beyond(family: Family, firewall: &Firewall) -> Result<(), Open> {
    let candidates: &[&str] = match family {
        Family::V4 => &["192.0.2.1", "198.51.100.1", "203.0.113.1"],
        Family::V6 => &["2001:db8::1", "2001:db8:ffff::1", "3fff::1"],
    };
    let ports = [9, 7, 1, 19, 79];
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        // Where the policy lets all of these out, there is nothing to be refused.
        let refused = candidates.iter().filter_map(|text| text.parse::<IpAddr>().ok()).find_map(|address| {
            let port = ports.into_iter().find(|port| !firewall.lets_out(address, protocol, *port))?;
            Some(SocketAddr::new(address, port))
        });
        let Some(to) = refused else { continue };
        match (protocol, if protocol == Protocol::Udp { datagram(to) } else { connection(to) }) {
            (Protocol::Udp, Err(Errno::PERM))
            | (Protocol::Tcp, Err(Errno::CONNREFUSED))
            | (_, Err(Errno::NETUNREACH | Errno::ADDRNOTAVAIL)) => {}
            (_, Err(Errno::AFNOSUPPORT)) if family == Family::V6 && ipv6_is_absent() => {}
            (_, answer) => return Err(open(protocol, to, answer)),
        }
    }
    Ok(())
}

fn open(protocol: Protocol, to: SocketAddr, answer: Result<(), Errno>) -> Open {
    let answer = answer.map_or_else(|errno| errno.to_string(), |()| "it was sent".into());
    Open::Packet { protocol, to, answer }
}

fn datagram(to: SocketAddr) -> Result<(), Errno> {
    let socket =
        socket_with(family_of(to), SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sendto(socket, &[], SendFlags::empty(), &to).map(drop)
}

/// Begins a connection and asks at once what became of it: a reset by our rules is there before connect(2) returns.
fn connection(to: SocketAddr) -> Result<(), Errno> {
    let socket =
        socket_with(family_of(to), SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, &to) {
        Err(Errno::INPROGRESS) => sockopt::socket_error(&socket)?,
        other => other,
    }
}

fn family_of(to: SocketAddr) -> AddressFamily {
    if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}
