//! Policy, receipt and system side by side.

mod moved;

use super::{
    Failure, Global,
    confinement::{self, Confinement},
    invoker,
    printer::{self, Mark},
    situation::{self, Situation},
};
use crate::{
    engine::StepReport,
    host::{System, places},
    launch::relay,
    model::AccountName,
    policy,
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
    confinement: Confinement,
    /// What its sessions may use, in words.
    limits: Vec<String>,
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
}

/// What a person should know of the guard. Whether it should run is a step of its own where a service manager sees to it.
fn guard_notice(situation: &Situation) -> Option<String> {
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
    notices.extend(guard_notice(&situation));
    for name in situation::agents_set_up(&machine).unwrap_or_default() {
        if !situation.policy.agents.contains_key(&name) {
            notices.push(format!(
                "{name} is set up and no longer in the policy: agentuser teardown --agent {name}"
            ));
        }
    }
    let in_force = agents.iter().all(|agent| agent.in_force);
    let status = Status { version: 1, in_force, agents, not_built: vec![], notices };
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
    let confinement = Confinement::of(name, &situation.policy.agents[name], machine);
    let limits = situation.policy.agents[name].limits.in_words();
    let plan = match situation.agent_plan(name) {
        Ok(plan) => plan,
        Err(failure) => {
            let steps = vec![Line::unmet(name, &failure)];
            return Ok(AgentStatus {
                agent: name.clone(),
                human,
                in_force: false,
                steps,
                confinement,
                limits,
            });
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
    let in_force = steps.iter().all(|line| line.state == State::InForce) && confinement.starts();
    Ok(AgentStatus { agent: name.clone(), human, in_force, steps, confinement, limits })
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
    let mut sudo = relay::sudo("root").map_err(|error| error.to_string())?;
    let output =
        sudo.args(["helper", "status", name.as_str()]).output().map_err(|error| error.to_string())?;
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
        confinement::show(&agent.confinement);
        if !agent.limits.is_empty() {
            printer::marked(Mark::Good, &format!("limits: {}", agent.limits.join(", ")));
        }
    }
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
