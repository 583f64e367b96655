//! What a pass over a tree found and did: counts, and the first of each kind by name.

use crate::model::{Listed, PathBytes};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why an object does not have what it should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It has no entries of ours.
    Missing,
    /// Our entries are there, but the mask or a changed entry makes them less (or more) than they should be.
    Differs,
    /// A directory whose default ACL lacks our entries, or opens new files to the group or others.
    Default,
    /// A directory that its own reader may not list; nothing below it was seen.
    Unreadable,
    /// It has the set-group-id bit, and the kernel would take that away, for we are not in its group (chmod(2)).
    SetGroupId,
    /// A device node, which is never shared.
    Device,
    /// It was replaced while we looked at it.
    Replaced,
    /// It is gone; only counted, for then it lacks nothing.
    Gone,
    /// Its ACL can't be read as one.
    Malformed,
    /// The kernel said no: a read-only or full filesystem, an immutable file.
    Refused(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no entries",
            Self::Differs => "the mask or the entries were changed",
            Self::Default => "new files in it would lack the entries",
            Self::Unreadable => "can't be listed",
            Self::SetGroupId => "the set-group-id bit would be lost",
            Self::Device => "a device node",
            Self::Replaced => "replaced meanwhile",
            Self::Gone => "gone meanwhile",
            Self::Malformed => "its ACL can't be read",
            Self::Refused(error) => error,
        })
    }
}

/// An object, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Where, below the root; `.` is the root.
    pub path: PathBytes,
    /// What.
    pub why: Why,
}

/// Whether the agent can pass a directory by an entry of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Passage {
    /// It can.
    Open,
    /// There is no such entry.
    Missing,
    /// The entry is there, but somebody has run chmod(1) since, which narrowed the mask: `chmod 700` closes it.
    Voided,
}

/// What taking an entry away came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassageEnd {
    /// The directory is as it was before.
    Restored,
    /// There was no entry.
    Nothing,
    /// Somebody has changed the directory since; what they set was kept and only our entry removed.
    Altered,
}

/// What a pass found and did. Paths are relative to the root of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Objects looked at, without symbolic links, which have no ACL.
    pub objects: u64,
    /// Objects of the owner that were changed.
    pub changed: u64,
    /// Objects of the owner that were right already.
    pub already: u64,
    /// Objects of the owner that had an ACL before and were recorded.
    pub recorded: u64,
    /// Files of which a copy took the place, so that no name outside shares them.
    pub copied: u64,
    /// Objects of the owner that still lack what they should have (after a check: all that an apply would change).
    pub lacking: Listed<Finding>,
    /// Objects that went away while they were looked at.
    pub gone: u64,
    /// Files with a name outside the tree: the agent may only read them.
    pub linked_outside: Listed<PathBytes>,
    /// Objects of neither the human nor the agent, left alone.
    pub foreign_owner: Listed<PathBytes>,
    /// Mount points, and what lies on another device, left alone.
    pub other_device: Listed<PathBytes>,
    /// Objects of the agent in a pass over the human's.
    pub agent_owned: u64,
    /// Of these, the ones that lack entries (after a revert: that still have them): the agent's own pass repairs those.
    pub agent_owned_lacking: u64,
    /// Objects of the human in a pass over the agent's.
    pub human_owned: u64,
    /// Reverted, but changed by somebody since: only our entries were removed.
    pub altered: Listed<PathBytes>,
    /// Recorded objects that are gone, or replaced by others.
    pub record_unused: Listed<PathBytes>,
}

impl Report {
    /// Whether all that the owner has is as it should be.
    pub fn is_complete(&self) -> bool {
        self.lacking.is_empty() && self.agent_owned_lacking == 0
    }
}
