//! What the gate decides: which names are answered, and which addresses. Both processes ask the same rules.

use crate::model::desired::Firewall;
use ipnet::IpNet;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The most of a name that stands in the place of a wildcard's star, in bytes.
const LONGEST_BELOW: usize = 80;
/// The longest label there.
const LONGEST_LABEL: usize = 48;
/// From this length on, what stands there must not look like data.
const WORDS: usize = 28;
/// Bits a character of text that does: random base 32 has 4.4 at 32 characters, names of hosts stay below 3.9.
const DISORDER: f64 = 4.15;

/// The policy of one agent, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    exact: HashMap<String, Vec<usize>>,
    below: HashMap<String, Vec<usize>>,
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    everything: bool,
}

/// An allowed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Which lists of [`Firewall::names`] have it.
    pub lists: Vec<usize>,
    /// Whether no list has it as it is, only by a wildcard.
    pub wildcard: bool,
}

/// Why a question is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// No list has the name.
    NotListed = 1,
    /// Something else than addresses is asked for.
    Kind = 2,
    /// Below a wildcard: too long, or like data.
    Suspicious = 3,
    /// Below a wildcard: too many names in a short time.
    TooMany = 4,
    /// All its addresses are private, of this machine, or denied.
    Private = 5,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::NotListed, Self::Kind, Self::Suspicious, Self::TooMany, Self::Private];

    /// In words.
    pub fn why(self) -> &'static str {
        match self {
            Self::NotListed => "not in the policy",
            Self::Kind => "only addresses are looked up",
            Self::Suspicious => "below a wildcard, and looks like data",
            Self::TooMany => "too many names below a wildcard",
            Self::Private => "its addresses are private or denied",
        }
    }
}

/// What becomes of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is put into the sets and handed out.
    Opened,
    /// It is handed out; the policy's networks decide about it.
    Listed,
    /// It is left out.
    Withheld,
}

impl Rules {
    /// The rules of a policy.
    pub fn of(firewall: &Firewall) -> Self {
        let mut rules = Self { everything: firewall.outbound_allowed, ..Self::default() };
        for (index, list) in firewall.names.iter().enumerate() {
            for name in &list.names {
                let (map, key) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut rules.below, rest),
                    None => (&mut rules.exact, name.as_str()),
                };
                map.entry(key.to_owned()).or_default().push(index);
            }
        }
        rules.allow = firewall.allow.iter().flat_map(|to| to.nets.iter().copied()).collect();
        // What is denied on some ports alone stays reachable on the others: the firewall decides.
        let wholly = firewall.deny.iter().filter(|to| to.ports.is_none());
        rules.deny = wholly.flat_map(|to| to.nets.iter().copied()).collect();
        rules
    }

    /// Whether a name, in lower case and without a final dot, may be asked for.
    pub fn name(&self, name: &str) -> Result<Allowed, Refusal> {
        let mut lists = self.exact.get(name).cloned().unwrap_or_default();
        let (wildcard, mut suspicious) = (lists.is_empty(), false);
        for (at, _) in name.match_indices('.') {
            if let Some(more) = self.below.get(&name[at + 1..]) {
                suspicious |= looks_like_data(&name[..at]);
                lists.extend(more);
            }
        }
        lists.sort_unstable();
        lists.dedup();
        match (lists.is_empty(), wildcard && suspicious) {
            (true, _) => Err(Refusal::NotListed),
            (false, true) => Err(Refusal::Suspicious),
            (false, false) => Ok(Allowed { lists, wildcard }),
        }
    }

    /// What becomes of an address that an allowed name has.
    pub fn address(&self, address: IpAddr) -> Fate {
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        match address {
            _ if within(&self.deny) => Fate::Withheld,
            address if is_public(address) => Fate::Opened,
            _ if self.everything || within(&self.allow) => Fate::Listed,
            _ => Fate::Withheld,
        }
    }
}

fn looks_like_data(below: &str) -> bool {
    below.len() > LONGEST_BELOW
        || below.split('.').any(|label| label.len() > LONGEST_LABEL)
        || below.len() > WORDS && disorder(below) > DISORDER
}

/// Bits a character (Shannon's entropy).
fn disorder(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let length = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    let share = |count: &u32| f64::from(*count) / length;
    counts.iter().filter(|count| **count > 0).map(share).map(|part| -part * part.log2()).sum()
}

/// Whether an address is one of the internet's: not private, of a link, of this machine, of a group, or of a cloud's metadata
/// (IANA's special-purpose registries; an IPv4 address inside an IPv6 one is judged by itself).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(matches!(a, 0 | 10 | 127 | 224..)
        || (a, b) == (169, 254)
        || (a, b) == (192, 168)
        || (a, b, c) == (192, 0, 0)
        || a == 100 && b & 0xc0 == 64
        || a == 172 && b & 0xf0 == 16
        || a == 198 && b & 0xfe == 18
        // The metadata server of a cloud that stands among public addresses.
        || address == Ipv4Addr::new(168, 63, 129, 16))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, middle @ .., high, low] = address.segments();
    let embedded = |high: u16, low: u16| is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (first, second) {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to an IPv4 address.
        (0x64, 0xff9b) if middle == [0; 4] => embedded(high, low),
        (0x2002, _) => embedded(second, middle[0]),
        // Teredo hides one.
        (0x2001, 0) => false,
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{formats::iptables::tests::firewall, model::desired::Names};

    fn rules(names: &[&[&str]]) -> Rules {
        let list = |names: &&[&str]| Names {
            ports: ["443".parse().unwrap()].into_iter().collect(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        Rules::of(&Firewall { names: names.iter().map(list).collect(), ..firewall() })
    }

    #[test]
    fn names_are_exact_or_below_a_star() {
        let rules =
            rules(&[&["api.example.com", "*.example.org"], &["api.example.com", "*.cdn.example.org"]]);
        let ask = |name| rules.name(name).map(|allowed| (allowed.lists, allowed.wildcard));
        assert_eq!(ask("api.example.com"), Ok((vec![0, 1], false)));
        assert_eq!(ask("x.api.example.com"), Err(Refusal::NotListed));
        assert_eq!(ask("example.com"), Err(Refusal::NotListed));
        assert_eq!(ask("example.org"), Err(Refusal::NotListed));
        assert_eq!(ask("a.b.example.org"), Ok((vec![0], true)));
        assert_eq!(ask("a.cdn.example.org"), Ok((vec![0, 1], true)));
        assert_eq!(ask("notexample.org"), Err(Refusal::NotListed));
        assert_eq!(ask("example.org.evil.test"), Err(Refusal::NotListed));
        assert_eq!(ask(""), Err(Refusal::NotListed));
    }

    #[test]
    fn data_below_a_star() {
        let rules = rules(&[&["*.example.org"]]);
        let ask = |below: &str| rules.name(&format!("{below}.example.org")).map(drop);
        for fine in [
            "www",
            "d111111abcdef8",
            "my-bucket.s3.eu-central-1",
            "prod-registry-k8s-io-eu-west-1.s3.dualstack",
        ] {
            assert_eq!(ask(fine), Ok(()), "{fine}");
        }
        let data = "mzxw6ytboi3dcmrtgq2tmnzyhfqwey3e";
        assert_eq!(ask(data), Err(Refusal::Suspicious));
        assert_eq!(ask(&"a".repeat(49)), Err(Refusal::Suspicious));
        assert_eq!(ask(&["a"; 41].join(".")), Err(Refusal::Suspicious));
    }

    #[test]
    fn addresses_of_the_internet() {
        for public in
            ["192.0.2.1", "203.0.113.9", "172.32.0.1", "100.128.0.1", "2001:db8::1", "64:ff9b::c000:201"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.251",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:192.0.2.1",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::fb",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:1::1",
            "100::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn private_addresses_need_a_network_of_the_policy() {
        let net = |text: &str| crate::model::desired::Destinations {
            ports: None,
            nets: vec![text.parse().unwrap()],
        };
        let allow = vec![net("10.20.0.0/16"), net("198.51.100.0/24")];
        let deny = vec![net("10.20.0.1/32"), net("192.0.2.0/24")];
        let rules = Rules::of(&Firewall { deny, allow, ..firewall() });
        let fate = |text: &str| rules.address(text.parse().unwrap());
        assert_eq!(fate("10.20.0.2"), Fate::Listed);
        assert_eq!(fate("10.20.0.1"), Fate::Withheld);
        assert_eq!(fate("10.21.0.1"), Fate::Withheld);
        assert_eq!(fate("198.51.100.7"), Fate::Opened);
        assert_eq!(fate("192.0.2.7"), Fate::Withheld);
        assert_eq!(fate("203.0.113.7"), Fate::Opened);
    }
}
