//! `review`: what the agent left that the human's own tools execute.

use super::{
    Failure, Global, invoker,
    printer::{self, Mark},
    system::{self, Brief},
};
use crate::{
    host::{Act, FileState, Observe, System, Validator, places},
    model::{AbsPath, AccountName},
    review::{Change, Finding, Kind, Rank, Snapshot, compare, look},
};
use clap::Args;
use serde::Serialize;
use std::{fs, io::Write, process::ExitCode, time::Duration};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// As JSON: see docs/review.md
    #[arg(long)]
    json: bool,
    /// Exit 3 where something was found that runs by itself or by a build
    #[arg(long)]
    strict: bool,
    /// From now on tell of what differs from what is there today
    #[arg(long)]
    accept: bool,
}

/// One project, for a reader.
#[derive(Debug, Serialize)]
struct ProjectReview {
    project: AbsPath,
    /// Whether something is known of the time before the agent; without it nothing can be told.
    compared: bool,
    findings: Vec<Finding>,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Review {
    version: u32,
    agent: AccountName,
    projects: Vec<ProjectReview>,
    /// What is the agent's elsewhere, by absolute path; none where this system's form of it is not there.
    outside: Option<Vec<Finding>>,
}

/// What was found, to be kept as it is.
struct Looks {
    projects: Vec<Option<Snapshot>>,
    outside: Option<Snapshot>,
}

/// How long each place outside of the projects may take where a person asked, and where it comes uninvited.
const PATIENCE: Duration = Duration::from_secs(5);
const UNINVITED: Duration = Duration::from_millis(200);

pub(crate) fn review(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if invoker::is_root() {
        return Err(Failure::usage("`review` reads what the agent wrote, and does so as you, not as root")
            .hint("agentuser review, without sudo"));
    }
    let brief = system::brief(global)?;
    let (review, looks) = compared(&brief, PATIENCE)?;
    if arguments.accept {
        for (project, snapshot) in brief.projects.iter().zip(&looks.projects) {
            if let Some(snapshot) = snapshot {
                keep(&places::review(&brief.name, project), snapshot)?;
            }
        }
        if let Some(snapshot) = &looks.outside {
            keep(&places::review_outside(&brief.name), snapshot)?;
        }
    }
    if arguments.json {
        printer::data(&serde_json::to_string_pretty(&review).map_err(Failure::new)?);
    } else if !global.quiet {
        show(&review, arguments.accept);
    }
    let counts = |finding: &Finding| finding.rank != Rank::Grey;
    let projects = review.projects.iter().flat_map(|project| &project.findings);
    let found = projects.chain(review.outside.iter().flatten()).any(counts);
    Ok(ExitCode::from(if arguments.strict && found { 3 } else { 0 }))
}

/// An empty file of the human's own for each project, into which the human's `run` writes what is there before the first
/// session: nobody but root and the human can change or remove it. It is for setup to make.
pub(super) fn make_room(
    name: &AccountName,
    human: &str,
    projects: &[AbsPath],
    machine: &mut System,
) -> Result<(), Failure> {
    let Some(human) = machine.person(human)? else { return Ok(()) };
    let there = machine.names(&places::state(name))?;
    let files = projects.iter().map(|project| places::review(name, project));
    for path in files.chain([places::review_outside(name)]) {
        if !there.iter().any(|file| file == path.name()) {
            let file = FileState { bytes: vec![], mode: 0o600, uid: human.uid, gid: human.gid };
            machine.write(&path, &file, Validator::Nobody)?;
        }
    }
    Ok(())
}

/// Before the first session with a project: notes what is there. It costs a walk, once.
pub(super) fn begin(brief: &Brief) {
    let new: Vec<_> = brief.projects.iter().filter(|project| is_new(&brief.name, project)).cloned().collect();
    if new.is_empty() {
        return;
    }
    let noted = look::look(&new).map_err(Failure::new).and_then(|snapshots| {
        let known = new.iter().zip(&snapshots).filter_map(|(project, seen)| Some((project, seen.as_ref()?)));
        known
            .into_iter()
            .try_for_each(|(project, snapshot)| keep(&places::review(&brief.name, project), snapshot))
    });
    if let Err(failure) = noted {
        printer::warn(&format!(
            "what the projects hold could not be noted for `agentuser review`: {}",
            failure.error
        ));
    }
}

/// At the end of a shell: says what runs by itself, if there is something.
pub(super) fn end(brief: &Brief) {
    const MOST: usize = 5;
    let Ok((review, _)) = compared(brief, UNINVITED) else { return };
    let inside = review.projects.iter().flat_map(|project| {
        project.findings.iter().map(move |finding| (format!("{}/", project.project), finding))
    });
    let outside = review.outside.iter().flatten().map(|finding| (String::new(), finding));
    // What a project was stuffed with may hide the worst. Elsewhere there may be much without the agent.
    let hides = |finding: &Finding| finding.kind == Kind::Unfinished;
    let inside = inside.filter(|(_, finding)| finding.rank == Rank::Red || hides(finding));
    let outside = outside.filter(|(_, finding)| finding.rank == Rank::Red);
    let red: Vec<_> = inside.chain(outside).collect();
    if red.is_empty() {
        return;
    }
    printer::warn("the agent left what your own tools run by themselves: look at it before you go on");
    for (project, finding) in red.iter().take(MOST) {
        printer::say(&format!("  {project}{}", line(finding)));
    }
    if red.len() > MOST {
        printer::say(&format!("  and {} more", red.len() - MOST));
    }
    printer::say("agentuser review tells all; agentuser review --accept takes it as it is");
}

/// Looks at all projects and elsewhere, and compares.
fn compared(brief: &Brief, patience: Duration) -> Result<(Review, Looks), Failure> {
    let snapshots = look::look(&brief.projects)?;
    let one = |(project, now): (&AbsPath, &Option<Snapshot>)| {
        let before = known(&places::review(&brief.name, project));
        let both = before.as_ref().zip(now.as_ref());
        let findings = both.map(|(before, now)| compare(before, now)).unwrap_or_default();
        ProjectReview { project: project.clone(), compared: both.is_some(), findings }
    };
    let projects = brief.projects.iter().zip(&snapshots).map(one).collect();
    let now = system::outside(brief, patience)?;
    // Before its first session nothing was the agent's.
    let before = known(&places::review_outside(&brief.name)).unwrap_or_default();
    let outside = now.as_ref().map(|now| compare(&before, now));
    let review = Review { version: 1, agent: brief.name.clone(), projects, outside };
    Ok((review, Looks { projects: snapshots, outside: now }))
}

fn is_new(agent: &AccountName, project: &AbsPath) -> bool {
    fs::metadata(places::review(agent, project)).is_ok_and(|file| file.len() == 0)
}

fn known(path: &AbsPath) -> Option<Snapshot> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes what is known into the file that root made for it.
fn keep(path: &AbsPath, snapshot: &Snapshot) -> Result<(), Failure> {
    let text = serde_json::to_vec(snapshot).map_err(Failure::new)?;
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(path).map_err(|error| {
        Failure::new(anyhow::anyhow!("can't write {path}: {error}")).hint("agentuser setup")
    })?;
    Ok(file.write_all(&text)?)
}

/// One finding in a line. All that the agent chose is in escaped form already.
fn line(finding: &Finding) -> String {
    let change = match finding.change {
        Change::New => "new",
        Change::Changed => "changed",
        Change::Removed => "removed",
    };
    let part = if finding.part.is_empty() { String::new() } else { format!(" {}", finding.part) };
    let value = finding.value.as_ref().map(|value| format!(" = {value}")).unwrap_or_default();
    format!("{}{part}{value}: {change}", finding.path)
}

fn show(review: &Review, accepted: bool) {
    for project in &review.projects {
        printer::heading(project.project.as_str());
        if !project.compared {
            printer::marked(
                Mark::Open,
                "nothing is known of the time before the agent: agentuser review --accept",
            );
            continue;
        }
        list(&project.findings, "nothing that your tools would execute was changed");
    }
    if let Some(findings) = &review.outside {
        printer::heading("Outside of the projects");
        list(findings, "nothing of the agent's was found");
    }
    if accepted {
        printer::data("Taken as it is: from now on, what differs from this is told.");
    }
}

fn list(findings: &[Finding], nothing: &str) {
    const MOST: usize = 200;
    if findings.is_empty() {
        printer::marked(Mark::Good, nothing);
    }
    let mut why = "";
    for finding in findings.iter().take(MOST) {
        let (mark, word) = match finding.rank {
            Rank::Red => (Mark::Bad, "by itself"),
            Rank::Yellow => (Mark::Open, "when used"),
            Rank::Grey => (Mark::Good, "no program"),
        };
        printer::marked(mark, &format!("{word:<11}  {}", line(finding)));
        if finding.why != why && finding.rank != Rank::Grey {
            printer::detail(finding.why);
        }
        why = finding.why;
    }
    if findings.len() > MOST {
        printer::data(&format!("  and {} more: --json", findings.len() - MOST));
    }
}
