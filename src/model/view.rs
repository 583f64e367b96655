//! How an agent sees the machine, as it was settled at setup: what a policy leaves open is decided by what the kernel and
//! the filesystems carry, once, so that root, the human and the agent can't come to different answers.

use super::AbsPath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was settled. Kept in a file of root's beside the policy as it is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The version of this form: 1.
    pub version: u8,
    /// The private view, where it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Private>,
    /// Why it is not, where that was not the policy's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Projects that are shared by entries on the disk though the policy asks for id-mapped mounts, each with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_mapped: BTreeMap<AbsPath, String>,
}

/// What root's half of a launch has to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Private {
    /// Supplementary groups of the agent, by name.
    pub groups: Vec<String>,
    /// Whether `/tmp` and `/var/tmp` are the agent's own.
    pub tmp: bool,
    /// The projects.
    pub projects: Vec<Seen>,
}

/// A project in the private view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Where it is, outside and inside.
    pub path: AbsPath,
    /// Whether the agent may write.
    pub writable: bool,
    /// Whether git's own files in it are kept from being written all the same.
    pub guarded: bool,
    /// Whether the human's files are the agent's own there, by an id-mapped mount: nothing on the disk is changed.
    pub mapped: bool,
}

impl View {
    /// Whether a project is shared by an id-mapped mount.
    pub fn maps(&self, project: &AbsPath) -> bool {
        let mut projects = self.private.iter().flat_map(|private| &private.projects);
        projects.any(|seen| seen.mapped && seen.path == *project)
    }

    /// The text of the file that keeps it.
    pub fn keep(&self) -> String {
        // A structure of text and lists can't fail.
        serde_json::to_string(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// Reads what [`View::keep`] wrote; `None` for anything else.
    pub fn kept(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().filter(|view: &Self| view.version == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_again_and_nothing_else() {
        let seen =
            Seen { path: "/home/ann/shop".parse().unwrap(), writable: true, guarded: true, mapped: true };
        let private = Private { groups: vec!["render".into()], tmp: true, projects: vec![seen] };
        let view = View { version: 1, private: Some(private), ..View::default() };
        assert_eq!(View::kept(view.keep().as_bytes()), Some(view));
        for bad in ["", "{}", "{\"version\":2}", "{\"version\":1,\"x\":1}"] {
            assert_eq!(View::kept(bad.as_bytes()), None, "{bad}");
        }
    }
}
