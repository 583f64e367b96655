//! Policy, receipt and system side by side.

use super::{
    Failure, Global, invoker, moved,
    printer::{self, Mark},
    situation::{self, Situation},
    system,
};
use crate::{
    engine::StepReport,
    host::{System, places},
    launch,
    model::AccountName,
    step::{Check, Layer},
};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, process::ExitCode};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// As JSON: see docs/status-json.md
    #[arg(long)]
    json: bool,
    /// Look through your home for what was moved out of a project and is still open to the agent
    #[arg(long)]
    moved: bool,
    /// Look through this directory instead
    #[arg(long, value_name = "DIR", requires = "moved")]
    below: Option<PathBuf>,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    InForce,
    Missing,
    Drifted,
    Foreign,
    Unknown,
}

/// One step, for a reader.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) layer: Layer,
    pub(crate) title: String,
    pub(crate) state: State,
    pub(crate) differences: Vec<String>,
}

impl Line {
    pub(crate) fn of(report: &StepReport) -> Self {
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
}

impl Line {
    /// A policy that can't be planned, such as one with a project that is gone: nothing else can be told of the agent.
    fn unmet(name: &AccountName, failure: &Failure) -> Self {
        Self {
            id: format!("policy:{name}"),
            layer: Layer::Program,
            title: format!("what the policy says of {name}"),
            state: State::Unknown,
            differences: vec![failure.error.to_string()],
        }
    }
}

/// One agent, for a reader.
#[derive(Debug, Serialize)]
struct AgentStatus {
    agent: AccountName,
    human: String,
    in_force: bool,
    steps: Vec<Line>,
    /// What its sessions give up and may use.
    #[serde(flatten)]
    sessions: system::Sessions,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Status {
    version: u32,
    in_force: bool,
    agents: Vec<AgentStatus>,
    /// Layers that a release lacks: none.
    not_built: Vec<&'static str>,
    notices: Vec<String>,
    /// What the system leaves open whatever the policy says.
    #[serde(flatten)]
    open: system::Open,
}

pub(crate) fn status(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.moved {
        return moved::show(global, arguments.below.as_ref(), arguments.json);
    }
    let machine = System::new();
    let Some((text, _)) = invoker::policy()? else {
        return Err(Failure::new(anyhow::anyhow!("nothing is set up: there is no {}", places::POLICY))
            .hint("agentuser setup"));
    };
    let situation = Situation::of(text, places::POLICY, &machine)?;
    let mut agents = Vec::new();
    for name in names(&situation, global)? {
        agents.push(look_at(&name, &situation, &machine)?);
    }
    let mut notices = situation.notices();
    notices.extend(system::service_notice(&situation));
    for name in situation::agents_set_up(&machine).unwrap_or_default() {
        if !situation.policy.agents.contains_key(&name) {
            notices.push(format!(
                "{name} is set up and no longer in the policy: agentuser teardown --agent {name}"
            ));
        }
    }
    let in_force = agents.iter().all(|agent| agent.in_force);
    let status =
        Status { version: 1, in_force, agents, not_built: vec![], notices, open: system::Open::default() };
    if arguments.json {
        printer::data(&serde_json::to_string_pretty(&status).map_err(Failure::new)?);
    } else if !global.quiet {
        show(&status);
    }
    Ok(ExitCode::from(u8::from(!in_force)))
}

/// The agents to tell of: the one named, else the human's own, else all.
fn names(situation: &Situation, global: &Global) -> Result<Vec<AccountName>, Failure> {
    if global.agent.is_some() {
        return Ok(vec![invoker::agent(&situation.policy, global)?]);
    }
    let human = invoker::human();
    let mine = |name: &&AccountName| human.as_deref() == Some(situation.policy.agents[*name].human.as_str());
    let own: Vec<_> = situation.policy.agents.keys().filter(mine).cloned().collect();
    Ok(if own.is_empty() { situation.policy.agents.keys().cloned().collect() } else { own })
}

fn look_at(name: &AccountName, situation: &Situation, machine: &System) -> Result<AgentStatus, Failure> {
    let human = situation.policy.agents[name].human.as_str().to_owned();
    let sessions = system::Sessions::of(name, &situation.policy.agents[name], machine);
    let plan = match situation.agent_plan(name) {
        Ok(plan) => plan,
        Err(failure) => {
            let steps = vec![Line::unmet(name, &failure)];
            return Ok(AgentStatus { agent: name.clone(), human, in_force: false, steps, sessions });
        }
    };
    let plans = [situation.machine_plan(), plan];
    let mut steps = Vec::new();
    if invoker::is_root() {
        for plan in &plans {
            steps.extend(situation::compare(plan, machine, true)?.iter().map(Line::of));
        }
    } else {
        let own = plans
            .iter()
            .map(|plan| situation::compare(plan, machine, true))
            .collect::<Result<Vec<_>, _>>()?;
        let own: Vec<_> = own.into_iter().flatten().collect();
        let told = told_by_helper(name);
        let shared = own.iter().filter(|report| report.description.layer == Layer::Sharing).map(Line::of);
        match told {
            Ok(lines) => steps.extend(lines.into_iter().chain(shared)),
            Err(why) => steps.extend(own.iter().map(|report| unknown_unless_shared(report, &why))),
        }
    }
    steps.sort_by_key(|line| line.layer);
    let in_force = steps.iter().all(|line| line.state == State::InForce) && sessions.start();
    Ok(AgentStatus { agent: name.clone(), human, in_force, steps, sessions })
}

fn unknown_unless_shared(report: &StepReport, why: &str) -> Line {
    let line = Line::of(report);
    if line.layer == Layer::Sharing || matches!(line.state, State::Missing | State::Foreign) {
        return line;
    }
    Line { state: State::Unknown, differences: vec![why.to_owned()], ..line }
}

/// What only root can see, through the one way that needs no password.
pub(crate) fn told_by_helper(name: &AccountName) -> Result<Vec<Line>, String> {
    let output = launch::helper("status", name).map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().escape_debug().to_string();
        return Err(format!(
            "root's part could not be asked: {}",
            said.replace("\\'", "'").replace("\\n", " ")
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("root's part could not be read: {error}"))
}

fn show(status: &Status) {
    for agent in &status.agents {
        printer::heading(&format!("{}, the agent of {}", agent.agent, agent.human));
        let mut layer = None;
        let mut said: &[String] = &[];
        for line in &agent.steps {
            if layer != Some(line.layer) {
                layer = Some(line.layer);
                printer::data(&format!(" {}", line.layer.heading()));
            }
            // What keeps many steps from being seen is said once.
            let again = line.state == State::Unknown && line.differences == said;
            show_line(line, !again);
            said = &line.differences;
        }
        agent.sessions.show();
    }
    status.open.show();
    for notice in &status.notices {
        printer::warn(notice);
    }
    if status.in_force {
        printer::data("All of the policy is in force.");
    } else {
        printer::data(
            "Not all of the policy is in force. `agentuser setup` shows what it would mend, and mends it.",
        );
    }
}

fn show_line(line: &Line, with_differences: bool) {
    let word = match line.state {
        State::InForce => return printer::marked(Mark::Good, &line.title),
        State::Missing => "missing",
        State::Drifted => "drifted",
        State::Foreign => "not ours",
        State::Unknown => "unknown",
    };
    let mark = if line.state == State::Unknown { Mark::Open } else { Mark::Bad };
    printer::marked(mark, &format!("{}: {word}", line.title));
    for difference in line.differences.iter().filter(|_| with_differences) {
        printer::detail(difference);
    }
}

/// Root's half: what only root can see, as JSON. Steps on the human's files are left out: the human looks at those.
pub(super) fn helper(name: &AccountName) -> Result<ExitCode, Failure> {
    let machine = System::new();
    let (text, _) =
        invoker::policy()?.ok_or_else(|| Failure::usage("there is no policy").hint("agentuser setup"))?;
    let situation = Situation::of(text, places::POLICY, &machine)?;
    let mut reports = situation::compare(&situation.machine_plan(), &machine, false)?;
    reports.extend(situation::compare(&situation.agent_plan(name)?, &machine, false)?);
    let lines: Vec<_> = reports.iter().map(Line::of).collect();
    printer::data(&serde_json::to_string(&lines).map_err(Failure::new)?);
    Ok(ExitCode::SUCCESS)
}
