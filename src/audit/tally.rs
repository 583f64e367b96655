//! Counting packets by what they have in common: the first is told at once, repeats together; and the form in which the
//! listener tells root.

use crate::{
    model::Uid,
    netlink::nflog::{Packet, Verdict},
};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// How often repeats are told.
const WINDOW: Duration = Duration::from_secs(5);
/// The most different packets that are counted; what comes then is told one by one.
const ROOM: usize = 20_000;

/// A packet that stands for several, or a number of packets that nobody saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A packet, and how many like it there were.
    Packets(Packet, u32),
    /// Packets that the kernel had no room for.
    Lost(u32),
}

/// What packets have in common that are counted together: all but the source.
type Key = (Uid, Option<Uid>, Verdict, u8, IpAddr, Option<u16>);

/// Packets since the last time that repeats were told.
pub struct Tally {
    counts: HashMap<Key, (Packet, u32)>,
    since: Instant,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(now: Instant) -> Self {
        Self { counts: HashMap::new(), since: now }
    }

    /// Counts a packet; the first of its kind is to be told now.
    pub fn count(&mut self, packet: Packet) -> Option<Told> {
        let port = packet.ports.map(|(_, port)| port);
        let key = (packet.uid, packet.owner, packet.verdict, packet.protocol, packet.destination, port);
        if let Some((_, count)) = self.counts.get_mut(&key) {
            *count += 1;
            return None;
        }
        if self.counts.len() < ROOM {
            self.counts.insert(key, (packet, 0));
        }
        Some(Told::Packets(packet, 1))
    }

    /// How long until repeats are told; none where there are none to wait for.
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        (!self.counts.is_empty()).then(|| WINDOW.saturating_sub(now.duration_since(self.since)))
    }

    /// The repeats, when it is time to tell them.
    pub fn repeats(&mut self, now: Instant) -> Vec<Told> {
        if now.duration_since(self.since) < WINDOW {
            return Vec::new();
        }
        self.since = now;
        let counted = self.counts.drain().filter(|(_, (_, count))| *count > 0);
        counted.map(|(_, (packet, count))| Told::Packets(packet, count)).collect()
    }
}

/// Bytes of what is told.
pub const SIZE: usize = 52;

impl Told {
    /// In the form of fixed size.
    pub fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let (packet, count) = match self {
            Self::Packets(packet, count) => (packet, count),
            Self::Lost(count) => {
                bytes[..4].copy_from_slice(&count.to_be_bytes());
                return bytes;
            }
        };
        bytes[..4].copy_from_slice(&count.to_be_bytes());
        bytes[4..8].copy_from_slice(&packet.uid.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&packet.owner.map_or(u32::MAX, |uid| uid.0).to_be_bytes());
        bytes[12] = match packet.verdict {
            Verdict::Deny => 1,
            Verdict::Mirror => 2,
            Verdict::Allow => 3,
        };
        bytes[13] = packet.protocol;
        bytes[14] = if packet.destination.is_ipv4() { 4 } else { 6 };
        bytes[16..32].copy_from_slice(&wide(packet.source));
        bytes[32..48].copy_from_slice(&wide(packet.destination));
        if let Some((source, destination)) = packet.ports {
            bytes[15] = 1;
            bytes[48..50].copy_from_slice(&source.to_be_bytes());
            bytes[50..52].copy_from_slice(&destination.to_be_bytes());
        }
        bytes
    }

    /// From the form of fixed size; none where it is not one that [`Told::to_bytes`] makes.
    pub fn from_bytes(bytes: &[u8; SIZE]) -> Option<Self> {
        let four = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let two = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let count = four(0);
        let verdict = match bytes[12] {
            0 => return bytes[4..].iter().all(|byte| *byte == 0).then_some(Self::Lost(count)),
            1 => Verdict::Deny,
            2 => Verdict::Mirror,
            3 => Verdict::Allow,
            _ => return None,
        };
        let address = |at: usize| {
            let six = Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).ok()?);
            match bytes[14] {
                4 => six.to_ipv4_mapped().map(IpAddr::V4),
                6 => Some(IpAddr::V6(six)),
                _ => None,
            }
        };
        let packet = Packet {
            uid: Uid(four(4)),
            owner: Some(Uid(four(8))).filter(|uid| uid.0 != u32::MAX),
            verdict,
            protocol: bytes[13],
            source: address(16)?,
            destination: address(32)?,
            ports: (bytes[15] == 1).then(|| (two(48), two(50))),
        };
        Some(Self::Packets(packet, count))
    }
}

/// An address as one of IPv6.
fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(port: u16) -> Packet {
        Packet {
            uid: Uid(997),
            owner: Some(Uid(997)),
            verdict: Verdict::Deny,
            protocol: 6,
            source: "192.0.2.10".parse().unwrap(),
            destination: "198.51.100.7".parse().unwrap(),
            ports: Some((40_000, port)),
        }
    }

    #[test]
    fn the_first_is_told_then_repeats() {
        let now = Instant::now();
        let mut tally = Tally::new(now);
        assert_eq!(tally.pause(now), None);
        assert_eq!(tally.count(packet(1)), Some(Told::Packets(packet(1), 1)));
        let again = Packet { ports: Some((40_001, 1)), ..packet(1) };
        assert_eq!((tally.count(again), tally.count(again)), (None, None));
        assert_eq!(tally.count(packet(2)), Some(Told::Packets(packet(2), 1)));
        assert_eq!((tally.pause(now), tally.repeats(now)), (Some(WINDOW), vec![]));
        assert_eq!(tally.repeats(now + WINDOW), [Told::Packets(packet(1), 2)]);
        assert_eq!(tally.pause(now + WINDOW), None);
    }

    #[test]
    fn none_is_left_out_when_there_is_no_room() {
        let mut tally = Tally::new(Instant::now());
        let told = (0..=u16::MAX).filter(|port| tally.count(packet(*port)).is_some()).count();
        assert_eq!(told, 65_536);
    }

    proptest! {
        #[test]
        fn what_is_told_is_heard(uid: u32, owner: Option<u16>, verdict in 0_usize..3, protocol: u8, six: bool,
                                 addresses: (u128, u128), ports: Option<(u16, u16)>, count: u32) {
            let address = |bits: u128| if six { IpAddr::from(bits.to_be_bytes()) } else { IpAddr::from((bits % (1 << 32)).to_be_bytes()[12..].first_chunk::<4>().copied().unwrap()) };
            let packet = Packet {
                uid: Uid(uid),
                owner: owner.map(|uid| Uid(uid.into())),
                verdict: [Verdict::Deny, Verdict::Mirror, Verdict::Allow][verdict],
                protocol,
                source: address(addresses.0),
                destination: address(addresses.1),
                ports,
            };
            let told = Told::Packets(packet, count);
            prop_assert_eq!(Told::from_bytes(&told.to_bytes()), Some(told));
        }

        #[test]
        fn no_bytes_bring_it_down(bytes: [u8; 32], rest: [u8; 20]) {
            let mut all = [0; SIZE];
            all[..32].copy_from_slice(&bytes);
            all[32..].copy_from_slice(&rest);
            let _ = Told::from_bytes(&all);
        }
    }

    #[test]
    fn losses() {
        assert_eq!(Told::from_bytes(&Told::Lost(7).to_bytes()), Some(Told::Lost(7)));
    }
}
