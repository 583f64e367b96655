//! The machine's resolvers, as resolv.conf(5) lists them, read again when the file changes.

use crate::host;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant, SystemTime},
};

/// The most resolvers that libraries ask (`MAXNS`).
const MOST: usize = 3;
/// The file is looked at no more often.
const PAUSE: Duration = Duration::from_secs(1);
/// A resolver that failed is asked last for so long.
const PENANCE: Duration = Duration::from_secs(10);

/// The resolvers to ask, and how they did.
pub struct Resolvers {
    path: String,
    servers: Vec<Server>,
    changed: Option<(SystemTime, u64)>,
    looked: Option<Instant>,
}

struct Server {
    address: SocketAddr,
    failed: Option<Instant>,
}

impl Resolvers {
    /// The resolvers that a file lists.
    pub fn new(path: String) -> Self {
        Self { path, servers: Vec::new(), changed: None, looked: None }
    }

    /// The resolvers in the order in which they are to be asked.
    pub fn now(&mut self, now: Instant) -> Vec<SocketAddr> {
        if self.looked.is_none_or(|last| now.duration_since(last) >= PAUSE) {
            self.looked = Some(now);
            self.look();
        }
        let (fine, other): (Vec<_>, Vec<_>) = self
            .servers
            .iter()
            .partition(|server| server.failed.is_none_or(|when| now.duration_since(when) >= PENANCE));
        fine.into_iter().chain(other).map(|server| server.address).collect()
    }

    fn look(&mut self) {
        let stamp = |data: fs::Metadata| Some((data.modified().ok()?, data.len()));
        let changed = fs::metadata(&self.path).ok().and_then(stamp);
        if changed == self.changed && !self.servers.is_empty() {
            return;
        }
        self.changed = changed;
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        self.servers = parse(&text).into_iter().map(|address| Server { address, failed: None }).collect();
    }

    /// A resolver did not answer.
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.address == address) {
            server.failed = Some(now);
        }
    }

    /// A resolver answered.
    pub fn answered(&mut self, address: SocketAddr) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.address == address) {
            server.failed = None;
        }
    }
}

/// The `nameserver` lines. Where there is none it is the one on this machine, as resolv.conf(5) says.
fn parse(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        // A zone names the interface of a link-local address; its number is asked of the system where it has a name.
        let (address, zone) = address.split_once('%').unwrap_or((address, ""));
        match address.parse().ok()? {
            IpAddr::V6(v6) => Some(SocketAddr::V6(std::net::SocketAddrV6::new(v6, 53, 0, scope(zone)))),
            v4 @ IpAddr::V4(_) => Some(SocketAddr::new(v4, 53)),
        }
    };
    let servers: Vec<_> = text.lines().filter_map(server).take(MOST).collect();
    if servers.is_empty() { vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53)] } else { servers }
}

fn scope(zone: &str) -> u32 {
    let index = || host::interface_index(zone);
    let is_name =
        !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    zone.parse().ok().or_else(|| is_name.then(index).flatten()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines() {
        let text = "# nameserver 192.0.2.9\nnameserver 192.0.2.1\nsearch example.com\n nameserver\t2001:db8::1\n\
                    nameserver not-an-address\nnameserver fe80::1%3\nnameserver 192.0.2.4\n";
        let shown: Vec<_> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%3]:53"]);
        assert_eq!(parse("options edns0\n"), ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn one_that_failed_is_asked_last_for_a_while() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n").unwrap();
        let mut resolvers = Resolvers::new(file.path().to_str().unwrap().into());
        let now = Instant::now();
        let order = |resolvers: &mut Resolvers, now| {
            resolvers.now(now).iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(&mut resolvers, now), ["192.0.2.1", "192.0.2.2"]);
        resolvers.failed("192.0.2.1:53".parse().unwrap(), now);
        assert_eq!(order(&mut resolvers, now), ["192.0.2.2", "192.0.2.1"]);
        assert_eq!(order(&mut resolvers, now + PENANCE), ["192.0.2.1", "192.0.2.2"]);
        fs::write(&file, "nameserver 192.0.2.33\n").unwrap();
        assert_eq!(order(&mut resolvers, now + PENANCE + PAUSE), ["192.0.2.33"]);
    }
}
