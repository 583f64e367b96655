//! How an agent sees the machine, as it was settled at setup: what a policy leaves open is decided by what the kernel and
//! the filesystems carry, once, so that root, the human and the agent can't come to different answers.

use super::AbsPath;
use serde::{Deserialize, Serialize};

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
}

impl View {
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
        let seen = Seen { path: "/home/ann/shop".parse().unwrap(), writable: true };
        let private = Private { groups: vec!["render".into()], tmp: true, projects: vec![seen] };
        let view = View { version: 1, private: Some(private), why: None };
        assert_eq!(View::kept(view.keep().as_bytes()), Some(view));
        for bad in ["", "{}", "{\"version\":2}", "{\"version\":1,\"x\":1}"] {
            assert_eq!(View::kept(bad.as_bytes()), None, "{bad}");
        }
    }
}
