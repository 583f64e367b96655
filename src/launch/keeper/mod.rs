//! The keeper: while sessions run, it keeps what one party makes in a project usable by the other.
//!
//! There are two, for a file's ACL is set by its owner: one is the agent's and started by `enter`, one is the human's and
//! started by `run`. Each holds a lock on its home directory, so that the first session starts it and others find it; it
//! ends soon after the last process of the agent, with a sweep. It is outside of the session's terminal and process
//! group, and has none of its streams. The agent's is confined like the session, which can neither signal nor trace it; whether
//! sessions run it hears from a process beside it, and it ends when that does. The human's starts sudo where the agent's is gone.
//!
//! Nothing depends on a keeper but comfort: a new one begins with a sweep, and the human's starts the agent's anew when that
//! was killed.

mod sessions;
mod watch;

pub(super) use sessions::look;
pub use sessions::{end_keepers, run as sessions_run};

use super::{
    brief::{Brief, Stamp},
    confine, relay,
};
use crate::{
    host::{places, sys, users},
    model::{AbsPath, AccountName, Uid, view::View},
    policy::{Access, Agent},
    share::{Job, Kept},
};
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    process::{DumpableBehavior, geteuid, set_dumpable_behavior},
};
use std::{
    fs, io,
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
};

/// The name that a keeper goes by among processes.
const NAME: &std::ffi::CStr = c"agentuser-keep";

/// How often in its life the human's keeper has a missing one of the agent's started.
const RESTARTS: u32 = 5;

/// The projects of an agent that both may write to, by ACLs.
pub(super) fn kept(agent: &Agent, view: &View) -> Vec<AbsPath> {
    let by_acl = agent.projects.iter().filter(|project| !view.maps(&project.path));
    by_acl.filter(|project| project.access == Access::ReadWrite).map(|project| project.path.clone()).collect()
}

/// Starts the agent's keeper, where there is something to keep and none is at work. A launch does not fail for it.
pub(super) fn start_agents(brief: &Brief, home: &Path) {
    if !brief.kept.is_empty() {
        let _ = start(home, &["enter", "--keep"]);
    }
}

/// The same for the human's.
pub fn start_humans(brief: &Brief) {
    let home = || users::person(&brief.human).ok().flatten().map(|person| person.home);
    if !brief.kept.is_empty()
        && let Some(home) = home()
    {
        let _ = start(Path::new(&home), &["keep"]);
    }
}

/// Starts this program again in a session of its own, if nobody holds the lock, which becomes its standard input.
fn start(home: &Path, arguments: &[&str]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock: OwnedFd = open(home, flags, Mode::empty())?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    sys::close_on_exec_from(3)?;
    let mut command = Command::new("/proc/self/exe");
    command
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(lock)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    sys::in_new_session(&mut command);
    // What was spawned has ended; the command that comes has no child that it does not know of.
    command.spawn()?.wait().map(drop)
}

/// The agent's keeper.
pub(super) fn agents(brief: &Brief) -> io::Result<()> {
    settle_in(NAME)?;
    let me = Uid(geteuid().as_raw());
    let looker = sessions::Looker::start()?;
    confine::confine(&brief.confine).map_err(io::Error::other)?;
    let trees = trees(brief, me)?;
    watch::run(&trees, &[me], || looker.running(), 0, |_| ())
}

/// The human's keeper, for all agents that the human has.
pub fn humans() -> io::Result<()> {
    settle_in(NAME)?;
    let me = Uid(geteuid().as_raw());
    let name = users::name_of(me.0).ok_or(io::ErrorKind::NotFound)?;
    let policy = fs::read_to_string(places::POLICY)?;
    let mut briefs = Vec::new();
    for entry in fs::read_dir(places::RUNTIME)? {
        let stamp = entry?.file_name().to_str().and_then(|file| file.strip_suffix(".loaded")?.parse().ok());
        let brief = stamp.and_then(|name: AccountName| Stamp::read(&name)?.brief_for(&policy));
        briefs.extend(brief.filter(|brief| brief.human == name));
    }
    let mut kept = Vec::new();
    let mut agents = Vec::new();
    for brief in &briefs {
        kept.extend(trees(brief, me)?);
        agents.extend(users::person(brief.name.as_str()).ok().flatten().map(|agent| (agent.uid, brief)));
    }
    let uids: Vec<_> = agents.iter().map(|(uid, _)| *uid).collect();
    watch::run(
        &kept,
        &uids,
        || Ok(sessions::run(&uids)),
        RESTARTS,
        |without_keeper| {
            for (_, brief) in
                agents.iter().filter(|(uid, brief)| without_keeper.contains(uid) && !brief.kept.is_empty())
            {
                let _ = relay::way_in(*brief)
                    .and_then(|mut way_in| way_in.arg("--start-keeper").stdin(Stdio::null()).status());
            }
        },
    )
}

/// Nobody of the same account looks into it or takes it over.
fn settle_in(name: &std::ffi::CStr) -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(rustix::thread::set_name(name)?)
}

/// The trees of one agent that can be opened.
fn trees(brief: &Brief, owner: Uid) -> io::Result<Vec<Kept>> {
    let uid = |name: &str| {
        let person = users::person(name).map_err(io::Error::other)?;
        person.map(|person| person.uid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let (agent, human) = (uid(brief.name.as_str())?, uid(&brief.human)?);
    let job = |root: &AbsPath| {
        let (root, access) = (root.clone(), crate::share::Access::ReadWrite);
        Job { root, agent, human, access, threads: 1, break_links: false }
    };
    Ok(brief.kept.iter().filter_map(|root| Kept::open(job(root), owner).ok()).collect())
}
