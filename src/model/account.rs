//! Accounts: names that every tool of the system takes, and ids that can't be mixed up.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A login name in the portable form of useradd(8): `[a-z_][a-z0-9_-]*`, at most 31 bytes.
///
/// The form leaves out dots, for sudo ignores drop-ins whose file name has one, and everything that a shell, sudoers(5)
/// or a unit file would treat as more than text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

/// Why a text is not an account name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No text at all.
    #[error("an account name can't be empty")]
    Empty,
    /// Over 31 bytes.
    #[error("`{0}` is longer than 31 characters")]
    TooLong(String),
    /// A character that useradd(8) would refuse.
    #[error(
        "`{0}` is not a login name: lower case letters, digits, `_` and `-` only, and a letter or `_` first"
    )]
    Form(String),
}

impl AccountName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        let Some(first) = name.bytes().next() else { return Err(NameError::Empty) };
        if name.len() > 31 {
            return Err(NameError::TooLong(name));
        }
        let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if !(first.is_ascii_lowercase() || first == b'_') || !name.bytes().all(rest) {
            return Err(NameError::Form(name.escape_default().to_string()));
        }
        Ok(Self(name))
    }
}

impl std::str::FromStr for AccountName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        name.to_owned().try_into()
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! id {
    ($name:ident, $what:literal) => {
        #[doc = $what]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
id!(Uid, "A user id.");
id!(Gid, "A group id.");

/// A range of ids, both ends included: sub-uids of subuid(5), or the range for system accounts of login.defs(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IdRange {
    /// The lowest id.
    pub first: u32,
    /// The highest id, not below `first`.
    pub last: u32,
}

impl IdRange {
    /// Whether `id` lies in the range.
    pub fn contains(self, id: u32) -> bool {
        (self.first..=self.last).contains(&id)
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["agent", "_a", "a-1", "t_x"] {
            assert_eq!(good.parse::<AccountName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "1a", "Agent", "a.b", "a b", "root\n", "ä", &"a".repeat(32)] {
            assert!(bad.parse::<AccountName>().is_err(), "{bad:?}");
        }
    }
}
