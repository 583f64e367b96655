//! Packets that pf logged, as `tcpdump -n -e -l -i pflog0` prints them on macOS.
//!
//! What such a line says of a packet was chosen by whoever sent it, but for numbers and addresses nothing of it is taken.

use crate::model::Protocol;
use std::net::{IpAddr, SocketAddr};

/// The anchor's name is cut in the header of a logged packet: sixteen bytes with the NUL (`PFLOG_RULESET_NAME_SIZE`).
pub const ANCHOR: &str = "com.apple/000.a";

/// One packet that a rule of an agent's logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Whether it was let through.
    pub passed: bool,
    /// Whether it was on its way out.
    pub out: bool,
    /// On which interface.
    pub interface: String,
    /// The transport.
    pub protocol: Protocol,
    /// From where.
    pub from: SocketAddr,
    /// Where to.
    pub to: SocketAddr,
}

/// Reads a line, whatever stamp of time it begins with. Rules that are not ours, and what is no packet of TCP or UDP, are none.
pub fn parse(line: &str) -> Option<Logged> {
    // rule 0.com.apple/000.a.4/0(match): block out on en0: 192.0.2.5.52344 > 198.51.100.1.81: Flags [S], ...
    let (_, line) = line.split_once("rule ")?;
    let (rule, line) = line.split_once("): ")?;
    let (number, ruleset) = rule.split_once('.')?;
    number.parse::<u32>().ok()?;
    let subrule = ruleset.strip_prefix(ANCHOR)?.strip_prefix('.')?;
    subrule.split_once('/')?.0.parse::<u32>().ok()?;
    let (how, line) = line.split_once(": ")?;
    let [verdict, direction, "on", interface] = how.split(' ').collect::<Vec<_>>()[..] else { return None };
    let passed = match verdict {
        "pass" => true,
        "block" => false,
        _ => return None,
    };
    let out = match direction {
        "out" => true,
        "in" => false,
        _ => return None,
    };
    let plain =
        |name: &str| !name.is_empty() && name.len() < 16 && name.bytes().all(|b| b.is_ascii_alphanumeric());
    // Some versions name the family first.
    let line = line.strip_prefix("IP6 ").or_else(|| line.strip_prefix("IP ")).unwrap_or(line);
    let (from, line) = line.split_once(" > ")?;
    let (to, what) = line.split_once(": ")?;
    let protocol = match what {
        what if what.starts_with("Flags [") => Protocol::Tcp,
        what if what.starts_with("tcp ") => Protocol::Tcp,
        _ => Protocol::Udp,
    };
    let (from, to) = (end(from)?, end(to)?);
    plain(interface).then(|| Logged { passed, out, interface: interface.into(), protocol, from, to })
}

/// `192.0.2.5.443`, `2001:db8::1.443`: the port stands behind the last dot.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once('.')?;
    Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = "00:00:01.200000 rule 0.com.apple/000.a.4/0(match): block out on en0: \
                    192.0.2.5.52344 > 198.51.100.1.81: Flags [S], seq 1, win 65535, length 0";
        let logged = parse(line).unwrap();
        assert!(!logged.passed && logged.out);
        assert_eq!((logged.interface.as_str(), logged.protocol), ("en0", Protocol::Tcp));
        assert_eq!(
            (logged.from, logged.to),
            ("192.0.2.5:52344".parse().unwrap(), "198.51.100.1:81".parse().unwrap())
        );
        let line = "rule 2.com.apple/000.a.0/0(match): pass in on lo0: IP6 ::1.5353 > ::1.53: UDP, length 40";
        let logged = parse(line).unwrap();
        assert!(logged.passed && !logged.out && logged.protocol == Protocol::Udp);
        assert_eq!(logged.to, "[::1]:53".parse().unwrap());
    }

    #[test]
    fn what_is_not_ours() {
        for line in [
            "rule 3/0(match): block in on en0: 192.0.2.5.1 > 198.51.100.1.2: UDP, length 1",
            "rule 0.com.apple/250.A.1/0(match): block in on en0: 192.0.2.5.1 > 198.51.100.1.2: UDP, length 1",
            "rule 0.com.apple/000.a.4/0(match): block out on en0: 192.0.2.5 > 198.51.100.1: ICMP echo request",
            "rule 0.com.apple/000.a.4/0(match): block out on en0\u{1b}[2J: 192.0.2.5.1 > 198.51.100.1.2: UDP",
            "tcpdump: listening on pflog0",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(rule |0\\.com\\.apple/000\\.a\\.|/0\\(match\\): |block out on en0: | > |: |[0-9.]{1,9}|\\PC){0,30}") {
            let _ = parse(&text);
        }
    }
}
