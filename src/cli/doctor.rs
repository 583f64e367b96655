//! `doctor`: tries each known way around as the agent, inside a real session, and as the human, for control.

use super::{
    Failure, Global, invoker,
    printer::{self, Mark},
    system,
};
use crate::{
    doctor::{
        Bait, Finding, Laid, Looks, Verdict, judge, probe,
        toolchains::{Toolchain, unreached},
    },
    host::{self, itself, places, users},
    launch::relay,
    model::{AbsPath, AccountName},
};
use clap::Args;
use serde::Serialize;
use std::{
    io::{Read, Write},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

/// The most that probes have to say.
const LONGEST: u64 = 64 * 1024;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// As JSON: see docs/doctor.md
    #[arg(long)]
    json: bool,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    agent: AccountName,
    closed: bool,
    probes: Vec<Finding>,
    /// The human's toolchains that the agent does not reach.
    toolchains: Vec<Toolchain>,
}

pub(crate) fn doctor(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if invoker::is_root() {
        return Err(Failure::usage(
            "`doctor` tries what the agent can do to you, so it runs as you, not as root",
        )
        .hint("agentuser doctor, without sudo"));
    }
    let brief = system::brief(global)?;
    system::make_ready(&brief)?;
    let person = users::person(&brief.human)?;
    let home = person.and_then(|person| person.home.parse::<AbsPath>().ok()).unwrap_or_else(AbsPath::root);
    let projects: Vec<_> = brief.projects.iter().map(|path| PathBuf::from(path.as_str())).collect();
    let laid = Laid::out(home.as_path(), &projects)?;
    let human = looks(Command::new(itself()).arg("probe"), &laid)?;
    let mut session = relay::way_in(&brief)?;
    session.args(["--directory=", "--umask=077", "--alone", "--", places::PROGRAM, "probe"]);
    let agent = looks(&mut session, &laid)?;
    let probes = judge(&agent, &human, |probe| system::stated(&brief, probe));
    let closed = probes.iter().all(|finding| finding.verdict != Verdict::Open);
    let toolchains = unreached(&home, &brief.path);
    let report = Report { version: 1, agent: brief.name.clone(), closed, probes, toolchains };
    if arguments.json {
        printer::data(&serde_json::to_string_pretty(&report).map_err(Failure::new)?);
    } else if !global.quiet {
        show(&report);
    }
    Ok(ExitCode::from(u8::from(!closed)))
}

/// Runs the probes in a process of their own, which inherits what it can.
fn looks(command: &mut Command, laid: &Laid) -> Result<Looks, Failure> {
    let (name, value) = laid.variable();
    command.env(name, value).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut to) = child.stdin.take() {
        to.write_all(&serde_json::to_vec(&laid.bait).map_err(Failure::new)?)?;
    }
    let mut said = Vec::new();
    if let Some(from) = child.stdout.take() {
        from.take(LONGEST).read_to_end(&mut said)?;
    }
    let status = child.wait()?;
    serde_json::from_slice(&said).map_err(|_| {
        Failure::new(anyhow::anyhow!("the probes did not answer ({status})")).hint("agentuser status")
    })
}

/// The probes' own process: the bait on standard input, what was seen on standard output.
pub(crate) fn probe() -> Result<ExitCode, Failure> {
    // Other processes of the agent don't put words into its mouth.
    host::keep_tracers_away()?;
    let mut text = Vec::new();
    std::io::stdin().lock().take(LONGEST).read_to_end(&mut text)?;
    let bait: Bait = serde_json::from_slice(&text).map_err(Failure::new)?;
    printer::data(&serde_json::to_string(&probe::look(&bait)).map_err(Failure::new)?);
    Ok(ExitCode::SUCCESS)
}

fn show(report: &Report) {
    printer::heading(&format!("Ways around the isolation of {}, tried from inside a session", report.agent));
    for finding in &report.probes {
        let (mark, word) = match finding.verdict {
            Verdict::Closed => (Mark::Good, "closed"),
            Verdict::Stated => (Mark::Open, "open (stated)"),
            Verdict::Open => (Mark::Bad, "OPEN"),
            Verdict::Untold => (Mark::Open, "can't tell"),
        };
        printer::marked(mark, &format!("{:<4} {:<52} {word}", finding.bypass, finding.what));
        if finding.verdict != Verdict::Closed {
            printer::detail(&finding.detail);
        }
    }
    if !report.toolchains.is_empty() {
        printer::heading("Toolchains of yours that the agent does not reach");
        for one in &report.toolchains {
            printer::marked(Mark::Open, &format!("{} ({})", one.name, one.directory));
            let programs = one.programs.last().map(ToString::to_string).unwrap_or_default();
            printer::detail(&format!(
                "for reading: agentuser share --read-only {}, and `path: [{programs}]` in the policy",
                one.directory
            ));
            printer::detail(&format!("or its own: agentuser shell, then {}", one.own));
        }
    }
    let open = report.probes.iter().filter(|finding| finding.verdict == Verdict::Open).count();
    printer::data(&match open {
        0 => "Nothing is open that the policy does not leave open.".to_owned(),
        _ => format!("{open} open. `agentuser status` tells what drifted, and `agentuser setup` mends it."),
    });
}
