//! What of the confinement is in force on this kernel, for `status`.

use crate::{
    cli::printer::{self, Mark},
    host::{Observe, places},
    launch::confine::{Carried, Kernel, Orders},
    model::{AccountName, view::View},
    plan,
    policy::{Agent, Line},
};
use serde::Serialize;

/// How much is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Extent {
    Full,
    Partial,
    None,
    /// The policy does without it.
    Off,
}

/// One line.
#[derive(Debug, Serialize)]
struct LineStatus {
    line: Line,
    extent: Extent,
    /// What it closes.
    why: &'static str,
    /// What the kernel lacks for it.
    lacks: Option<&'static str>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Confinement {
    /// Of what the policy asks for.
    extent: Extent,
    /// Lines that the policy asks for by name and the kernel does not carry: nothing starts.
    refused: Vec<Line>,
    lines: Vec<LineStatus>,
}

impl Confinement {
    /// What an agent's launches give up on this machine, with the view that was settled.
    pub(crate) fn of(name: &AccountName, agent: &Agent, machine: &dyn Observe) -> Self {
        let settled = machine.file(&places::view(name)).ok().flatten();
        let private = settled.and_then(|file| View::kept(&file.bytes)?.private);
        let mounts = private.iter().flat_map(|private| &private.projects).any(|seen| seen.mapped);
        let orders = Orders::of(agent, &plan::home(name), private.is_some(), mounts);
        Self::on(Kernel::present(), &orders, |line| agent.confine.demands(line))
    }

    fn on(kernel: Kernel, orders: &Orders, demands: impl Fn(Line) -> bool) -> Self {
        let status = |line: Line| {
            let (extent, lacks) = match kernel.carries(line) {
                _ if !orders.wants(line) => (Extent::Off, None),
                Carried::Fully => (Extent::Full, None),
                Carried::Partly(lacks) => (Extent::Partial, Some(lacks)),
                Carried::No(lacks) => (Extent::None, Some(lacks)),
            };
            LineStatus { line, extent, why: line.why(), lacks }
        };
        let lines: Vec<_> = Line::ALL.map(status).into();
        let wanted = || lines.iter().filter(|line| line.extent != Extent::Off);
        let has = |extent| wanted().any(|line| line.extent == extent);
        let extent = match (has(Extent::Full), has(Extent::Partial), has(Extent::None)) {
            (true, false, false) => Extent::Full,
            (false, false, true) => Extent::None,
            (false, false, false) => Extent::Off,
            _ => Extent::Partial,
        };
        let refused = wanted().filter(|line| line.lacks.is_some() && demands(line.line));
        Self { extent, refused: refused.map(|line| line.line).collect(), lines }
    }

    /// Whether commands start: not where the policy asks by name for what the kernel does not carry.
    pub(crate) fn starts(&self) -> bool {
        self.refused.is_empty()
    }
}

/// One line for all that is in force, and one for each that is not.
pub(crate) fn show(confinement: &Confinement) {
    printer::data(" confinement");
    let named = |extent| {
        let of = confinement.lines.iter().filter(move |line| line.extent == extent);
        of.map(|line| line.line.key()).collect::<Vec<_>>().join(", ")
    };
    if matches!(confinement.extent, Extent::Full | Extent::Partial) {
        let word = if confinement.extent == Extent::Full { "full" } else { "partial" };
        printer::marked(Mark::Good, &format!("{word}: {}", named(Extent::Full)));
    }
    for line in &confinement.lines {
        match (line.extent, line.lacks) {
            (Extent::Off, _) => {
                printer::marked(Mark::Open, &format!("{}: not asked for ({})", line.line.key(), line.why));
            }
            (_, Some(lacks)) if confinement.refused.contains(&line.line) => {
                let text = format!("{}: {lacks}; the policy asks for it, so nothing starts", line.line.key());
                printer::marked(Mark::Bad, &text);
            }
            (_, Some(lacks)) => printer::marked(Mark::Open, &format!("{}: {lacks}", line.line.key())),
            (_, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(landlock: u32, yaml: &str) -> Confinement {
        let text = format!("version: 1\nagents:\n  bot:\n    human: ann\n{yaml}");
        let policy = crate::policy::parse(&text, "p").unwrap();
        let (name, agent) = policy.agents.iter().next().unwrap();
        let orders = Orders::of(agent, &plan::home(name), false, false);
        Confinement::on(Kernel { landlock, seccomp: true }, &orders, |line| agent.confine.demands(line))
    }

    #[test]
    fn it_is_full_partial_or_none() {
        assert_eq!(on(7, "").extent, Extent::Full);
        assert_eq!(on(3, "").extent, Extent::Partial);
        assert!(on(0, "").starts());
        let by_name = on(0, "    confine: { landlock: true }\n");
        assert!(!by_name.starts());
        assert_eq!(by_name.refused, [Line::Landlock]);
        let off = on(7, "    confine: { no-new-privileges: false }\n");
        assert_eq!((off.extent, off.starts()), (Extent::Off, true));
    }
}
