//! What `status` tells in Linux's own way: the confinement of sessions, their limits, the guard, and what was moved.

use super::confinement::{self, Confinement};
use crate::{
    cli::{
        Failure,
        printer::{self, Mark},
        situation::Situation,
    },
    host::System,
    launch::brief::Brief,
    model::{AbsPath, AccountName, PathBytes, facts::Person},
    policy::{self, Agent},
    share::{self, Access, Job},
};
use serde::Serialize;

/// What carries entries of an agent below a directory and lies in no project of its.
pub(in crate::cli) fn moved(
    brief: &Brief,
    agent: &Person,
    human: &Person,
    root: &AbsPath,
    most: usize,
) -> Result<Vec<(PathBytes, Access)>, Failure> {
    let job = Job {
        root: root.clone(),
        agent: agent.uid,
        human: human.uid,
        access: Access::ReadWrite,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        break_links: false,
    };
    share::moved(&job, &brief.projects, most).map_err(Failure::new)
}

/// What takes such entries away, to type in that directory.
pub(in crate::cli) fn take_away(_: &str, uid: u32) -> String {
    format!("setfacl -x u:{uid},d:u:{uid} PATH, with -R for a directory")
}

/// What sessions of an agent give up, and what they may use.
#[derive(Debug, Serialize)]
pub(crate) struct Sessions {
    confinement: Confinement,
    /// In words.
    limits: Vec<String>,
}

impl Sessions {
    pub(in crate::cli) fn of(name: &AccountName, agent: &Agent, machine: &System) -> Self {
        Self { confinement: Confinement::of(name, agent, machine), limits: agent.limits.in_words() }
    }

    /// Whether they can begin.
    pub(in crate::cli) fn start(&self) -> bool {
        self.confinement.starts()
    }

    pub(in crate::cli) fn show(&self) {
        confinement::show(&self.confinement);
        if !self.limits.is_empty() {
            printer::marked(Mark::Good, &format!("limits: {}", self.limits.join(", ")));
        }
    }
}

/// Nothing that the policy could not close.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Open {}

impl Open {
    #[expect(clippy::unused_self, reason = "on macOS there is something to show")]
    pub(in crate::cli) fn show(&self) {}
}

/// What a person should know of the guard. Whether it should run is a step of its own where a service manager sees to it.
pub(in crate::cli) fn service_notice(situation: &Situation) -> Option<String> {
    let Some(guard) = crate::guard::state() else {
        let needs = |agent: &policy::Agent| {
            agent.network.dns == policy::Dns::Gate || agent.network.log != policy::Log::None
        };
        let needed = situation.policy.agents.values().any(needs);
        return needed.then(|| {
            "no guard runs here: names are not answered, and refusals are not recorded; the next `agentuser run` starts one"
                .into()
        });
    };
    let faults =
        guard.agents.iter().filter_map(|agent| Some(format!("{}: {}", agent.name, agent.fault.as_ref()?)));
    let lost = (guard.lost_lines > 0).then(|| format!("{} lines of audit logs were lost", guard.lost_lines));
    let repairs = (guard.repairs > 0).then(|| {
        format!("it put rules in force again {} times that another tool had changed", guard.repairs)
    });
    let said: Vec<_> = faults.chain(lost).chain(repairs).collect();
    (!said.is_empty()).then(|| format!("guard: {}", said.join("; ")))
}
