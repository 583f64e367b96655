//! What `status` tells on macOS alone: what stays open whatever the policy says.

use super::brief::Brief;
use crate::{
    cli::{
        Failure,
        printer::{self, Mark},
        situation::Situation,
    },
    host::{System, mac_open::OPEN, macos},
    model::{AbsPath, AccountName, PathBytes, desired::Access, facts::Person},
    policy::Agent,
    share::aces,
};
use serde::Serialize;

/// What carries entries of an agent below a directory and lies in no project of its.
pub(in crate::cli) fn moved(
    brief: &Brief,
    agent: &Person,
    _: &Person,
    root: &AbsPath,
    most: usize,
) -> Result<Vec<(PathBytes, Access)>, Failure> {
    Ok(macos::moved(root, &agent.name, &brief.projects, most)?)
}

/// What takes such entries away, to type in that directory: all of the agent's at once.
pub(in crate::cli) fn take_away(agent: &str, _: u32) -> String {
    format!("chmod -h -a '{}' PATH, for a directory also for what is in it", aces::everything_of(agent))
}

/// Sessions give up nothing here, and have no limits: a policy that asks for either is refused.
#[derive(Debug, Serialize)]
pub(crate) struct Sessions {}

#[expect(clippy::unused_self, reason = "on Linux there is something to tell")]
impl Sessions {
    pub(in crate::cli) fn of(_: &AccountName, _: &Agent, _: &System) -> Self {
        Self {}
    }

    pub(in crate::cli) fn start(&self) -> bool {
        true
    }

    pub(in crate::cli) fn show(&self) {}
}

/// What macOS leaves open, by its name in SECURITY.md.
#[derive(Debug, Serialize)]
pub(crate) struct Open {
    open: Vec<&'static str>,
}

impl Default for Open {
    fn default() -> Self {
        Self { open: OPEN.iter().map(|open| open.id).collect() }
    }
}

impl Open {
    #[expect(clippy::unused_self, reason = "the list is the same for every policy")]
    pub(in crate::cli) fn show(&self) {
        printer::heading("Open on macOS (SECURITY.md)");
        for open in OPEN {
            printer::marked(Mark::Open, &format!("{}: {}", open.id, open.what));
        }
    }
}

/// launchd starts the program each minute; that it does is a step of the plan.
pub(in crate::cli) fn service_notice(_: &Situation) -> Option<String> {
    None
}
