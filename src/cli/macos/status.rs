//! What `status` tells on macOS alone: what stays open whatever the policy says.

use crate::{
    cli::{
        Failure, Global,
        printer::{self, Mark},
        situation::Situation,
    },
    host::{System, mac_open::OPEN},
    model::AccountName,
    policy::Agent,
};
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

/// Nothing but the status can be asked for.
#[derive(Args, Debug)]
pub(crate) struct StatusArguments {}

impl StatusArguments {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "on Linux there is more to ask for")]
    pub(in crate::cli) fn instead(&self, _: &Global, _: bool) -> Result<Option<ExitCode>, Failure> {
        Ok(None)
    }
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
