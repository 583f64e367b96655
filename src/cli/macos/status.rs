//! Policy, receipt and system side by side.

use super::{
    Failure, Global, invoker,
    printer::{self, Mark},
    run,
    situation::{self, Situation},
};
use crate::{
    engine::StepReport,
    host::{System, mac_open::OPEN},
    model::AccountName,
    step::{Check, Layer},
};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// As JSON: see docs/status-json.md
    #[arg(long)]
    json: bool,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    InForce,
    Missing,
    Drifted,
    Foreign,
    Unknown,
}

/// One step, for a reader.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    id: String,
    layer: Layer,
    title: String,
    state: State,
    differences: Vec<String>,
}

impl Line {
    pub(super) fn of(report: &StepReport) -> Self {
        let (state, differences) = match &report.check {
            Check::Satisfied => (State::InForce, vec![]),
            Check::Missing => (State::Missing, vec![]),
            Check::Drifted(differences) => (State::Drifted, differences.clone()),
            Check::Foreign(what) => (State::Foreign, vec![what.clone()]),
            Check::Unknown(why) => (State::Unknown, vec![why.clone()]),
        };
        let description = &report.description;
        Self {
            id: report.id.clone(),
            layer: description.layer,
            title: description.title.clone(),
            state,
            differences,
        }
    }

    fn show(&self) {
        let word = match self.state {
            State::InForce => return printer::marked(Mark::Good, &self.title),
            State::Missing => "missing",
            State::Drifted => "drifted",
            State::Foreign => "not ours",
            State::Unknown => "unknown",
        };
        let mark = if self.state == State::Unknown { Mark::Open } else { Mark::Bad };
        printer::marked(mark, &format!("{}: {word}", self.title));
        self.differences.iter().for_each(|difference| printer::detail(difference));
    }
}

#[derive(Serialize)]
struct AgentStatus {
    agent: AccountName,
    human: String,
    in_force: bool,
    steps: Vec<Line>,
}

#[derive(Serialize)]
struct Status {
    version: u32,
    in_force: bool,
    agents: Vec<AgentStatus>,
    /// What macOS leaves open, by its name in SECURITY.md.
    open: Vec<&'static str>,
    notices: Vec<String>,
}

/// All steps of an agent and of what agents share, as root sees them; those on the human's files only where asked for.
pub(super) fn lines(
    situation: &Situation,
    name: &AccountName,
    machine: &System,
    sharing: bool,
) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for mut plan in situation.plans(std::slice::from_ref(name))? {
        plan.steps.retain(|step| sharing || step.describe().layer != Layer::Sharing);
        let reports = situation::compare(&plan, machine)?;
        lines.extend(
            reports
                .iter()
                .filter(|report| sharing || report.description.layer != Layer::Sharing)
                .map(Line::of),
        );
    }
    lines.sort_by_key(|line| line.layer);
    Ok(lines)
}

pub(super) fn status(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let machine = System::new();
    let situation = Situation::present(&machine)?;
    let names: Vec<AccountName> = match &global.agent {
        Some(_) => vec![invoker::agent(&situation.policy, global)?],
        None => situation.policy.agents.keys().cloned().collect(),
    };
    let mut agents = Vec::new();
    for name in names {
        let steps = look_at(&situation, &name, &machine)?;
        let in_force = steps.iter().all(|line| line.state == State::InForce);
        let human = situation.policy.agents[&name].human.to_string();
        agents.push(AgentStatus { agent: name, human, in_force, steps });
    }
    let in_force = agents.iter().all(|agent| agent.in_force);
    let open_ids = OPEN.iter().map(|open| open.id).collect();
    let status = Status { version: 1, in_force, agents, open: open_ids, notices: situation.notices() };
    if arguments.json {
        printer::data(&serde_json::to_string_pretty(&status).map_err(Failure::new)?);
    } else {
        show(&status);
    }
    Ok(ExitCode::from(u8::from(!in_force)))
}

/// What root sees comes from the one way that needs no password; the human's own files the human looks at.
fn look_at(situation: &Situation, name: &AccountName, machine: &System) -> Result<Vec<Line>, Failure> {
    let own = lines(situation, name, machine, true)?;
    if invoker::is_root() {
        return Ok(own);
    }
    let told = run::ask_root("status", name).and_then(|text| {
        serde_json::from_str::<Vec<Line>>(&text)
            .map_err(|error| format!("root's part could not be read: {error}"))
    });
    let shared = own.iter().filter(|line| line.layer == Layer::Sharing).cloned();
    Ok(match told {
        Ok(told) => {
            let mut all: Vec<_> = told.into_iter().chain(shared).collect();
            all.sort_by_key(|line| line.layer);
            all
        }
        Err(why) => {
            let unknown = |line: Line| match (line.layer, line.state) {
                (Layer::Sharing, _) | (_, State::Missing | State::Foreign) => line,
                _ => Line { state: State::Unknown, differences: vec![why.clone()], ..line },
            };
            own.into_iter().map(unknown).collect()
        }
    })
}

fn show(status: &Status) {
    for agent in &status.agents {
        printer::heading(&format!("{}, the agent of {}", agent.agent, agent.human));
        let mut layer = None;
        for line in &agent.steps {
            if layer != Some(line.layer) {
                layer = Some(line.layer);
                printer::data(&format!(" {}", line.layer.heading()));
            }
            line.show();
        }
    }
    printer::heading("Open on macOS (SECURITY.md)");
    for open in OPEN {
        printer::marked(Mark::Open, &format!("{}: {}", open.id, open.what));
    }
    status.notices.iter().for_each(|notice| printer::warn(notice));
    printer::data(if status.in_force {
        "All of the policy is in force."
    } else {
        "Not all of the policy is in force. `agentuser setup` shows what it would mend, and mends it."
    });
}
