//! Work on files that belong to a human or to the agent, and signals to an account's processes: done by a child that has
//! become that account before it looks at anything.
//!
//! Root starts this program again with the hidden command `worker` and tells it, on standard input, who to become and what
//! to do. It answers in lines of JSON. Before an object that had an ACL of its own is changed, its state is sent up, written
//! to the disk by root, and acknowledged.

use super::{
    HostError, Seen, Shared,
    role::{self, Role},
    sockets,
};
use crate::{
    model::{AbsPath, Gid, Uid},
    share::{self, Prior, PriorRecord, Sink},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write},
    os::fd::OwnedFd,
    sync::Mutex,
    time::{Duration, Instant},
};

/// Who the child becomes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// User id, never 0.
    pub uid: Uid,
    /// Group id.
    pub gid: Gid,
    /// Supplementary groups.
    pub groups: Vec<Gid>,
}

/// What the child does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Compares.
    Look(Shared),
    /// Grants.
    Open(Shared),
    /// Takes back, also what the agent's group was given.
    Close(Shared, Option<Gid>, Vec<Prior>),
    /// Kills every process of the account but itself.
    Kill,
    /// Closes a socket of the account to another one.
    CloseSocket(AbsPath, Uid),
}

/// What stands on the command line of a worker that is bound, see [`main`].
pub(super) const BOUND: &str = "--bound";

/// The last uid but one, which no account has.
const NOBODYS: u32 = u32::MAX - 1;

#[derive(Serialize, Deserialize)]
struct Request {
    identity: Identity,
    task: Task,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Progress(u64),
    Priors(Vec<Prior>),
    Seen(Seen),
    Error(String),
}

/// Kills every process of an account.
pub(super) fn kill_all(uid: Uid) -> Result<(), HostError> {
    let identity = Identity { uid, gid: Gid(65_534), groups: vec![] };
    run(&identity, Task::Kill, None, &mut |_| {}).map(drop)
}

/// Has a child do a task. Priors are appended to `record`, and are on the disk before the child goes on.
pub(super) fn run(
    identity: &Identity,
    task: Task,
    mut record: Option<&mut File>,
    progress: &mut dyn FnMut(u64),
) -> Result<Seen, HostError> {
    let lost = |error: &dyn std::fmt::Display| {
        HostError::Worker(format!("the child for uid {} was lost: {error}", identity.uid))
    };
    let started = || {
        let ((theirs, to), (from, said)) = (io::pipe()?, io::pipe()?);
        let child = role::start(Role::Worker, theirs.into(), Some(OwnedFd::from(said)))?;
        io::Result::Ok((child, to, from))
    };
    let (mut child, to, from) = started().map_err(|error| lost(&error))?;
    let request =
        serde_json::to_string(&Request { identity: identity.clone(), task }).map_err(|error| lost(&error))?;
    let result = converse(to, from, &request, &mut record, progress).map_err(|error| lost(&error));
    let status = child.wait().map_err(|error| lost(&error))?;
    match result? {
        Some(Answer::Seen(seen)) => Ok(seen),
        Some(Answer::Error(error)) => Err(HostError::Worker(error)),
        _ => Err(lost(&status.map_or_else(|| "it ended".into(), |status| status.to_string()))),
    }
}

/// Sends the request and follows the answers to the last one.
fn converse(
    mut to: PipeWriter,
    from: PipeReader,
    request: &str,
    record: &mut Option<&mut File>,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Option<Answer>> {
    writeln!(to, "{request}")?;
    for line in BufReader::new(from).lines() {
        match serde_json::from_str(&line?)? {
            Answer::Progress(objects) => progress(objects),
            Answer::Priors(priors) => {
                let file =
                    record.as_deref_mut().ok_or_else(|| io::Error::other("a record where none is kept"))?;
                let mut text = Vec::new();
                for prior in &priors {
                    serde_json::to_writer(&mut text, prior)?;
                    text.push(b'\n');
                }
                file.write_all(&text)?;
                file.sync_data()?;
                writeln!(to)?;
            }
            last => return Ok(Some(last)),
        }
    }
    Ok(None)
}

/// The hidden command: becomes the account and does the task.
///
/// One that is `bound` was asked for by a service that may not become others: it ends processes and closes sockets, and works
/// on nobody's files.
pub fn main(bound: bool) -> io::Result<()> {
    let mut from = BufReader::new(io::stdin());
    let mut line = String::new();
    from.read_line(&mut line)?;
    let request: Request = serde_json::from_str(&line)?;
    if bound && !matches!(request.task, Task::Kill | Task::CloseSocket(..)) {
        return Err(io::Error::other("a service has no files to work on"));
    }
    become_for_good(&request.identity)?;
    let up = Up {
        from: Mutex::new(Box::new(from)),
        to: Mutex::new(io::stdout()),
        told: Mutex::new(Instant::now()),
    };
    let answer = match perform(request.task, request.identity.uid, &up) {
        Ok(seen) => Answer::Seen(seen),
        Err(error) => Answer::Error(error.to_string()),
    };
    up.send(&answer)
}

/// Gives up root's rights, in every form, and makes sure that they can't come back.
///
/// Files are opened and processes signalled by the effective id; who may signal, stop or trace the child goes by its real
/// and saved ids (kill(2), ptrace(2)). These are nobody's, for the agent must not end or stop what works as the agent.
fn become_for_good(identity: &Identity) -> io::Result<()> {
    use nix::{
        errno::Errno,
        unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid},
    };
    let (uid, gid) = (Uid::from_raw(identity.uid.0), Gid::from_raw(identity.gid.0));
    if uid.is_root() {
        return Err(io::Error::other("a worker never works as root"));
    }
    setgroups(&identity.groups.iter().map(|group| Gid::from_raw(group.0)).collect::<Vec<_>>())?;
    setresgid(gid, gid, gid)?;
    let nobodys = Uid::from_raw(NOBODYS);
    let others = match setresuid(nobodys, uid, nobodys) {
        Ok(()) => nobodys,
        // A user namespace may lack the id.
        Err(Errno::EINVAL) => setresuid(uid, uid, uid).map(|()| uid)?,
        Err(errno) => return Err(errno.into()),
    };
    rustix::thread::set_no_new_privs(true)?;
    let (uids, gids) = (getresuid()?, getresgid()?);
    let dropped = [uids.real, uids.effective, uids.saved] == [others, uid, others]
        && [gids.real, gids.effective, gids.saved] == [gid; 3];
    if dropped && nix::unistd::setuid(Uid::from_raw(0)).is_err() {
        return Ok(());
    }
    Err(io::Error::other("root's rights could not be given up"))
}

fn perform(task: Task, uid: Uid, up: &Up) -> anyhow::Result<Seen> {
    let tree = |report| Seen::Tree(Box::new(report));
    Ok(match task {
        Task::Look(Shared::Tree(job)) => tree(share::check(&job, uid)?),
        Task::Open(Shared::Tree(job)) => tree(share::apply(&job, uid, up)?),
        Task::Close(Shared::Tree(job), group, priors) => {
            tree(share::revert(&job, group, uid, &PriorRecord::from_iter(priors), up)?)
        }
        Task::Look(Shared::Root(job))
        | Task::Open(Shared::Root(job))
        | Task::Close(Shared::Root(job), ..) => Seen::Root(share::root_is_open(&job)?),
        Task::Look(Shared::Traverse { dir, agent, owner }) => {
            Seen::Passage(share::traverse_check(&dir, agent, owner)?)
        }
        Task::Open(Shared::Traverse { dir, agent, owner }) => {
            Seen::Passage(share::traverse_apply(&dir, agent, owner, up)?)
        }
        Task::Close(Shared::Traverse { dir, agent, owner }, _, priors) => {
            Seen::Closed(share::traverse_revert(&dir, agent, owner, priors.first())?)
        }
        Task::Kill => {
            // ESRCH says that there was none.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), nix::sys::signal::Signal::SIGKILL);
            Seen::Gone
        }
        Task::CloseSocket(path, from) => {
            sockets::close(&path, from)?;
            Seen::Gone
        }
    })
}

/// The way up to root.
struct Up {
    from: Mutex<Box<dyn BufRead + Send>>,
    to: Mutex<io::Stdout>,
    /// When word of progress was last sent.
    told: Mutex<Instant>,
}

/// How often a person can be told of progress: more would wake root for nothing.
const TELL: Duration = Duration::from_millis(50);

impl Up {
    fn send(&self, answer: &Answer) -> io::Result<()> {
        let mut text = serde_json::to_string(answer)?;
        text.push('\n');
        let mut to = self.to.lock().map_err(|_| io::Error::other("poisoned"))?;
        to.write_all(text.as_bytes())?;
        to.flush()
    }
}

impl Sink for Up {
    fn prior(&self, priors: &[Prior]) -> io::Result<()> {
        // One conversation at a time, whichever thread has it: hold the reading side from the question to the answer.
        let mut from = self.from.lock().map_err(|_| io::Error::other("poisoned"))?;
        self.send(&Answer::Priors(priors.to_vec()))?;
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::Error::other("root is gone"));
        }
        Ok(())
    }

    fn progress(&self, objects: u64) {
        // A thread that finds another telling has nothing newer to say.
        if let Ok(mut told) = self.told.try_lock()
            && told.elapsed() > TELL
        {
            *told = Instant::now();
            let _ = self.send(&Answer::Progress(objects));
        }
    }
}
