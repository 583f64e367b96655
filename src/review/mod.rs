//! What an agent left in the projects that the human's own tools execute, or take orders from.
//!
//! ```text
//! kind      what is told, how much it matters, and why: pure
//! names     which files are of which kind, by their path: pure
//! config    git's configuration: read here, for git itself would act on it
//! look      one walk over a project, as the human, in a child that can open nothing else
//! links     files with names elsewhere: pure
//! outside   what is the agent's outside of the projects: one more child, that can list directories and open nothing
//! system    what keeps those children to that
//! compare   what is there now against what was there before the agent: pure
//! ```
//!
//! Ordinary source is not told of: it shows in `git diff`. Nothing of a project is run, and git is not run in one.

pub mod compare;
pub mod config;
pub mod kind;
mod links;
pub mod look;
pub mod names;
crate::on_linux! {
    pub mod outside;
    #[path = "linux.rs"]
    mod system;
}
crate::on_macos! {
    #[path = "macos.rs"]
    mod system;
}

pub use compare::{Change, Finding, compare};
pub use kind::{Kind, Rank};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A thing that is watched: a path below the project, in escaped form, and what of it (a key of a configuration, a script).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thing {
    /// Where, as [`crate::model::PathBytes`] shows it.
    pub path: String,
    /// What of it; empty for all of it.
    pub part: String,
}

/// What a thing is, and its value or a digest of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What it is.
    pub kind: Kind,
    /// Its value, or a digest: only compared, and shown where it is text.
    pub value: String,
}

/// All watched things of a project at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(String, String, Seen)>", into = "Vec<(String, String, Seen)>")]
pub struct Snapshot(pub BTreeMap<Thing, Seen>, Bytes);

/// How many bytes the things of a snapshot have. It tells nothing of what they are.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes(usize);

impl PartialEq for Bytes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Bytes {}

/// The most things of a snapshot, and their most bytes: a person reads fewer, and a child answers no more.
const MOST_THINGS: usize = 20_000;
const MOST_BYTES: usize = 16 << 20;

impl From<Vec<(String, String, Seen)>> for Snapshot {
    fn from(list: Vec<(String, String, Seen)>) -> Self {
        let things = list.into_iter().map(|(path, part, seen)| (Thing { path, part }, seen)).collect();
        Self(things, Bytes::default())
    }
}

impl From<Snapshot> for Vec<(String, String, Seen)> {
    fn from(snapshot: Snapshot) -> Self {
        snapshot.0.into_iter().map(|(thing, seen)| (thing.path, thing.part, seen)).collect()
    }
}

impl Snapshot {
    /// Notes a thing. Where there are too many already, that is noted in its place: one directory may hold a million.
    pub fn note(&mut self, path: &str, part: &str, kind: Kind, value: impl Into<String>) {
        if self.is_full() && kind != Kind::Unfinished {
            let why = "there is more than is noted";
            return self.insert(".", "more", Kind::Unfinished, why.into());
        }
        self.insert(path, part, kind, value.into());
    }

    fn insert(&mut self, path: &str, part: &str, kind: Kind, value: String) {
        self.1.0 += path.len() + part.len() + value.len();
        let thing = Thing { path: path.into(), part: part.into() };
        self.0.insert(thing, Seen { kind, value });
    }

    /// Whether no more is noted.
    fn is_full(&self) -> bool {
        self.0.len() >= MOST_THINGS || self.1.0 >= MOST_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_noted_than_a_child_may_answer() {
        for (count, long) in [(MOST_THINGS, 10), (MOST_BYTES / 40_000 + 1, 40_000)] {
            let (mut full, padding) = (Snapshot::default(), "\\".repeat(long));
            for number in 0..count {
                full.note(&format!("{number}{padding}"), "", Kind::LinkOut, "x");
            }
            // The control: all of them had room.
            assert_eq!(full.0.len(), count);
            for number in 0..10 {
                full.note(&format!("more{number}"), "", Kind::LinkOut, "x");
            }
            assert_eq!(full.0.len(), count + 1);
            assert!(full.0.values().any(|seen| seen.kind == Kind::Unfinished));
            let text = serde_json::to_vec(&[Some(full)]).unwrap();
            assert!((text.len() as u64) < look::MOST_ANSWER, "{}", text.len());
        }
    }
}
