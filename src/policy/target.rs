//! Destinations on the command line: entries of `allow` and `deny` in one word.
//!
//! ```text
//! preset:NAME[:PART,...]    api.example.com[:PORT,...]    10.20.0.0/16[:PORT,...]    loopback:PORT,...
//! ```

use super::{
    Allow, Choice, Deny, DomainName, GithubPart, Parts, PresetName,
    error::{Refusal, quote},
    network,
};
use crate::model::{PortRange, PortSet, Protocol};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

impl Allow {
    /// Reads an entry as a person types it on the command line.
    pub fn read_target(text: &str) -> Result<Self, Refusal> {
        if let Some(rest) = text.strip_prefix("preset:") {
            let (name, parts) =
                rest.split_once(':').map_or((rest, None), |(name, parts)| (name, Some(parts)));
            let name = PresetName::read(name)?;
            return Ok(Self::Preset {
                name,
                parts: parts.map_or(Ok(Parts::Whole), |text| read_parts(name, text))?,
            });
        }
        if let Some(rest) = text.strip_prefix("loopback:") {
            return Ok(Self::Loopback(read_ports(rest)?));
        }
        if text.contains("://") {
            return DomainName::read(text).map(|name| Self::Domain { name, ports: network::https() });
        }
        let (host, ports) = split(text);
        let ports = ports.map(read_ports).transpose()?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(address) = address {
            let net = network::allowed_cidr(&IpNet::from(address).to_string())?;
            return Ok(Self::Cidr { net, ports });
        }
        if host.contains('/') {
            return Ok(Self::Cidr { net: network::allowed_cidr(host)?, ports });
        }
        Ok(Self::Domain { name: DomainName::read(host)?, ports: ports.unwrap_or_else(network::https) })
    }

    /// The entry as [`Allow::read_target`] reads it.
    pub fn target(&self) -> String {
        match self {
            Self::Preset { name, parts } => match parts {
                Parts::Whole => format!("preset:{name}"),
                Parts::Github(parts) => format!("preset:{name}:{}", list(parts)),
                Parts::Regions(regions) => format!("preset:{name}:{}", list(regions)),
            },
            Self::Domain { name, ports } if *ports == network::https() => name.to_string(),
            Self::Domain { name, ports } => format!("{name}:{}", list(ports.ranges())),
            Self::Cidr { net, ports } => net_target(net, ports.as_ref()),
            Self::Loopback(ports) => format!("loopback:{}", list(ports.ranges())),
        }
    }

    /// Whether it lets through all that another entry does.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Domain { name: a, ports: p }, Self::Domain { name: b, ports: q }) => {
                a == b && within(Some(q), Some(p))
            }
            (Self::Cidr { net: a, ports: p }, Self::Cidr { net: b, ports: q }) => {
                a.contains(b) && within(q.as_ref(), p.as_ref())
            }
            (Self::Loopback(p), Self::Loopback(q)) => within(Some(q), Some(p)),
            _ => self == other,
        }
    }
}

impl Deny {
    /// The entry as [`Allow::read_target`] reads it.
    pub fn target(&self) -> String {
        net_target(&self.net, self.ports.as_ref())
    }
}

fn net_target(net: &IpNet, ports: Option<&PortSet>) -> String {
    ports.map_or_else(|| net.to_string(), |ports| format!("{net}:{}", list(ports.ranges())))
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// A host or network, and the ports behind its colon or comma.
fn split(text: &str) -> (&str, Option<&str>) {
    let bare = text.parse::<Ipv6Addr>().is_ok();
    // The colons of IPv6 end at its bracket or at the length of the network.
    let network = text.find('/').filter(|at| text[..*at].parse::<IpAddr>().is_ok());
    let from = if bare { text.len() } else { text.find(']').or(network).unwrap_or(0) };
    let end = text[from..].find([':', ',']).map(|at| from + at);
    end.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])))
}

fn read_ports(text: &str) -> Result<PortSet, Refusal> {
    let ranges = text.split(',').map(network::ports).collect::<Result<Vec<PortRange>, _>>()?;
    Ok(ranges.into())
}

fn read_parts(name: PresetName, text: &str) -> Result<Parts, Refusal> {
    let words = || text.split(',');
    match name.as_str() {
        "github" => {
            let known = || GithubPart::ALL.iter().map(|part| part.as_str());
            let part = |word: &str| {
                let part = GithubPart::ALL.iter().copied().find(|part| part.as_str() == word);
                let hint = || format!("one of {}", known().collect::<Vec<_>>().join(", "));
                part.ok_or_else(|| Refusal::new(format!("{} is no part of GitHub", quote(word)), hint()))
            };
            unique(words().map(part).collect::<Result<_, _>>()?).map(Parts::Github)
        }
        "aws-s3" => unique(words().map(super::Region::read).collect::<Result<_, _>>()?).map(Parts::Regions),
        _ => {
            let message = format!("`preset:{name}` has no parts, such as {}", quote(text));
            Err(Refusal::new(message, format!("write `preset:{name}`")))
        }
    }
}

fn unique<T: PartialEq>(items: Vec<T>) -> Result<Vec<T>, Refusal> {
    let twice = items.iter().enumerate().any(|(at, item)| items[..at].contains(item));
    if twice { Err(Refusal::new("a part stands there twice", "write each once")) } else { Ok(items) }
}

/// Whether every port of one entry is among those of another; `None` is every port of every protocol.
fn within(ports: Option<&PortSet>, others: Option<&PortSet>) -> bool {
    let Some(others) = others else { return true };
    let Some(ports) = ports else { return false };
    let covered = |protocol: Protocol| {
        ports
            .of(protocol)
            .all(|range| others.of(protocol).any(|o| o.first <= range.first && range.last <= o.last))
    };
    covered(Protocol::Tcp) && covered(Protocol::Udp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::render::tests as strategies;
    use proptest::prelude::*;

    #[test]
    fn targets_as_people_type_them() {
        for (text, entry) in [
            ("preset:github", "preset: github"),
            ("preset:github:packages,pages", "preset: github, github: [packages, pages]"),
            ("preset:aws-s3:eu-central-1", "preset: aws-s3, regions: [eu-central-1]"),
            ("API.example.com", "domain: api.example.com"),
            ("*.example.com:443,8443", "domain: \"*.example.com\", ports: [443, 8443]"),
            ("10.20.0.0/16:5432,8000-8099", "cidr: 10.20.0.0/16, ports: [5432, \"8000-8099\"]"),
            ("10.20.0.0/16,5432", "cidr: 10.20.0.0/16, ports: [5432]"),
            ("192.0.2.7", "cidr: 192.0.2.7/32"),
            ("192.0.2.7:53/udp", "cidr: 192.0.2.7/32, ports: [\"53/udp\"]"),
            ("2001:db8::/32:443", "cidr: 2001:db8::/32, ports: [443]"),
            ("2001:db8::1", "cidr: 2001:db8::1/128"),
            ("[2001:db8::1]:443", "cidr: 2001:db8::1/128, ports: [443]"),
            ("loopback:5432,6379", "loopback: [5432, 6379]"),
        ] {
            assert_eq!(Allow::read_target(text).unwrap().to_string(), entry, "{text}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_a_mend() {
        for bad in [
            "",
            "preset:",
            "preset:githug",
            "preset:github:",
            "preset:github:nothing",
            "preset:npm:x",
            "preset:aws-s3:frankfurt",
            "preset:github:pages,pages",
            "loopback:",
            "loopback:0",
            "10.20.0.1/16",
            "127.0.0.0/8",
            "::1",
            "https://api.example.com/x",
            "example.com:",
            "example",
            "10.0.0.0/8:x",
        ] {
            let refusal = Allow::read_target(bad).unwrap_err();
            assert!(!refusal.hint().is_empty(), "{bad}");
        }
    }

    #[test]
    fn ports_within_others() {
        let set = |text: &str| -> PortSet { text.split(',').map(|text| text.parse().unwrap()).collect() };
        let (few, many) = (set("443"), set("400-500,53/udp"));
        assert!(within(Some(&few), Some(&many)) && within(Some(&few), None) && within(None, None));
        assert!(!within(Some(&many), Some(&few)) && !within(None, Some(&many)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn reading_a_target_gives_its_entry(entry in strategies::allow_entry()) {
            prop_assert_eq!(Allow::read_target(&entry.target()).map_err(|refusal| refusal.to_string()), Ok(entry));
        }

        #[test]
        fn any_text(text in "\\PC{0,30}", near in "(preset|loopback)?:?[a-z0-9.,:/\\[\\]*-]{0,20}") {
            let _ = Allow::read_target(&text);
            let _ = Allow::read_target(&near);
        }
    }
}
