//! Networks and ports as a policy writes them.

use super::error::{Refusal, quote};
use crate::model::{PortRange, PortSet, Protocol};
use ipnet::IpNet;
use std::net::IpAddr;

/// Reads a network in CIDR form, without host bits.
pub(super) fn cidr(text: &str) -> Result<IpNet, Refusal> {
    let no = |why: &str, hint: String| Err(Refusal::new(format!("{} {why}", quote(text)), hint));
    let Ok(net) = text.parse::<IpNet>() else {
        if let Ok(addr) = text.parse::<IpAddr>() {
            let length = if addr.is_ipv4() { 32 } else { 128 };
            return no("has no length", format!("write `{addr}/{length}` for this one address"));
        }
        let hint = "write an address, `/` and the number of its leading bits, such as `10.20.0.0/16` or `2001:db8::/32`";
        return no("is not a network", hint.into());
    };
    if let IpAddr::V6(addr) = net.addr()
        && addr.to_ipv4_mapped().is_some()
    {
        return no("is an IPv4 address in IPv6 dress", "write the IPv4 network".into());
    }
    if net.addr() != net.network() {
        return no("has bits set beyond its length", format!("write `{}`", net.trunc()));
    }
    Ok(net)
}

/// Reads a network that is to be let through.
pub(super) fn allowed_cidr(text: &str) -> Result<IpNet, Refusal> {
    let net = cidr(text)?;
    if net.addr().is_loopback() {
        let hint = "write `loopback: [PORT]` with the ports that the agent needs";
        return Err(Refusal::new(format!("{} is this machine's loopback", quote(text)), hint));
    }
    Ok(net)
}

/// The ports of a domain that names none.
pub(super) fn https() -> PortSet {
    PortSet::from_iter([PortRange { protocol: Protocol::Tcp, first: 443, last: 443 }])
}

/// Reads a port, or a range of ports.
pub(super) fn ports(text: &str) -> Result<PortRange, Refusal> {
    text.parse::<PortRange>().map_err(|_| {
        let number = text.split('/').next().unwrap_or_default();
        let ends = number.split_once('-').map(|(a, b)| (a.parse::<u32>(), b.parse::<u32>()));
        let (why, hint) = match (number.parse::<i64>(), ends) {
            (Ok(0), _) => {
                ("is not a port: port 0 does not exist", "write a number from 1 to 65535".to_owned())
            }
            (Ok(1..), _) if number == text => {
                ("is not a port: ports end at 65535", "write a number from 1 to 65535".into())
            }
            (_, Some((Ok(first), Ok(last)))) if first > last => {
                ("is not a range: it runs backwards", format!("write \"{last}-{first}\""))
            }
            _ => (
                "is not a port",
                "write a number such as 443, a range such as \"8000-8099\", or \"53/udp\"".into(),
            ),
        };
        Refusal::new(format!("{} {why}", quote(text)), hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for good in ["10.20.0.0/16", "0.0.0.0/0", "2001:db8::/32", "192.0.2.1/32"] {
            assert_eq!(cidr(good).unwrap().to_string(), good);
        }
        assert_eq!(cidr("10.20.0.1/16").unwrap_err().hint, "write `10.20.0.0/16`");
        assert_eq!(cidr("192.0.2.1").unwrap_err().hint, "write `192.0.2.1/32` for this one address");
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::ffff:10.0.0.0/104", "example.com", "10.0.0.0/+8"] {
            assert!(cidr(bad).is_err(), "{bad}");
        }
        assert!(allowed_cidr("127.0.0.0/8").is_err() && allowed_cidr("::1/128").is_err());
    }

    #[test]
    fn port_hints() {
        assert_eq!(ports("9-8").unwrap_err().hint, "write \"8-9\"");
        assert!(ports("0").unwrap_err().message.contains("port 0"));
        assert!(ports("65536").unwrap_err().message.contains("65535"));
    }
}
