//! What presets and names stand for on this machine: published ranges, hosts that the human accepted, addresses that names
//! had. Gathered with the facts, and read by the planner as they are.

use super::AccountName;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    str::FromStr,
};

/// A day as `YYYY-MM-DD` (ISO 8601).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// Why a text is not a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day of the form YYYY-MM-DD")]
pub struct DateError;

impl Date {
    /// The day of a moment, in seconds since 1970 and UTC.
    pub fn of_unix(seconds: u64) -> Self {
        // Days from civil, <https://howardhinnant.github.io/date_algorithms.html>: eras of 400 years that begin in March.
        let days = seconds / 86_400 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year + era * 400 + u64::from(month <= 2);
        let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
        Self { year: u16::try_from(year).unwrap_or(u16::MAX), month: small(month), day: small(day) }
    }
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let digits = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = text.split('-').collect();
        let [year, month, day] = parts[..] else { return Err(DateError) };
        if !(digits(year, 4) && digits(month, 2) && digits(day, 2)) {
            return Err(DateError);
        }
        let number = |part: &str| part.parse().map_err(|_| DateError);
        let date =
            Self { year: year.parse().map_err(|_| DateError)?, month: number(month)?, day: number(day)? };
        let fits = (1..=12).contains(&date.month) && (1..=31).contains(&date.day);
        if fits { Ok(date) } else { Err(DateError) }
    }
}

impl TryFrom<String> for Date {
    type Error = DateError;

    fn try_from(text: String) -> Result<Self, DateError> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Who publishes address ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publisher {
    /// GitHub, by part.
    Github,
    /// Amazon Web Services: those of S3, by region.
    Aws,
}

impl Publisher {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Github, Self::Aws];

    /// Its name in files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Aws => "aws",
        }
    }

    /// Where the ranges are published.
    pub fn url(self) -> &'static str {
        match self {
            Self::Github => "https://api.github.com/meta",
            Self::Aws => "https://ip-ranges.amazonaws.com/ip-ranges.json",
        }
    }
}

impl fmt::Display for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Ranges as they were published on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    /// The version of this form: 1.
    pub version: u8,
    /// Who published them.
    pub source: Publisher,
    /// The day of the data, not of reading it.
    pub date: Date,
    /// Networks of each part or region, aggregated and sorted.
    pub groups: BTreeMap<String, Vec<IpNet>>,
}

/// A host that a tool's configuration names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolHost {
    /// The name or address, in lower case; never with a password.
    pub host: String,
    /// The port of TCP.
    pub port: u16,
    /// The tool, such as `npm`.
    pub tool: String,
    /// The setting that names it, such as `registry`, or the file.
    pub setting: String,
}

/// Hosts of discovered presets, by preset.
pub type ToolHosts = BTreeMap<String, BTreeSet<ToolHost>>;

/// The addresses that a name had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// When it had them.
    pub date: Date,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// A file of root's that keeps such a table, in one form for all: JSON, with a version.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<T> {
    version: u8,
    of: T,
}

/// The largest such file that is read, in bytes.
const MAX_KEPT: usize = 1 << 20;

/// The text of a file that keeps [`ToolHosts`] or [`Addresses`].
pub fn keep<T: Serialize>(table: &T) -> String {
    let text = serde_json::to_string_pretty(&Kept { version: 1, of: table });
    // Tables with text as keys can't fail.
    text.map(|text| text + "\n").unwrap_or_default()
}

/// Reads what [`keep`] wrote; `None` for anything else.
pub fn kept<T: serde::de::DeserializeOwned>(text: &[u8]) -> Option<T> {
    if text.len() > MAX_KEPT {
        return None;
    }
    let kept: Kept<T> = serde_json::from_slice(text).ok()?;
    (kept.version == 1).then_some(kept.of)
}

/// Addresses that names had, by name.
pub type Addresses = BTreeMap<String, Resolved>;

/// What presets and names stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The newest good ranges of each publisher whose preset a policy names.
    pub ranges: BTreeMap<Publisher, Ranges>,
    /// Those of `ranges` that are newer than the snapshot in this program.
    pub fetched: BTreeSet<Publisher>,
    /// Hosts of discovered presets that each agent's human accepted.
    pub hosts: BTreeMap<AccountName, ToolHosts>,
    /// Addresses of the names that root resolves for each agent.
    pub addresses: BTreeMap<AccountName, Addresses>,
    /// Whether programs have names resolved past a DNS gate, so that root resolves those of `dns: gate`, too.
    pub beside_gate: bool,
    /// Resolvers of the system, from resolv.conf(5).
    pub resolvers: Vec<IpAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        for good in ["2025-07-25", "1970-01-01", "2024-02-29"] {
            assert_eq!(good.parse::<Date>().unwrap().to_string(), good);
        }
        for bad in ["", "2025-7-25", "2025-13-01", "2025-00-01", "2025-01-32", "+025-01-01", "2025-01-01T"] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
        assert!("2025-07-25".parse::<Date>().unwrap() < "2025-08-01".parse().unwrap());
    }

    #[test]
    fn what_was_kept_is_read_again_and_nothing_else() {
        let host = ToolHost {
            host: "npm.example.com".into(),
            port: 443,
            tool: "npm".into(),
            setting: "registry".into(),
        };
        let hosts: ToolHosts = [("npm".to_owned(), [host].into())].into();
        assert_eq!(kept::<ToolHosts>(keep(&hosts).as_bytes()), Some(hosts));
        let date = "2026-11-24".parse().unwrap();
        let addresses: Addresses = [(
            "a.example.com".to_owned(),
            Resolved { date, addresses: ["192.0.2.1".parse().unwrap()].into() },
        )]
        .into();
        assert_eq!(kept::<Addresses>(keep(&addresses).as_bytes()), Some(addresses));
        for bad in ["", "{}", "{\"version\":2,\"of\":{}}", "{\"version\":1,\"of\":{},\"x\":1}", "[1]"] {
            assert_eq!(kept::<ToolHosts>(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn days_of_moments() {
        // As `date -u -d @N +%F` prints them.
        let days = [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (1_709_251_199, "2024-02-29")];
        for (seconds, day) in
            days.into_iter().chain([(1_709_251_200, "2024-03-01"), (4_102_444_799, "2099-12-31")])
        {
            assert_eq!(Date::of_unix(seconds).to_string(), day);
        }
    }
}
