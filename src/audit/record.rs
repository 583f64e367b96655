//! A line of the log.

use crate::gate::rules::Refusal;
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    io::{Read, Seek, SeekFrom},
    net::IpAddr,
    path::Path,
    time::SystemTime,
};

/// The most bytes of a log's end in which [`since`] looks.
const LATEST: u64 = 256 * 1024;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A packet was refused by the first belt.
    Deny,
    /// A packet was refused by the second belt alone: the first one is out of force, or lets more out.
    Mirror,
    /// A flow was let out.
    Allow,
    /// A name was refused.
    DnsRefused,
    /// Rules that another tool had put out of force were put in force again.
    Repair,
    /// Lines that could not be written: so many things happened in so short a time.
    Lost,
}

impl Act {
    /// Whether something of the agent's was refused.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Deny | Self::Mirror | Self::DnsRefused)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "refused",
            Self::Mirror => "refused (second belt)",
            Self::Allow => "allowed",
            Self::DnsRefused => "name refused",
            Self::Repair => "repaired",
            Self::Lost => "lines lost",
        })
    }
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in UTC (RFC 3339).
    #[serde(with = "rfc3339")]
    pub t: SystemTime,
    /// The agent.
    pub agent: String,
    /// Whose packet it was: the agent's uid, or one of its sub-uids.
    pub uid: u32,
    /// What happened.
    pub act: Act,
    /// The protocol: `tcp`, `udp`, `icmp`, or a number of `/etc/protocols`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<String>,
    /// Where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst: Option<IpAddr>,
    /// To which port, where the protocol has such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The name that the address was an answer for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// The reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How often it happened: 1, then with each further line the repeats since the line before.
    pub n: u64,
    /// The process, where it could be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
}

impl Record {
    /// A line about an agent, without details.
    pub fn new(agent: &str, uid: u32, act: Act, t: SystemTime) -> Self {
        let agent = agent.to_owned();
        let (proto, dst, port, name, q, why, pid, exe) = Default::default();
        Self { t, agent, uid, act, proto, dst, port, name, q, why, n: 1, pid, exe }
    }

    /// A line about names that were refused to an agent.
    pub fn name_refused(agent: &str, uid: u32, why: Refusal, count: u32, name: &str) -> Self {
        let mut record = Self::new(agent, uid, Act::DnsRefused, SystemTime::now());
        record.q = Some(name.to_owned());
        record.why = Some(why.why().into());
        record.n = count.into();
        record
    }

    /// The line with its end.
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::SystemTime;

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_rfc3339_millis(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        humantime::parse_rfc3339(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// The lines of a log, or of a piece of one: what is no whole line is left out.
pub fn parse(text: &[u8]) -> impl Iterator<Item = Record> {
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// Something that was refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Denial {
    /// The name, or the address where none is known.
    pub host: String,
    /// The port; none for a name that was not answered.
    pub port: Option<u16>,
    /// The protocol, where it is not TCP.
    pub proto: Option<String>,
    /// Who refused.
    pub act: Act,
}

impl Denial {
    /// What a line refused; none where it refused nothing.
    pub fn of(record: &Record) -> Option<Self> {
        if !record.act.is_refusal() {
            return None;
        }
        let name = record.q.clone().or_else(|| record.name.clone());
        let host = name.or_else(|| record.dst.map(|address| address.to_string()))?;
        let proto = record.proto.clone().filter(|proto| proto != "tcp");
        Some(Self { host, port: record.port, proto, act: record.act })
    }

    /// The command with which the human would allow it; none where no command does.
    pub fn remedy(&self) -> Option<String> {
        let of_a_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        let unfit = self.proto.as_deref().is_some_and(|proto| proto != "udp");
        if unfit || self.host.is_empty() || self.host.starts_with('-') || !self.host.bytes().all(of_a_host) {
            return None;
        }
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let udp = if self.proto.is_some() && !port.is_empty() { "/udp" } else { "" };
        let quote = if host.starts_with('[') { "'" } else { "" };
        Some(format!("agentuser net allow {quote}{host}{port}{udp}{quote}"))
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, " port {port}"),
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// What was refused since a moment, each once, from the end of a log; nothing where it can't be read.
pub fn since(path: &Path, moment: SystemTime) -> Vec<Denial> {
    let read = || {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LATEST)))?;
        let mut text = Vec::new();
        file.take(LATEST).read_to_end(&mut text).map(|_| text)
    };
    let text = read().unwrap_or_default();
    let mut found = Vec::new();
    for denial in parse(&text).filter(|record| record.t >= moment).filter_map(|record| Denial::of(&record)) {
        if !found.contains(&denial) {
            found.push(denial);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, time::Duration};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn refused(seconds: u64) -> Record {
        let mut record = Record::new("bot", 997, Act::Deny, at(seconds));
        record.proto = Some("tcp".into());
        record.dst = Some("192.0.2.7".parse().unwrap());
        record.port = Some(8000);
        record
    }

    #[test]
    fn a_line() {
        let mut record = refused(1_000_000_000);
        record.name = Some("cdn.example".into());
        record.exe = Some("/usr/bin/cu\u{1b}rl\n".into());
        let line = String::from_utf8(record.line()).unwrap();
        let wanted = r#"{"t":"2001-09-09T01:46:40.000Z","agent":"bot","uid":997,"act":"deny","proto":"tcp","dst":"192.0.2.7","port":8000,"name":"cdn.example","n":1,"exe":"/usr/bin/cu\u001brl\n"}"#;
        assert_eq!(line, format!("{wanted}\n"));
        assert_eq!(parse(line.as_bytes()).collect::<Vec<_>>(), [record]);
    }

    #[test]
    fn remedies() {
        let remedy = |host: &str, port: Option<u16>, proto: Option<&str>| {
            Denial { host: host.into(), port, proto: proto.map(Into::into), act: Act::Deny }.remedy()
        };
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(remedy("cdn.example", Some(443), None), said("agentuser net allow cdn.example:443"));
        assert_eq!(remedy("cdn.example", None, None), said("agentuser net allow cdn.example"));
        assert_eq!(remedy("2001:db8::1", Some(22), None), said("agentuser net allow '[2001:db8::1]:22'"));
        assert_eq!(remedy("192.0.2.1", Some(53), Some("udp")), said("agentuser net allow 192.0.2.1:53/udp"));
        assert_eq!(remedy("192.0.2.1", None, Some("icmp")), None);
        assert_eq!(remedy(r"a\x20;reboot.example", None, None), None);
        assert_eq!(remedy("(others)", None, None), None);
        assert_eq!(remedy("--yes", None, None), None);
    }

    #[test]
    fn refusals_since_a_moment() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut allowed = refused(30);
        allowed.act = Act::Allow;
        for record in [refused(10), refused(20), refused(21), allowed] {
            file.write_all(&record.line()).unwrap();
        }
        file.write_all(b"{\"t\":\"2001").unwrap();
        let found = since(file.path(), at(15));
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.7:8000"]);
        assert_eq!(since(file.path(), at(25)), []);
        assert_eq!(since(Path::new("/nonexistent"), at(0)), []);
    }
}
