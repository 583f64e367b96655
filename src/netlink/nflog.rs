//! Packets that a rule logged (`nfnetlink_log.h`): asking for them, and reading what comes.
//!
//! The bytes of a packet are the agent's own, so that [`read`] runs where there is no privilege.

use super::{
    message::{ACK, Batch, Message},
    nfgenmsg, subsystem,
};
use crate::model::Uid;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The group of all rules of agentuser: `AU` in ASCII.
pub const GROUP: u16 = 0x4155;

const PACKET: u16 = subsystem::ULOG << 8;
const CONFIG: u16 = PACKET | 1;
const COMMAND: u16 = 1;
const MODE: u16 = 2;
const TIMEOUT: u16 = 4;
const THRESHOLD: u16 = 5;
const FLAGS: u16 = 6;
/// `NFULNL_CFG_F_SEQ`: packets are numbered.
const NUMBERED: u16 = 1;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;
const OWNER: u16 = 11;
const SEQUENCE: u16 = 12;

/// Bytes of each packet: room for both addresses and both ports, also behind IPv6 extension headers.
const COPIED: u32 = 80;

/// Binds a socket to the group: packets come at once, at the latest after a hundredth of a second, where there are many in
/// pieces of up to 64.
pub fn subscribe() -> Batch {
    let mut batch = Batch::default();
    let mut mode = COPIED.to_be_bytes().to_vec();
    mode.extend_from_slice(&[COPY_PACKET, 0]);
    batch.message(CONFIG, ACK, &nfgenmsg(0, GROUP)).attribute(COMMAND, &[BIND]);
    batch
        .message(CONFIG, ACK, &nfgenmsg(0, GROUP))
        .attribute(MODE, &mode)
        .attribute(TIMEOUT, &1_u32.to_be_bytes())
        .attribute(THRESHOLD, &64_u32.to_be_bytes())
        .attribute(FLAGS, &NUMBERED.to_be_bytes());
    batch
}

/// What a rule did with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Refused by the chains of iptables.
    Deny,
    /// Refused by the table of nftables, which the chains had let through.
    Mirror,
    /// The first packet of a flow that was let out.
    Allow,
}

/// A packet that a rule logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Packet {
    /// Whose rules logged it.
    pub uid: Uid,
    /// The owner of its socket, a sub-uid or the account itself, where it has one.
    pub owner: Option<Uid>,
    /// What became of it.
    pub verdict: Verdict,
    /// The number of its protocol, as in `/etc/protocols`.
    pub protocol: u8,
    /// Where it came from.
    pub source: IpAddr,
    /// Where it was to go.
    pub destination: IpAddr,
    /// The ports, where the protocol has such.
    pub ports: Option<(u16, u16)>,
}

/// The number of a packet: what is missing between two was lost.
pub fn sequence(message: &Message<'_>) -> Option<u32> {
    let number = message.attributes(4).find(|one| one.kind == SEQUENCE)?;
    number.number().filter(|_| message.kind == PACKET)
}

/// Reads a message about a packet; none where it is not one, or not one of agentuser's rules.
pub fn read(message: &Message<'_>) -> Option<Packet> {
    if message.kind != PACKET {
        return None;
    }
    let (mut prefix, mut payload, mut owner) = (None, None, None);
    for attribute in message.attributes(4) {
        match attribute.kind {
            PREFIX => prefix = attribute.text(),
            PAYLOAD => payload = Some(attribute.value),
            OWNER => owner = attribute.number(),
            _ => {}
        }
    }
    let mut words = prefix?.trim_end().split(':');
    let (Some("au"), Some(uid), Some(verdict), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    // An answer of another account's server on loopback to the agent's call: the call is what was refused.
    let turned = verdict == "answer";
    let verdict = match verdict {
        "deny" | "answer" => Verdict::Deny,
        "mirror" => Verdict::Mirror,
        "allow" => Verdict::Allow,
        _ => return None,
    };
    let (protocol, mut source, mut destination, mut ports) = headers(payload?)?;
    if turned {
        std::mem::swap(&mut source, &mut destination);
        (ports, owner) = (ports.map(|(from, to)| (to, from)), None);
    }
    let (uid, owner) = (Uid(uid.parse().ok()?), owner.map(Uid));
    Some(Packet { uid, owner, verdict, protocol, source, destination, ports })
}

type Headers = (u8, IpAddr, IpAddr, Option<(u16, u16)>);

/// Protocol, addresses and ports of an IP packet (RFC 791, RFC 8200).
fn headers(packet: &[u8]) -> Option<Headers> {
    let (protocol, source, destination, rest): (u8, IpAddr, IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let at =
                |from: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(from..from + 4)?).ok()?));
            let length = usize::from(packet[0] & 15) * 4;
            let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff;
            let rest = if fragment == 0 { packet.get(length..).unwrap_or_default() } else { &[] };
            (*packet.get(9)?, at(12)?.into(), at(16)?.into(), rest)
        }
        6 => {
            let at =
                |from: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(from..from + 16)?).ok()?));
            let (protocol, rest) = beyond_extensions(*packet.get(6)?, packet.get(40..).unwrap_or_default());
            (protocol, at(8)?.into(), at(24)?.into(), rest)
        }
        _ => return None,
    };
    let has_ports = matches!(protocol, 6 | 17 | 33 | 132 | 136);
    let ports = match rest {
        [a, b, c, d, ..] if has_ports => Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))),
        _ => None,
    };
    Some((protocol, source, destination, ports))
}

/// Skips the extension headers of IPv6 that may stand before the transport's.
fn beyond_extensions(mut next: u8, mut rest: &[u8]) -> (u8, &[u8]) {
    // Hop-by-hop, routing and destination options; the others of RFC 8200 hide what follows.
    while matches!(next, 0 | 43 | 60) {
        let [following, length, ..] = *rest else { return (next, &[]) };
        rest = rest.get((usize::from(length) + 1) * 8..).unwrap_or_default();
        next = following;
    }
    (next, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::messages;
    use proptest::prelude::*;

    fn logged(prefix: &str, payload: &[u8]) -> Option<Packet> {
        let mut batch = Batch::default();
        batch.message(PACKET, 0, &[0; 4]).text(PREFIX, prefix).attribute(PAYLOAD, payload);
        batch.attribute(OWNER, &997_u32.to_be_bytes());
        messages(batch.bytes()).next().and_then(|message| read(&message))
    }

    #[test]
    fn a_refused_call() {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 10, 198, 51, 100, 7];
        packet.extend_from_slice(&[0x9c, 0x40, 0x01, 0xbb]);
        let wanted = Packet {
            uid: Uid(997),
            owner: Some(Uid(997)),
            verdict: Verdict::Deny,
            protocol: 6,
            source: "192.0.2.10".parse().unwrap(),
            destination: "198.51.100.7".parse().unwrap(),
            ports: Some((40_000, 443)),
        };
        assert_eq!(logged("au:997:deny", &packet), Some(wanted));
        let turned = Packet {
            owner: None,
            source: wanted.destination,
            destination: wanted.source,
            ports: Some((443, 40_000)),
            ..wanted
        };
        assert_eq!(logged("au:997:answer", &packet), Some(turned));
        assert_eq!(logged("au:997:other", &packet), None);
        assert_eq!(logged("ufw:997:deny", &packet), None);
    }

    #[test]
    fn ports_behind_extension_headers() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 16, 60, 64];
        for last in [1, 2] {
            packet.extend_from_slice(&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        packet.extend_from_slice(&[17, 0, 1, 4, 0, 0, 0, 0, 0, 1, 0, 53, 0, 8, 0, 0]);
        let packet = logged("au:1:allow", &packet).unwrap();
        assert_eq!((packet.protocol, packet.ports), (17, Some((1, 53))));
    }

    proptest! {
        #[test]
        fn no_packet_brings_it_down(version in 4_u8..7, mut payload: Vec<u8>) {
            if let Some(first) = payload.first_mut() {
                *first = *first & 15 | version << 4;
            }
            let _ = logged("au:997:deny", &payload);
        }
    }
}
