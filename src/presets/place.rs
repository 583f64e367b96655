//! Destinations as people and tools write them: `HOST[:PORT]`, addresses, and addresses of pages.

use crate::{model::Protocol, policy::DomainName};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// A host by its name or address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name, never with an asterisk.
    Name(DomainName),
    /// An address.
    Address(IpAddr),
    /// This machine, by whatever name.
    Loopback,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Loopback => f.write_str("localhost"),
        }
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port)?,
            host => write!(f, "{host}:{}", self.port)?,
        }
        if self.protocol == Protocol::Udp { f.write_str("/udp") } else { Ok(()) }
    }
}

/// Why a text names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The address of a page under another scheme than `http` and `https`.
    #[error("`{0}` is not an address of http or https")]
    Scheme(String),
    /// No host that a rule can name.
    #[error("`{text}` names no host: {why}")]
    Host {
        /// The text, escaped and without a password.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// No port.
    #[error("`{0}` is not a port: write a number from 1 to 65535, or one with `/udp` behind it")]
    Port(String),
}

/// The port that is meant where none is written.
const HTTPS: u16 = 443;

impl Place {
    /// Reads `HOST`, `HOST:PORT`, `HOST:PORT/udp`, an address, or the address of a page; the second value says whether the
    /// port was written, or told by the scheme.
    pub fn read(text: &str) -> Result<(Self, bool), PlaceError> {
        let text = text.trim();
        if text.contains("://") {
            return Ok((Self::of_url(text)?, true));
        }
        let plain = |host| (Self { host, port: HTTPS, protocol: Protocol::Tcp }, false);
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(plain(host(text)?));
        }
        let (name, port) = split(text)?;
        let host = host(name)?;
        let Some(port) = port else { return Ok(plain(host)) };
        let (number, protocol) = match port.split_once('/') {
            Some((number, "udp")) => (number, Protocol::Udp),
            Some((number, "tcp")) => (number, Protocol::Tcp),
            _ => (port, Protocol::Tcp),
        };
        Ok((Self { host, port: number_of(number)?, protocol }, true))
    }

    /// The host and port of the address of a page, `http` or `https`, with or without a prefix such as `sparse+`. What a
    /// password or path is in it is left out.
    pub fn of_url(text: &str) -> Result<Self, PlaceError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| PlaceError::Scheme(shown(text)))?;
        let scheme = scheme.rsplit('+').next().unwrap_or_default().to_ascii_lowercase();
        let standard = match scheme.as_str() {
            "https" => HTTPS,
            "http" => 80,
            _ => return Err(PlaceError::Scheme(shown(&scheme))),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // The last `@` ends the user and password, which may hold others (RFC 3986, 3.2.1).
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (name, port) = split(authority)?;
        let port = port.filter(|port| !port.is_empty()).map_or(Ok(standard), number_of)?;
        Ok(Self { host: host(name)?, port, protocol: Protocol::Tcp })
    }
}

/// Host and port, the host of IPv6 without its brackets.
fn split(text: &str) -> Result<(&str, Option<&str>), PlaceError> {
    if let Some(rest) = text.strip_prefix('[') {
        let bad = || PlaceError::Host { text: shown(text), why: "a bracket is not closed".into() };
        let (inside, behind) = rest.split_once(']').ok_or_else(bad)?;
        return match behind.strip_prefix(':') {
            Some(port) => Ok((inside, Some(port))),
            None if behind.is_empty() => Ok((inside, None)),
            None => Err(PlaceError::Port(shown(behind))),
        };
    }
    Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

fn host(text: &str) -> Result<Host, PlaceError> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if let Ok(address) = name.parse::<IpAddr>() {
        let address = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        return Ok(if address.is_loopback() { Host::Loopback } else { Host::Address(address) });
    }
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(Host::Loopback);
    }
    let no = |why: String| PlaceError::Host { text: shown(text), why };
    if name.starts_with("*.") {
        return Err(no("it stands for many".into()));
    }
    name.parse().map(Host::Name).map_err(|refusal: crate::policy::Refusal| no(refusal.to_string()))
}

fn number_of(text: &str) -> Result<u16, PlaceError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port > 0);
    port.ok_or_else(|| PlaceError::Port(shown(text)))
}

/// What is shown of a text: short, escaped, and nothing before an `@`, for that may be a password.
fn shown(text: &str) -> String {
    let text = text.rsplit('@').next().unwrap_or_default();
    text.chars().take(80).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> String {
        Place::of_url(text).map_or_else(|error| error.to_string(), |place| place.to_string())
    }

    #[test]
    fn addresses_of_pages() {
        for (text, place) in [
            ("https://registry.example.com/", "registry.example.com:443"),
            ("http://Mirror.example.com/debian", "mirror.example.com:80"),
            ("https://registry.example.com:8443/a?b#c", "registry.example.com:8443"),
            ("sparse+https://index.example.com/", "index.example.com:443"),
            ("https://user:pass@word@registry.example.com/x@y", "registry.example.com:443"),
            ("http://[2001:db8::1]:3128", "[2001:db8::1]:3128"),
            ("http://192.0.2.7:8081/simple", "192.0.2.7:8081"),
            ("http://127.0.0.1:3128", "localhost:3128"),
            ("http://localhost:4873/", "localhost:4873"),
            ("https://registry.example.com./", "registry.example.com:443"),
            ("https://registry.example.com:/", "registry.example.com:443"),
        ] {
            assert_eq!(url(text), place, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_without_its_password() {
        for bad in [
            "",
            "registry.example.com",
            "ftp://example.com",
            "file:///srv",
            "https://",
            "https://nexus/",
            "https://a_b.example.com",
            "https://example.com:0",
            "https://example.com:99999",
            "https://[::1",
            "https://*.example.com",
            "https://user:secret@nexus/",
            "javascript://example.com",
        ] {
            let error = Place::of_url(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn places_as_people_write_them() {
        for (text, place, given) in [
            ("api.example.com", "api.example.com:443", false),
            ("API.example.com:22", "api.example.com:22", true),
            ("192.0.2.1", "192.0.2.1:443", false),
            ("192.0.2.1:53/udp", "192.0.2.1:53/udp", true),
            ("2001:db8::1", "[2001:db8::1]:443", false),
            ("[2001:db8::1]:22", "[2001:db8::1]:22", true),
            ("localhost:5432", "localhost:5432", true),
            ("::1", "localhost:443", false),
            ("http://api.example.com/x", "api.example.com:80", true),
        ] {
            let (read, written) = Place::read(text).unwrap();
            assert_eq!((read.to_string().as_str(), written), (place, given), "{text}");
        }
        for bad in
            ["", "a b.example.com", "example.com:", "example.com:x", "example.com:1/sctp", "-x.example.com"]
        {
            assert!(Place::read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text(text in "\\PC{0,40}", url in "(https?://)?[a-z0-9.:@\\[\\]/%*-]{0,30}") {
            for text in [text, url] {
                if let Ok((place, _)) = Place::read(&text) {
                    prop_assert_eq!(Place::read(&place.to_string()).unwrap(), (place, true));
                }
                let _ = Place::of_url(&text);
            }
        }
    }
}
