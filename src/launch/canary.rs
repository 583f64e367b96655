//! Proof without privilege that the firewall holds for this very account: packets that it must refuse, sent and refused.
//!
//! A datagram to an unlisted loopback port must fail with EPERM. Beyond loopback a datagram and a connection go to addresses
//! that are reserved for documentation (RFC 5737, RFC 3849): EPERM, and ECONNREFUSED at once, for the rules answer with a
//! reset. An unreachable network proves nothing there, and does no harm. The same goes through each interface, for a rule
//! of somebody else may name one that no route to these addresses uses. It takes about a tenth of a millisecond, and some
//! hundredths more an interface.

use crate::model::{Family, Protocol, desired::Firewall};
use nix::{
    ifaddrs::getifaddrs,
    net::if_::InterfaceFlags,
    sys::socket::{setsockopt, sockopt::BindToDevice},
};
use rustix::{
    io::Errno,
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, connect, sendto, socket_with, sockopt},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
};

/// What a canary found open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Open {
    /// A packet that must be refused was not.
    #[error("{protocol} to {to} was not refused ({answer})")]
    Packet {
        /// Its transport.
        protocol: Protocol,
        /// Where it went, and through which interface.
        to: String,
        /// What the kernel said.
        answer: String,
    },
}

/// Where the canaries go: chosen ahead, for it depends on the policy alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// A UDP port of loopback that the policy does not list; none where it lists all.
    loopback: Option<u16>,
    /// Beyond this machine; nothing with `outbound: allow`, where only loopback can be proved.
    beyond: Vec<(Protocol, SocketAddr)>,
    /// The same through each interface.
    through: Vec<(Protocol, SocketAddr)>,
}

impl Flight {
    /// What a policy must refuse.
    pub fn of(firewall: &Firewall) -> Self {
        let listed =
            |port: u16| firewall.loopback.of(Protocol::Udp).any(|r| (r.first..=r.last).contains(&port));
        let to = |candidates: &[&str], protocol| Some((protocol, refused(candidates, protocol, firewall)?));
        let (udp, tcp) = (Protocol::Udp, Protocol::Tcp);
        // IPv6 has a route through each interface for multicast alone: to a group for experiments (RFC 4727).
        let beyond = [to(&FOUR, udp), to(&FOUR, tcp), to(&SIX, udp), to(&SIX, tcp)];
        let through = [to(&FOUR, udp), to(&FOUR, tcp), to(&["ff02::114"], udp)];
        Self {
            loopback: (1..=u16::MAX).find(|port| !listed(*port)),
            beyond: beyond.into_iter().flatten().collect(),
            through: through.into_iter().flatten().collect(),
        }
    }
}

impl Flight {
    /// Whether a packet of this protocol (its number in `/etc/protocols`) is a canary's.
    pub fn has(&self, protocol: u8, to: SocketAddr) -> bool {
        let udp = protocol == 17;
        let listed = |(of, place): &(Protocol, SocketAddr)| (*of == Protocol::Udp) == udp && *place == to;
        let on_loopback = udp
            && to.ip() == if to.is_ipv4() { Family::V4 } else { Family::V6 }.loopback()
            && self.loopback == Some(to.port());
        on_loopback || self.beyond.iter().chain(&self.through).any(listed)
    }
}

/// Addresses for documentation.
const FOUR: [&str; 3] = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
const SIX: [&str; 3] = ["2001:db8::1", "2001:db8:ffff::1", "3fff::1"];

/// Sends the canaries.
pub fn fly(flight: &Flight) -> Result<(), Open> {
    if let Some(port) = flight.loopback {
        loopback(Family::V4, port)?;
        loopback(Family::V6, port)?;
    }
    for (protocol, to) in &flight.beyond {
        beyond(*protocol, *to)?;
    }
    through_each_interface(&flight.through)
}

fn loopback(family: Family, port: u16) -> Result<(), Open> {
    let to = SocketAddr::new(family.loopback(), port);
    match datagram(to, None) {
        Err(Errno::PERM) => Ok(()),
        Err(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) if family == Family::V6 && ipv6_is_absent() => Ok(()),
        answer => Err(open(Protocol::Udp, to.to_string(), answer)),
    }
}

/// No interface has an IPv6 address, not even loopback, or the kernel lacks the protocol.
fn ipv6_is_absent() -> bool {
    std::fs::read("/proc/net/if_inet6").map_or(true, |text| text.is_empty())
}

fn beyond(protocol: Protocol, to: SocketAddr) -> Result<(), Open> {
    match (protocol, packet(protocol, to, None)) {
        (Protocol::Udp, Err(Errno::PERM))
        | (Protocol::Tcp, Err(Errno::CONNREFUSED))
        | (_, Err(Errno::NETUNREACH | Errno::ADDRNOTAVAIL)) => Ok(()),
        (_, Err(Errno::AFNOSUPPORT)) if to.is_ipv6() && ipv6_is_absent() => Ok(()),
        (_, answer) => Err(open(protocol, to.to_string(), answer)),
    }
}

/// What leaves here was refused nowhere; any error says that it did not leave. A reset finds its way back only where the
/// interface has an address of its own.
fn through_each_interface(targets: &[(Protocol, SocketAddr)]) -> Result<(), Open> {
    if targets.is_empty() {
        return Ok(());
    }
    for (interface, has_address) in interfaces() {
        let told = |(protocol, _): &&(Protocol, SocketAddr)| *protocol == Protocol::Udp || has_address;
        for (protocol, to) in targets.iter().filter(told) {
            if packet(*protocol, *to, Some(&interface)).is_ok() {
                return Err(open(*protocol, format!("{to} through {}", interface.display()), Ok(())));
            }
        }
    }
    Ok(())
}

/// The interfaces of this network namespace but loopback, and whether each has an IPv4 address.
fn interfaces() -> BTreeMap<OsString, bool> {
    let mut interfaces = BTreeMap::new();
    for entry in getifaddrs().into_iter().flatten() {
        if !entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            let is_four = entry.address.is_some_and(|address| address.as_sockaddr_in().is_some());
            *interfaces.entry(entry.interface_name.into()).or_default() |= is_four;
        }
    }
    interfaces
}

/// The first of these addresses, with a port, that the policy does not let out. Where it lets all of them out, there is
/// nothing to be refused.
fn refused(candidates: &[&str], protocol: Protocol, firewall: &Firewall) -> Option<SocketAddr> {
    let ports = [9, 7, 1, 19, 79];
    candidates.iter().filter_map(|text| text.parse::<IpAddr>().ok()).find_map(|address| {
        let port = ports.into_iter().find(|port| !firewall.lets_out(address, protocol, *port))?;
        Some(SocketAddr::new(address, port))
    })
}

fn packet(protocol: Protocol, to: SocketAddr, interface: Option<&OsString>) -> Result<(), Errno> {
    match protocol {
        Protocol::Udp => datagram(to, interface),
        Protocol::Tcp => connection(to, interface),
    }
}

fn open(protocol: Protocol, to: String, answer: Result<(), Errno>) -> Open {
    let answer = answer.map_or_else(|errno| errno.to_string(), |()| "it was sent".into());
    Open::Packet { protocol, to, answer }
}

fn datagram(to: SocketAddr, interface: Option<&OsString>) -> Result<(), Errno> {
    sendto(socket(to, SocketType::DGRAM, interface)?, &[], SendFlags::empty(), &to).map(drop)
}

/// Begins a connection and asks at once what became of it: a reset by our rules is there before connect(2) returns.
fn connection(to: SocketAddr, interface: Option<&OsString>) -> Result<(), Errno> {
    let socket = socket(to, SocketType::STREAM, interface)?;
    match connect(&socket, &to) {
        Err(Errno::INPROGRESS) => sockopt::socket_error(&socket)?,
        other => other,
    }
}

/// A socket, bound to an interface, which needs no privilege since Linux 5.7.
fn socket(to: SocketAddr, kind: SocketType, interface: Option<&OsString>) -> Result<OwnedFd, Errno> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if let Some(interface) = interface {
        setsockopt(&socket, BindToDevice, interface)
            .map_err(|error| Errno::from_raw_os_error(error as i32))?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_told_from_what_the_agent_sends() {
        let network = crate::policy::Network::default();
        let flight = Flight::of(&crate::plan::firewall(crate::model::Uid(9), vec![], &network));
        let has = |protocol, to: &str| flight.has(protocol, to.parse().unwrap());
        for (protocol, to) in
            [(17, "127.0.0.1:1"), (17, "[::1]:1"), (6, "192.0.2.1:9"), (17, "[ff02::114]:9")]
        {
            assert!(has(protocol, to), "{to}");
        }
        for (protocol, to) in
            [(6, "127.0.0.1:1"), (17, "127.0.0.1:2"), (6, "192.0.2.1:443"), (17, "192.0.2.2:9")]
        {
            assert!(!has(protocol, to), "{to}");
        }
    }
}
