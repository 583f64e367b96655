//! `net log`: what was recorded as refused, and what to type about it.

use crate::{
    audit::{
        self, Record,
        view::{Row, View},
    },
    cli::{Failure, Global, invoker, printer, system},
    model::{AbsPath, harmless},
};
use clap::Args;
use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    process::ExitCode,
    time::{Duration, SystemTime},
};

/// How often the log is looked at with `--follow`.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// Only what happened in this time, such as 1h, 15min, 2days
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Only what was refused
    #[arg(long)]
    pub(in crate::cli) blocked: bool,
    /// The lines as they are in the log, for programs
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn shows(&self, record: &Record, from: SystemTime) -> bool {
        record.t >= from && (!self.blocked || record.act.is_refusal())
    }
}

/// Shows the log.
pub(crate) fn log(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (_, policy) =
        invoker::policy()?.ok_or_else(|| Failure::usage("there is no policy").hint("agentuser setup"))?;
    let agent = invoker::agent(&policy, global)?;
    let path = audit::path(&agent);
    let from = arguments.since.and_then(|time| SystemTime::now().checked_sub(time));
    let from = from.unwrap_or(SystemTime::UNIX_EPOCH);
    let mut view = View::default();
    let aside = (1..=4).rev().map(|number| AbsPath::to_string(&path) + &format!(".{number}"));
    for part in aside {
        if let Ok(mut part) = Part::open(&part) {
            part.show(arguments, from, &mut view)?;
        }
    }
    let mut latest = match Part::open(path.as_str()) {
        Ok(part) => Some(part),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&path, &error)),
    };
    if let Some(part) = &mut latest {
        part.show(arguments, from, &mut view)?;
    }
    if !arguments.json {
        table(&view);
    }
    if arguments.follow {
        follow(&path, latest, arguments)?;
    }
    if latest_is_missing(&path) && !arguments.json && !global.quiet {
        printer::say(&format!(
            "There is no log of {agent} yet: nothing was refused, or the policy has `log: none`.{}",
            system::NOT_RECORDED
        ));
    } else if !arguments.json {
        suggest(&view);
    }
    Ok(ExitCode::SUCCESS)
}

fn latest_is_missing(path: &AbsPath) -> bool {
    std::fs::symlink_metadata(path.as_str()).is_err()
}

fn unreadable(path: &AbsPath, error: &std::io::Error) -> Failure {
    Failure::new(anyhow::anyhow!("can't read `{path}`: {error}")).hint("sudo agentuser net log")
}

/// A file of the log that is being read.
struct Part {
    file: BufReader<File>,
    inode: u64,
    rest: Vec<u8>,
}

impl Part {
    fn open(path: &str) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        Ok(Self { file: BufReader::new(file), inode, rest: Vec::new() })
    }

    /// The next whole line; none where there is none yet.
    fn line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        self.file.read_until(b'\n', &mut self.rest)?;
        Ok(self.rest.ends_with(b"\n").then(|| std::mem::take(&mut self.rest)))
    }

    /// All lines up to now: into the view, or as they are.
    fn show(&mut self, arguments: &Arguments, from: SystemTime, view: &mut View) -> std::io::Result<()> {
        while let Some(line) = self.line()? {
            for record in audit::parse(&line).filter(|record| arguments.shows(record, from)) {
                if arguments.json {
                    raw(&record);
                } else {
                    view.add(&record);
                }
            }
        }
        Ok(())
    }
}

/// A line for programs. It is written anew, so that control characters are in JSON's form whoever wrote the file.
fn raw(record: &Record) {
    printer::data(String::from_utf8_lossy(&record.line()).trim_end());
}

fn follow(path: &AbsPath, mut latest: Option<Part>, arguments: &Arguments) -> Result<(), Failure> {
    loop {
        if let Some(part) = &mut latest {
            while let Some(line) = part.line()? {
                for record in audit::parse(&line) {
                    match arguments.shows(&record, SystemTime::UNIX_EPOCH) {
                        true if arguments.json => raw(&record),
                        true => row(&Row::of(&record)),
                        false => {}
                    }
                }
            }
        }
        let there = std::fs::metadata(path.as_str()).map(|data| data.ino()).ok();
        if there.is_some() && there != latest.as_ref().map(|part| part.inode) {
            latest = Part::open(path.as_str()).ok();
            continue;
        }
        std::thread::sleep(PAUSE);
    }
}

fn table(view: &View) {
    view.rows().into_iter().for_each(row);
}

/// A row: when, what, where to, how often, why, who.
fn row(row: &Row) {
    let time = humantime::format_rfc3339_seconds(row.last).to_string();
    let times = if row.times > 1 { format!(" ×{}", row.times) } else { String::new() };
    let program = row.program.as_ref().map(|program| format!("  by {program}")).unwrap_or_default();
    let detail = if row.detail.is_empty() { String::new() } else { format!("  ({})", row.detail) };
    let act = row.act.to_string();
    let text = format!("{time}  {act:<21} {}{times}{detail}{program}", row.target);
    printer::data(&harmless(&text).replace('\n', "\\n"));
}

fn suggest(view: &View) {
    let (commands, more) = view.remedies();
    if commands.is_empty() {
        return;
    }
    printer::data("");
    printer::heading("To allow what was refused:");
    for command in commands {
        printer::data(&format!("  {}", harmless(&command)));
    }
    if more > 0 {
        printer::detail(&format!("and {more} more"));
    }
}
