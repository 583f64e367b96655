//! What `status` tells on macOS alone: what stays open whatever the policy says.

use super::{brief::Brief, gate};
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

/// Sessions have no limits here, and give up nothing but what a profile of Seatbelt takes.
#[derive(Debug, Serialize)]
pub(crate) struct Sessions {
    /// Whether they run below one. That it is there and as it should be is a step of the plan.
    seatbelt: bool,
}

impl Sessions {
    pub(in crate::cli) fn of(_: &AccountName, agent: &Agent, _: &System) -> Self {
        Self { seatbelt: agent.confine.seatbelt == Some(true) }
    }

    #[expect(clippy::unused_self, reason = "on Linux they may be unable to")]
    pub(in crate::cli) fn start(&self) -> bool {
        true
    }

    pub(in crate::cli) fn show(&self) {
        if self.seatbelt {
            printer::marked(Mark::Good, "confinement: a Seatbelt profile (docs/confinement.md)");
        } else {
            printer::marked(
                Mark::Open,
                "confinement: none (`confine: { seatbelt: true }`: docs/confinement.md)",
            );
        }
    }
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

/// launchd starts the program each minute, and keeps the gates running; that it does are steps of the plan.
pub(in crate::cli) fn service_notice(situation: &Situation) -> Option<String> {
    gate::fault(&situation.policy)
}
