//! Networks that are not of the public internet, by the registries of special-purpose addresses:
//! <https://www.iana.org/assignments/iana-ipv4-special-registry/> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry/>.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const V4: [([u8; 4], u8); 14] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([192, 0, 2, 0], 24),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, reserved and broadcast: all from here to the end.
    ([224, 0, 0, 0], 3),
];

/// The global unicast block, and what in it is set apart.
const GLOBAL: ([u16; 8], u8) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
const V6: [([u16; 8], u8); 4] = [
    // Protocol assignments: Teredo, benchmarking, ORCHID and others.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    // 6to4: IPv4 addresses of any kind in IPv6 dress.
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

fn v4((octets, len): ([u8; 4], u8)) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from(octets), len)
}

fn v6((segments, len): ([u16; 8], u8)) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from(segments), len)
}

/// Whether every address of a network is one of the public internet.
pub fn is_public(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => V4.into_iter().map(v4).all(|other| !other.contains(net) && !net.contains(&other)),
        IpNet::V6(net) => {
            v6(GLOBAL).contains(net)
                && V6.into_iter().map(v6).all(|other| !other.contains(net) && !net.contains(&other))
        }
    }
}

/// Whether an address is set apart for documentation (RFC 5737, RFC 3849, RFC 9637): nobody has it, so that it leads
/// nowhere, and tests use it.
pub(super) fn is_documentation(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => V4[10..13].iter().copied().map(v4).any(|net| net.contains(&address)),
        IpAddr::V6(address) => V6[2..4].iter().copied().map(v6).any(|net| net.contains(&address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_set_apart_are_not_public() {
        let set_apart = [
            "0.0.0.0/0",
            "0.0.0.0/8",
            "10.1.0.0/16",
            "100.64.0.0/10",
            "127.0.0.1/32",
            "169.254.169.254/32",
            "172.31.0.0/16",
            "192.168.1.0/24",
            "198.19.0.0/16",
            "192.0.2.1/32",
            "203.0.113.0/24",
            "224.0.0.1/32",
            "240.0.0.0/4",
            "255.255.255.255/32",
            "192.0.0.0/8",
            "::/0",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
            "ff02::/16",
            "::ffff:10.0.0.1/128",
            "64:ff9b::/96",
            "2001:db8::/32",
            "2001::/32",
            "2002::/16",
            "2000::/3",
        ];
        for net in set_apart {
            assert!(!is_public(&net.parse().unwrap()), "{net}");
        }
        for net in [
            "9.9.9.0/24",
            "100.128.0.0/16",
            "172.32.0.0/16",
            "223.255.255.0/24",
            "2606:50c0::/32",
            "2a00::/12",
        ] {
            assert!(is_public(&net.parse().unwrap()), "{net}");
        }
    }

    #[test]
    fn documentation() {
        for address in ["192.0.2.1", "198.51.100.7", "203.0.113.255", "2001:db8::1", "3fff::1"] {
            assert!(is_documentation(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1", "198.18.0.1", "2001::1", "2002::1", "::1"] {
            assert!(!is_documentation(address.parse().unwrap()), "{address}");
        }
    }
}
