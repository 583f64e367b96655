//! What objects were like before us, for those few that had an ACL already. All others need no record (see `entries`).
//!
//! A record is found again by inode number and birth time, not by path: an object that was moved keeps its record, and one
//! that took another's place, even with its inode number, never gets the other's ACL.

use crate::formats::posix_acl::{ACCESS, Acl, DEFAULT, Tag};
use crate::host::dir::{Meta, PathBytes};
use rustix::fs::{AtFlags, StatxFlags};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::{io, os::fd::BorrowedFd};

use super::entries::{is_ours, strip};
use super::xattr::{Calls, Target};

/// The state of one object before its first change; one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prior {
    /// Where it was, below the root of the job; empty for a parent directory.
    pub path: PathBytes,
    /// The access ACL, as the bytes of the attribute in hex; none where the mode said it all.
    pub access: Option<AclBytes>,
    /// The default ACL.
    pub default: Option<AclBytes>,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// The inode number.
    pub inode: u64,
    /// The device, which may have another number after a restart: shown, and compared only where there is no birth time.
    pub device: u64,
    /// When the object was made, in seconds since 1970 and nanoseconds, where the filesystem knows.
    pub born: Option<(i64, u32)>,
}

/// The bytes of an ACL attribute; hexadecimal as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AclBytes(pub Vec<u8>);

/// A text that is not an even number of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ACL in hexadecimal")]
pub struct HexError;

impl From<AclBytes> for String {
    fn from(bytes: AclBytes) -> Self {
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
        bytes.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

impl TryFrom<String> for AclBytes {
    type Error = HexError;

    fn try_from(text: String) -> Result<Self, HexError> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(HexError) };
        let byte = |pair: &[u8; 2]| {
            let text = std::str::from_utf8(pair).ok().filter(|text| !text.starts_with('+'))?;
            u8::from_str_radix(text, 16).ok()
        };
        pairs.iter().map(byte).collect::<Option<_>>().map(Self).ok_or(HexError)
    }
}

impl Prior {
    /// Reads the state of an object behind a descriptor. An ACL that is `ours` already is recorded as what is left without
    /// it, for nothing of ours may ever come back.
    pub(super) fn of(
        calls: Calls,
        pin: BorrowedFd<'_>,
        path: PathBytes,
        meta: &Meta,
        ours: &[Tag],
    ) -> io::Result<Self> {
        let read = |kind| {
            let bytes = calls.get(Target::Pin(pin), kind)?;
            Ok::<_, io::Error>(bytes.map(|bytes| match Acl::parse(&bytes) {
                Ok(acl) if is_ours(&acl, ours) => AclBytes(strip(&acl, ours).render().to_vec()),
                _ => AclBytes(bytes.to_vec()),
            }))
        };
        let access = read(ACCESS)?;
        let default = if meta.is_dir() { read(DEFAULT)? } else { None };
        let born = born(pin)?;
        Ok(Self { path, access, default, mode: meta.mode, inode: meta.ino, device: meta.dev, born })
    }

    /// Whether it is about the object behind the descriptor.
    pub(super) fn is_about(&self, pin: BorrowedFd<'_>, meta: &Meta) -> io::Result<bool> {
        let born = born(pin)?;
        let same =
            if born.is_some() && self.born.is_some() { born == self.born } else { meta.dev == self.device };
        Ok(self.inode == meta.ino && same)
    }

    /// The access ACL, or the one that the mode stood for.
    pub(super) fn access_acl(&self) -> Option<Acl> {
        self.access
            .as_ref()
            .map_or_else(|| Some(Acl::from_mode(self.mode)), |bytes| Acl::parse(&bytes.0).ok())
    }

    /// The default ACL.
    pub(super) fn default_acl(&self) -> Option<Acl> {
        self.default.as_ref().and_then(|bytes| Acl::parse(&bytes.0).ok())
    }
}

/// The birth time (statx(2)), where the filesystem keeps it.
fn born(pin: BorrowedFd<'_>) -> io::Result<Option<(i64, u32)>> {
    match rustix::fs::statx(pin, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME) {
        Ok(stat) if stat.stx_mask & StatxFlags::BTIME.bits() != 0 => {
            Ok(Some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)))
        }
        Ok(_) | Err(rustix::io::Errno::NOSYS) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// All records of a job. Of several about one object the first counts.
#[derive(Clone, Debug, Default)]
pub struct PriorRecord(HashMap<u64, Vec<Prior>>);

impl FromIterator<Prior> for PriorRecord {
    fn from_iter<I: IntoIterator<Item = Prior>>(priors: I) -> Self {
        let mut record = Self::default();
        for prior in priors {
            let same: &mut Vec<Prior> = record.0.entry(prior.inode).or_default();
            if same.iter().all(|known| (known.born, known.device) != (prior.born, prior.device)) {
                same.push(prior);
            }
        }
        record
    }
}

impl PriorRecord {
    /// Whether an object with this inode number may be recorded.
    pub(super) fn mentions(&self, inode: u64) -> bool {
        self.0.contains_key(&inode)
    }

    /// The record of the object behind a descriptor.
    pub(super) fn of(&self, pin: BorrowedFd<'_>, meta: &Meta) -> io::Result<Option<&Prior>> {
        for prior in self.0.get(&meta.ino).into_iter().flatten() {
            if prior.is_about(pin, meta)? {
                return Ok(Some(prior));
            }
        }
        Ok(None)
    }

    /// The paths of all records but those of `used` inodes, in order.
    pub(super) fn unused(&self, used: &HashSet<u64>) -> Vec<PathBytes> {
        let unused = self.0.iter().filter(|(inode, _)| !used.contains(inode));
        let mut paths: Vec<_> =
            unused.flat_map(|(_, priors)| priors).map(|prior| prior.path.clone()).collect();
        paths.sort_unstable();
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_json() {
        let access = Some(AclBytes(Acl::from_mode(0o644).render().to_vec()));
        let path = PathBytes::from(b"a\n\xff".as_slice());
        let prior =
            Prior { path, access, default: None, mode: 0o644, inode: 5, device: 1, born: Some((-7, 1)) };
        let json = serde_json::to_string(&prior).unwrap();
        assert!(json.starts_with(r#"{"path":"a\\x0a\\xff","access":"0200000001000600"#), "{json}");
        assert!(!json.contains('\n'));
        assert_eq!(serde_json::from_str::<Prior>(&json).unwrap(), prior);
        for bad in ["0", "0g", "+1"] {
            assert_eq!(AclBytes::try_from(bad.to_owned()), Err(HexError));
        }
    }

    #[test]
    fn the_first_record_counts() {
        let prior = |path: &str, born, mode| Prior {
            path: PathBytes::from(path.as_bytes()),
            access: None,
            default: None,
            mode,
            inode: 5,
            device: 1,
            born,
        };
        let record: PriorRecord = [
            prior("a", Some((1, 0)), 0o600),
            prior("b", Some((1, 0)), 0o644),
            prior("c", Some((2, 0)), 0o644),
        ]
        .into_iter()
        .collect();
        assert_eq!(record.0[&5].iter().map(|prior| prior.path.to_string()).collect::<Vec<_>>(), ["a", "c"]);
    }
}
