//! Names that a policy uses and nothing else of the program makes.

use super::error::{Refusal, quote};
use std::{fmt, num::NonZeroU64, str::FromStr};

/// The login name of a person. Wider than `AccountName`, for we don't choose it: capitals and dots are let in.
///
/// It ends up in sudoers(5), so `ALL` and whatever else is written like an alias there is not a name here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanName(String);

impl HumanName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let no = |why: &str| {
            let hint = "write the login name as `id -un` prints it: letters, digits, `.`, `_`, `-`";
            Err(Refusal::new(format!("{} {why}", quote(text)), hint))
        };
        let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
        if text.len() > 64 {
            return no("is longer than 64 characters");
        }
        if !text.bytes().next().is_some_and(first) || !text.bytes().all(rest) {
            return no("is not a login name");
        }
        if text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            && text.starts_with(|c: char| c.is_ascii_uppercase())
        {
            return no("is not a login name but an alias for sudoers(5)");
        }
        if text == "root" {
            let hint = "name the person who works with the agent: an account that is not root";
            return Err(Refusal::new("`root` can't be the human", hint));
        }
        Ok(Self(text.into()))
    }
}

/// A service whose addresses and domains are published, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PresetName(&'static str);

/// The presets, in the order in which messages list them.
pub const PRESETS: [PresetName; 16] = [
    PresetName("anthropic"),
    PresetName("openai"),
    PresetName("google-ai"),
    PresetName("github"),
    PresetName("gitlab"),
    PresetName("docker-hub"),
    PresetName("homebrew"),
    PresetName("aws-s3"),
    PresetName("vscode-marketplace"),
    PresetName("sentry"),
    PresetName("npm"),
    PresetName("pypi"),
    PresetName("crates"),
    PresetName("debian"),
    PresetName("rubygems"),
    PresetName("golang"),
];

impl PresetName {
    /// The name as text.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let known = PRESETS.iter().map(|preset| preset.0);
        if let Some(preset) = PRESETS.iter().find(|preset| preset.0 == text) {
            return Ok(*preset);
        }
        let hint = match super::reader::near(text, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", known.collect::<Vec<_>>().join(", ")),
        };
        Err(Refusal::new(format!("unknown preset {}", quote(text)), hint))
    }
}

/// A region of Amazon Web Services, such as `eu-central-1`. Which ones there are is in the published ranges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

impl Region {
    /// The region as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        let number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = text.split('-').collect();
        let fits = match parts[..] {
            [ref words @ .., last] => words.len() >= 2 && words.iter().all(|part| word(part)) && number(last),
            [] => false,
        };
        if fits && text.len() <= 32 {
            return Ok(Self(text.into()));
        }
        let hint = "write it as AWS does, such as `eu-central-1`";
        Err(Refusal::new(format!("{} is not a region", quote(text)), hint))
    }
}

/// A domain in lower case, or with a leading `*.` whatever lies below one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

impl DomainName {
    /// The name as text, with its `*.` if it has one.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain, without `*.`.
    pub fn base(&self) -> &str {
        self.0.strip_prefix("*.").unwrap_or(&self.0)
    }

    /// Whether it names what lies below a domain.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let no = |why: &str, hint: String| {
            Err(Refusal::new(format!("{} is not a domain: {why}", quote(text)), hint))
        };
        let plain = |hint: &str| hint.to_owned();
        let name = text.to_ascii_lowercase();
        let base = name.strip_prefix("*.").unwrap_or(&name);
        if base.contains("://") || base.contains('/') {
            let host =
                base.rsplit("://").next().unwrap_or_default().split(['/', ':']).next().unwrap_or_default();
            return no("it is an address of a page", format!("write the host only: {}", quote(host)));
        }
        if base.parse::<std::net::IpAddr>().is_ok() {
            return no("it is an address", plain("write it as `cidr:`, such as `cidr: 192.0.2.1/32`"));
        }
        if base.contains(':') {
            return no("it has a port", plain("write the port below it: `ports: [443]`"));
        }
        if base.contains('*') {
            return no("an asterisk stands only at the front, as `*.`", plain("such as \"*.example.com\""));
        }
        if !base.is_ascii() {
            return no("it has letters outside ASCII", plain("write its `xn--` form"));
        }
        if base == "localhost" {
            return no("it is this machine", plain("write `loopback: [PORT]` for a service on this machine"));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if base.len() > 253 || !base.split('.').all(label) {
            return no(
                "labels are letters, digits and `-`, parted by single dots",
                plain("such as `api.example.com`"),
            );
        }
        if !base.contains('.') {
            return no("it has one label only", plain("write the whole name, such as `api.example.com`"));
        }
        Ok(Self(name))
    }
}

/// An amount of memory, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemorySize(NonZeroU64);

const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

impl MemorySize {
    /// The least that a policy may give: below, not even a shell starts.
    const LEAST: u64 = 16 << 20;

    /// The amount in bytes.
    pub fn bytes(self) -> u64 {
        self.0.get()
    }

    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let hint = "write a whole number with K, M, G or T (powers of 1024), such as `8G` or `512M`";
        let no = |why: &str| Refusal::new(format!("{} {why}", quote(text)), hint);
        let unit = UNITS.iter().find(|(letter, _)| text.ends_with([*letter, letter.to_ascii_lowercase()]));
        let (_, shift) = unit.ok_or_else(|| no("is not an amount of memory"))?;
        let digits = &text[..text.len() - 1];
        let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let count =
            digits.parse::<u64>().ok().filter(|_| whole).ok_or_else(|| no("is not an amount of memory"))?;
        let bytes = count.checked_mul(1 << shift).ok_or_else(|| no("is more than any machine has"))?;
        match NonZeroU64::new(bytes).filter(|bytes| bytes.get() >= Self::LEAST) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(no("is too little to start a shell: at least `16M`")),
        }
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        for (letter, shift) in UNITS {
            if bytes.trailing_zeros() >= shift {
                return write!(f, "{}{letter}", bytes >> shift);
            }
        }
        write!(f, "{bytes}")
    }
}

macro_rules! text {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}
text!(HumanName, PresetName, DomainName, Region);

macro_rules! from_str {
    ($($name:ident),+) => {$(
        impl FromStr for $name {
            type Err = Refusal;

            fn from_str(text: &str) -> Result<Self, Refusal> {
                Self::read(text)
            }
        }
    )+};
}
from_str!(HumanName, PresetName, DomainName, MemorySize, Region);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn humans() {
        for good in ["alice", "J.Doe", "_svc", "Alice", "a1-b"] {
            assert_eq!(good.parse::<HumanName>().unwrap().as_str(), good);
        }
        for bad in
            ["", "ALL", "ADMINS", "A", "root", "%wheel", "#0", "-a", "1a", "a b", "a,b", "a\\b", ".a", "ä"]
        {
            assert!(bad.parse::<HumanName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn domains() {
        for good in ["example.com", "*.example.com", "a-b.xn--p1ai", "API.example.com"] {
            assert_eq!(good.parse::<DomainName>().unwrap().as_str(), good.to_lowercase());
        }
        let bad =
            ["", "com", "*.com", "*", "a.*.com", "*a.com", "a..b", ".a.b", "a.b.", "-a.b", "a_b.c", "ä.com"];
        for bad in bad.iter().chain(&["https://a.b/c", "a.b:443", "192.0.2.1", "::1", "localhost", "a b.c"]) {
            assert!(bad.parse::<DomainName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn regions() {
        for good in ["eu-central-1", "us-gov-west-1", "eusc-de-east-1"] {
            assert_eq!(good.parse::<Region>().unwrap().as_str(), good);
        }
        for bad in ["", "eu", "eu-central", "EU-central-1", "eu-central-x", "eu--1", "-a-1", "eu_central_1"] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }

    #[test]
    fn memory() {
        for (text, shown) in [("8G", "8G"), ("512m", "512M"), ("1024M", "1G"), ("16385K", "16385K")] {
            assert_eq!(text.parse::<MemorySize>().unwrap().to_string(), shown);
        }
        for bad in ["", "8", "G", "8 G", "-1G", "+1G", "1.5G", "8GB", "0G", "1K", "99999999999T", "8Gä", "ä"]
        {
            assert!(bad.parse::<MemorySize>().is_err(), "{bad}");
        }
    }
}
