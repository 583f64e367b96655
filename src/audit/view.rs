//! The log as a person reads it: a row for each thing that happened, with how often, and what to type about it.

use super::{Act, Denial, Record};
use std::{collections::HashMap, time::SystemTime};

/// The most commands that are suggested.
const MOST_REMEDIES: usize = 10;

/// Lines of the log that say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it happened last.
    pub last: SystemTime,
    /// What happened.
    pub act: Act,
    /// Where to, by name where one is known, with the port and the protocol.
    pub target: String,
    /// The reason, and the address where the target is a name.
    pub detail: String,
    /// The program, where it was found.
    pub program: Option<String>,
    /// How often.
    pub times: u64,
}

impl Row {
    /// The row of one line.
    pub fn of(record: &Record) -> Self {
        let port = record.port.map(|port| format!(":{port}")).unwrap_or_default();
        let address = record.dst.map(|address| match address {
            v6 if v6.is_ipv6() && record.port.is_some() => format!("[{v6}]"),
            other => other.to_string(),
        });
        let named = record.q.as_ref().or(record.name.as_ref());
        let host = named.cloned().or_else(|| address.clone()).unwrap_or_default();
        let proto = record.proto.as_deref().filter(|proto| *proto != "tcp");
        let proto = proto.map(|proto| format!(" {proto}")).unwrap_or_default();
        let details = [record.why.clone(), named.and(address)];
        let detail = details.into_iter().flatten().collect::<Vec<_>>().join(", ");
        Self {
            last: record.t,
            act: record.act,
            target: format!("{host}{port}{proto}"),
            detail,
            program: record.exe.clone(),
            times: record.n,
        }
    }
}

/// Rows and suggestions made of lines.
#[derive(Default)]
pub struct View {
    rows: Vec<Row>,
    places: HashMap<(Act, String, String), usize>,
    denials: Vec<(Denial, u64)>,
}

impl View {
    /// Adds a line.
    pub fn add(&mut self, record: &Record) {
        let row = Row::of(record);
        if let Some(denial) = Denial::of(record) {
            match self.denials.iter_mut().find(|(known, _)| *known == denial) {
                Some((_, times)) => *times += record.n,
                None => self.denials.push((denial, record.n)),
            }
        }
        let key = (row.act, row.target.clone(), row.detail.clone());
        if let Some(&at) = self.places.get(&key) {
            let known = &mut self.rows[at];
            known.times += row.times;
            known.last = row.last;
            known.program = row.program.or(known.program.take());
        } else {
            self.places.insert(key, self.rows.len());
            self.rows.push(row);
        }
    }

    /// The rows, what happened last at the end.
    pub fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.last);
        rows
    }

    /// Commands that would allow what was refused, the most frequent first, and how many more there would be.
    pub fn remedies(&self) -> (Vec<String>, usize) {
        let mut denials: Vec<_> = self.denials.iter().collect();
        denials.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        let mut commands: Vec<String> = Vec::new();
        for command in denials.into_iter().filter_map(|(denial, _)| denial.remedy()) {
            if !commands.contains(&command) {
                commands.push(command);
            }
        }
        let more = commands.len().saturating_sub(MOST_REMEDIES);
        commands.truncate(MOST_REMEDIES);
        (commands, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn record(seconds: u64, act: Act, host: &str, n: u64) -> Record {
        let mut record = Record::new("bot", 997, act, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        match host.parse() {
            Ok(address) => {
                (record.dst, record.port, record.proto) = (Some(address), Some(443), Some("tcp".into()));
            }
            Err(_) => record.q = Some(host.into()),
        }
        record.n = n;
        record
    }

    #[test]
    fn repeats_are_one_row() {
        let mut view = View::default();
        view.add(&record(1, Act::Deny, "192.0.2.1", 1));
        view.add(&record(2, Act::DnsRefused, "evil.example", 1));
        view.add(&record(3, Act::Deny, "192.0.2.1", 41));
        view.add(&record(4, Act::Allow, "192.0.2.9", 1));
        let shown: Vec<_> = view.rows().iter().map(|row| (row.target.as_str(), row.times)).collect();
        assert_eq!(shown, [("evil.example", 1), ("192.0.2.1:443", 42), ("192.0.2.9:443", 1)]);
        let commands = ["agentuser net allow 192.0.2.1:443", "agentuser net allow evil.example"];
        assert_eq!(view.remedies(), (commands.map(String::from).to_vec(), 0));
    }

    #[test]
    fn suggestions_have_an_end() {
        let mut view = View::default();
        (0..25).for_each(|last| view.add(&record(1, Act::Deny, &format!("192.0.2.{last}"), 1)));
        let (commands, more) = view.remedies();
        assert_eq!((commands.len(), more), (10, 15));
    }
}
