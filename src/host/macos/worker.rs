//! Work on files that belong to a human or to the agent, by a child that was started as that account.
//!
//! Root starts this program again, as the account, with the hidden command `worker`, and tells it on standard input what to
//! do. It answers in lines of JSON. Before an object that had an ACL of its own is changed, its entries are sent up, written
//! to the disk by root, and acknowledged.

use super::files_of_people::People;
use crate::{
    host::{HostError, Seen, by_itself, itself, users},
    model::{AbsPath, Uid},
    share::{AcePrior, Aces, aces},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    process::{Child, Stdio},
};

/// What the child does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Compares.
    Look(Aces),
    /// Grants; what was recorded before is known already.
    Open(Aces, Vec<AcePrior>),
    /// Takes back.
    Close(Aces, Vec<AcePrior>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Priors(Vec<AcePrior>),
    Seen(Seen),
    Error(String),
}

/// Looks as the account of this process.
pub(super) fn look(job: &Aces) -> Result<Seen, HostError> {
    aces::look(job, &People::open(job.root(), None)?)
}

/// Has a child do a task as an account. Priors are appended to `record`, and are on the disk before the child goes on.
pub(super) fn run(uid: Uid, task: &Task, record: Option<&AbsPath>) -> Result<Seen, HostError> {
    let lost = |error: &dyn std::fmt::Display| {
        HostError::Worker(format!("the child for uid {uid} was lost: {error}"))
    };
    let person = users::name_of(uid.0).and_then(|name| users::person(&name).ok().flatten());
    let Some(person) = person.filter(|person| person.uid == uid && uid != Uid(0)) else {
        return Err(HostError::Worker(format!("no account has uid {uid}")));
    };
    // Setting the uid from root's leaves no supplementary groups and no saved id (std::os::unix::process::CommandExt::uid).
    let mut command = std::process::Command::new(itself());
    command.arg("worker").uid(uid.0).gid(person.gid.0);
    let mut child = by_itself(&mut command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| lost(&error))?;
    let request = serde_json::to_string(task).map_err(|error| lost(&error))?;
    let result = converse(&mut child, &request, record).map_err(|error| lost(&error));
    let status = child.wait().map_err(|error| lost(&error))?;
    match result? {
        Some(Answer::Seen(seen)) => Ok(seen),
        Some(Answer::Error(error)) => Err(HostError::Worker(error)),
        _ => Err(lost(&status)),
    }
}

fn converse(child: &mut Child, request: &str, record: Option<&AbsPath>) -> io::Result<Option<Answer>> {
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else { return Ok(None) };
    writeln!(to, "{request}")?;
    for line in BufReader::new(from).lines() {
        match serde_json::from_str(&line?)? {
            Answer::Priors(priors) => {
                let record = record.ok_or_else(|| io::Error::other("a record where none is kept"))?;
                append(record, &priors)?;
                writeln!(to)?;
            }
            last => return Ok(Some(last)),
        }
    }
    Ok(None)
}

/// Adds lines to a record, on lines of their own whatever a crash left there.
fn append(record: &AbsPath, priors: &[AcePrior]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(record)?;
    let mut text = vec![b'\n'];
    for prior in priors {
        serde_json::to_writer(&mut text, prior)?;
        text.push(b'\n');
    }
    file.write_all(&text)?;
    file.sync_all()
}

/// The hidden command, which runs as the account from its first instruction on.
pub fn main() -> io::Result<()> {
    if rustix::process::geteuid().is_root() || rustix::process::getuid().is_root() {
        return Err(io::Error::other("a worker never works as root"));
    }
    let mut from = BufReader::new(io::stdin());
    let mut line = String::new();
    from.read_line(&mut line)?;
    let task: Task = serde_json::from_str(&line)?;
    let answer = match perform(task, &mut from) {
        Ok(seen) => Answer::Seen(seen),
        Err(error) => Answer::Error(error.to_string()),
    };
    send(&answer)
}

fn send(answer: &Answer) -> io::Result<()> {
    let mut text = serde_json::to_string(answer)?;
    text.push('\n');
    let mut to = io::stdout().lock();
    to.write_all(text.as_bytes())?;
    to.flush()
}

fn perform(task: Task, from: &mut dyn BufRead) -> Result<Seen, HostError> {
    let mut keep = |priors: &[AcePrior]| {
        send(&Answer::Priors(priors.to_vec()))?;
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::Error::other("root is gone"));
        }
        Ok(())
    };
    match task {
        Task::Look(job) => look(&job),
        Task::Open(job, known) => aces::open(&job, &mut People::open(job.root(), Some(&mut keep))?, &known),
        Task::Close(job, priors) => aces::close(&job, &mut People::open(job.root(), None)?, &priors),
    }
}
