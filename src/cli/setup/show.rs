//! The plan before it is applied.

use crate::{
    cli::{
        Failure, ask,
        printer::{self, Mark},
        situation::{self, Situation},
        status::Line,
    },
    engine::StepReport,
    host::System,
    model::AccountName,
    policy::{Agent, Allow},
    presets::listed::{self, About},
    step::{Check, Layer},
};
use serde::Serialize;

/// What a setup would change, and what it found.
pub(in crate::cli) struct Shown {
    sections: Vec<(String, Vec<StepReport>)>,
    presets: Vec<Preset>,
    notices: Vec<String>,
}

/// A preset of an agent, with what it opens and what could leak through it.
#[derive(Serialize)]
struct Preset {
    of: String,
    name: String,
    opens: &'static str,
    leaks: &'static str,
}

#[derive(Serialize)]
struct Planned<'a> {
    of: &'a str,
    #[serde(flatten)]
    line: Line,
    why: &'static str,
    change: &'a [String],
}

impl Shown {
    /// Compares all plans with the machine.
    pub(in crate::cli) fn of(
        situation: &Situation,
        names: &[AccountName],
        machine: &System,
    ) -> Result<Self, Failure> {
        let mut sections =
            vec![("this machine".to_owned(), situation::compare(&situation.machine_plan(), machine, true)?)];
        let mut presets = Vec::new();
        for name in names {
            let human = situation.policy.agents[name].human.as_str();
            let reports = situation::compare(&situation.agent_plan(name)?, machine, true)?;
            let of = format!("{name}, the agent of {human}");
            presets.extend(presets_of(&of, &situation.policy.agents[name]));
            sections.push((of, reports));
        }
        Ok(Self { sections, presets, notices: situation.notices() })
    }

    fn changes(&self) -> impl Iterator<Item = (&str, &StepReport)> {
        let all = self
            .sections
            .iter()
            .flat_map(|(of, reports)| reports.iter().map(move |report| (of.as_str(), report)));
        all.filter(|(_, report)| report.check != Check::Satisfied)
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.changes().next().is_none()
    }

    /// What stands in the way stops a setup before its first change.
    pub(in crate::cli) fn refuse_what_is_foreign(&self) -> Result<(), Failure> {
        for (_, report) in self.changes() {
            if let Check::Foreign(what) = &report.check {
                let error = crate::engine::SetupError::Foreign {
                    title: report.description.title.clone(),
                    what: what.clone(),
                };
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// One line a step, by layer.
    pub(in crate::cli) fn print(&self) {
        self.list(false);
    }

    /// With the exact change of each step.
    pub(in crate::cli) fn explain(&self) {
        self.list(true);
    }

    fn list(&self, whole: bool) {
        for (of, reports) in &self.sections {
            let mut changes: Vec<_> =
                reports.iter().filter(|report| report.check != Check::Satisfied).collect();
            if changes.is_empty() {
                continue;
            }
            changes.sort_by_key(|report| report.description.layer);
            printer::heading(&format!("Plan for {of}"));
            let mut layer = None;
            for report in changes {
                if layer != Some(report.description.layer) {
                    layer = Some(report.description.layer);
                    printer::data(&format!(" {}", report.description.layer.heading()));
                }
                show(report, whole);
            }
            if layer_changes(reports, Layer::Network) {
                self.presets.iter().filter(|preset| preset.of == *of).for_each(opens);
            }
        }
        for notice in &self.notices {
            printer::warn(notice);
        }
    }

    /// The same as data.
    pub(super) fn json(&self) -> Result<String, Failure> {
        let planned = |(of, report): (&'_ str, &'_ StepReport)| {
            let description = &report.description;
            serde_json::to_value(Planned {
                of,
                line: Line::of(report),
                why: description.why,
                change: &description.change,
            })
        };
        let steps = self.changes().map(planned).collect::<Result<Vec<_>, _>>().map_err(Failure::new)?;
        let plan = serde_json::json!({
            "version": 1,
            "steps": steps,
            "presets": self.presets,
            "notices": self.notices,
        });
        serde_json::to_string_pretty(&plan).map_err(Failure::new)
    }

    /// Asks whether to go on, and shows the exact changes where that is wanted.
    pub(super) fn agreed(&self) -> Result<bool, Failure> {
        if !ask::possible() {
            return Err(Failure::usage("the plan above needs a yes, and nobody is there to give it")
                .hint("add --yes"));
        }
        loop {
            match ask::one_of("Apply this plan?", &["yes", "no", "explain"])? {
                0 => return Ok(true),
                1 => return Ok(false),
                _ => self.explain(),
            }
        }
    }
}

/// The presets of an agent.
fn presets_of(of: &str, agent: &Agent) -> Vec<Preset> {
    let preset = |entry: &Allow| match entry {
        Allow::Preset { name, .. } => {
            let About { opens, leaks } = listed::about(*name);
            Some(Preset { of: of.into(), name: name.to_string(), opens, leaks })
        }
        _ => None,
    };
    agent.network.allow.iter().filter_map(preset).collect()
}

fn layer_changes(reports: &[StepReport], layer: Layer) -> bool {
    reports.iter().any(|report| report.description.layer == layer && report.check != Check::Satisfied)
}

fn opens(preset: &Preset) {
    printer::data(&format!("  preset {}", preset.name));
    printer::detail(&format!("opens  {}", preset.opens));
    printer::detail(&format!("leaks  {}", preset.leaks));
}

fn show(report: &StepReport, whole: bool) {
    let title = &report.description.title;
    match &report.check {
        Check::Foreign(what) => {
            printer::marked(Mark::Bad, &format!("{title}: not ours"));
            printer::detail(what);
        }
        Check::Unknown(why) => {
            printer::marked(Mark::Open, &format!("{title}: can't be seen"));
            printer::detail(why);
        }
        Check::Drifted(differences) => {
            printer::marked(
                Mark::Open,
                &format!("{title}: {}", if report.left_over { "taken back" } else { "mended" }),
            );
            for difference in differences {
                printer::detail(difference);
            }
        }
        Check::Missing | Check::Satisfied => printer::marked(Mark::Open, title),
    }
    if whole {
        printer::detail(report.description.why);
        for line in &report.description.change {
            printer::detail(&format!("$ {line}"));
        }
    }
}

/// What to type after a setup, and what the agent can and can't do.
pub(super) fn next(situation: &Situation, names: &[AccountName]) {
    for name in names {
        let agent = &situation.policy.agents[name];
        printer::heading(&format!("{name} is ready."));
        printer::data(&format!(
            "  can read and write     {}",
            projects(agent, crate::policy::Access::ReadWrite)
        ));
        printer::data(&format!(
            "  can read               {}",
            projects(agent, crate::policy::Access::ReadOnly)
        ));
        printer::data(&format!("  can reach              {}", reach(situation, name)));
        printer::data(
            "  can't                  read your home, use your keys, signal your processes, become root",
        );
        let start = agent.projects.first().map_or_else(
            || "agentuser shell --home".to_owned(),
            |project| format!("cd {} && agentuser shell", crate::launch::quoted(project.path.as_path())),
        );
        printer::data(&format!("Next: {start}"));
    }
}

fn projects(agent: &crate::policy::Agent, access: crate::policy::Access) -> String {
    let list: Vec<_> = agent
        .projects
        .iter()
        .filter(|project| project.access == access)
        .map(|project| project.path.as_str())
        .collect();
    if list.is_empty() { "no project".into() } else { list.join(", ") }
}

fn reach(situation: &Situation, name: &AccountName) -> String {
    let Ok(desired) = situation.desired(name) else { return String::new() };
    let firewall = desired.firewall;
    let mut parts = vec!["its own servers on loopback".to_owned()];
    if firewall.outbound_allowed {
        parts.push("every host but denied ones".into());
    }
    let nets: Vec<_> = firewall.allow.iter().flat_map(|to| to.nets.iter().map(ToString::to_string)).collect();
    match nets.len() {
        0 => {}
        1..=4 => parts.push(nets.join(", ")),
        n => parts.push(format!("{n} networks")),
    }
    let names: Vec<&str> =
        firewall.names.iter().flat_map(|list| list.names.iter().map(String::as_str)).collect();
    match names.len() {
        0 => {}
        1..=4 => parts.push(names.join(", ")),
        n => parts.push(format!("{n} names")),
    }
    if !firewall.loopback.is_empty() {
        parts.push(format!("loopback ports {}", firewall.loopback));
    }
    parts.join("; ")
}
