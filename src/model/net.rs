//! Ports and families. Networks are `ipnet::IpNet`.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// An address family; each has its own rules, sets and tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The address at which a machine calls itself.
    pub fn loopback(self) -> std::net::IpAddr {
        match self {
            Self::V4 => std::net::Ipv4Addr::LOCALHOST.into(),
            Self::V6 => std::net::Ipv6Addr::LOCALHOST.into(),
        }
    }

    /// What nft(8) calls it.
    pub fn nft(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    /// The family of a network.
    pub fn of(net: &ipnet::IpNet) -> Self {
        if net.addr().is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A transport that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Ports of one protocol, both ends included: `443`, `8000-8099`, `53/udp`. Without a protocol it is TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    /// The transport.
    pub protocol: Protocol,
    /// The lowest port, never 0.
    pub first: u16,
    /// The highest port, not below `first`.
    pub last: u16,
}

/// Why a text is not a port or a range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a port: {why}")]
pub struct PortError {
    text: String,
    why: &'static str,
}

impl FromStr for PortRange {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let no = |why| PortError { text: text.escape_default().to_string(), why };
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(no("after the slash comes `tcp` or `udp`")),
        };
        let number = |text: &str| match text.parse::<u16>() {
            Ok(0) => Err(no("port 0 does not exist")),
            Ok(port) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
            _ => Err(no("write a number from 1 to 65535, or a range such as `8000-8099`")),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(no("the range runs backwards"));
        }
        Ok(Self { protocol, first, last })
    }
}

impl TryFrom<String> for PortRange {
    type Error = PortError;

    fn try_from(text: String) -> Result<Self, PortError> {
        text.parse()
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last != self.first {
            write!(f, "-{}", self.last)?;
        }
        if self.protocol == Protocol::Udp { f.write_str("/udp") } else { Ok(()) }
    }
}

/// A set of ports in normal form: sorted, without overlap or touching ranges, so that equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<PortRange>", into = "Vec<PortRange>")]
pub struct PortSet(Vec<PortRange>);

impl PortSet {
    /// The ranges, TCP first, ascending.
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// The ranges of one protocol, ascending.
    pub fn of(&self, protocol: Protocol) -> impl Iterator<Item = PortRange> {
        self.0.iter().copied().filter(move |range| range.protocol == protocol)
    }

    /// Whether no port is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<PortRange>> for PortSet {
    fn from(mut ranges: Vec<PortRange>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last)
                    if last.protocol == range.protocol && range.first <= last.last.saturating_add(1) =>
                {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

impl From<PortSet> for Vec<PortRange> {
    fn from(set: PortSet) -> Self {
        set.0
    }
}

impl FromIterator<PortRange> for PortSet {
    fn from_iter<I: IntoIterator<Item = PortRange>>(ranges: I) -> Self {
        ranges.into_iter().collect::<Vec<_>>().into()
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            write!(f, "{}{range}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let show = |text: &str| text.parse::<PortRange>().map(|r| r.to_string());
        assert_eq!(show("443").unwrap(), "443");
        assert_eq!(show("8000-8099/udp").unwrap(), "8000-8099/udp");
        for bad in ["", "0", "65536", "+1", "9-8", "1-", "-1", "80/sctp", " 80"] {
            assert!(show(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sets_are_in_normal_form() {
        let set = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<PortSet>();
        assert_eq!(set(&["81-90", "80", "443", "85", "53/udp"]), set(&["53/udp", "80-90", "443"]));
        assert_eq!(set(&["65535", "65534", "1"]).to_string(), "1, 65534-65535");
    }
}
