//! The real machine, where that is a Mac.

mod facts;
mod files_of_people;
mod homes;
mod processes;
pub(crate) mod role;
mod volumes;
pub mod worker;

pub use facts::facts;
pub use processes::descendant;

use super::{
    Act, Command, DirState, FileState, HostError, Installed, Jump, Observe, Query, Seen, Shared, Validator,
    files, users,
};
use crate::{
    formats::pf,
    model::{
        AbsPath, Family, Gid, IdRange, PathBytes, Uid,
        desired::{Access, Owner},
        facts::{GroupLine, Person},
    },
    share::{AcePrior, Aces, aces},
};
use std::{fs, process::Output};

/// The real machine.
#[derive(Default)]
pub struct System;

impl System {
    /// The machine.
    pub fn new() -> Self {
        Self
    }

    /// The machine. The child that walks over a tree tells no numbers on macOS, so that `progress` is never called.
    pub fn with_progress(_: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self
    }

    /// Moves a home where nothing is yet, and gives it to its new owner.
    pub fn move_home(
        &mut self,
        from: &AbsPath,
        to: &AbsPath,
        (uid, _): (Uid, Gid),
        owner: (Uid, Gid),
    ) -> Result<(), HostError> {
        homes::keep(from, to, uid, owner)
    }
}

/// What an agent can use below a directory outside of its projects, as the account of this process sees it; see
/// [`crate::share::aces::moved`].
pub fn moved(
    root: &AbsPath,
    agent: &str,
    projects: &[AbsPath],
    most: usize,
) -> Result<Vec<(PathBytes, Access)>, HostError> {
    aces::moved(root, agent, projects, most, &files_of_people::People::open(root, None)?)
}

fn linux<T>(what: &'static str) -> Result<T, HostError> {
    Err(HostError::Elsewhere(what))
}

/// The record of a share, line by line; a line that was cut short by a crash belongs to no change.
fn priors(record: &AbsPath) -> Result<Vec<AcePrior>, HostError> {
    let text = match fs::read(record) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(HostError::path("can't read", record, error)),
    };
    Ok(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

impl Observe for System {
    fn file(&self, path: &AbsPath) -> Result<Option<FileState>, HostError> {
        files::read(path)
    }

    fn directory(&self, path: &AbsPath) -> Result<Option<DirState>, HostError> {
        files::directory(path)
    }

    fn names(&self, path: &AbsPath) -> Result<Vec<String>, HostError> {
        files::names(path)
    }

    fn program(&self) -> Result<Vec<u8>, HostError> {
        files::program()
    }

    fn installed(&self, path: &AbsPath) -> Result<Option<Installed>, HostError> {
        files::installed(path)
    }

    fn person(&self, name: &str) -> Result<Option<Person>, HostError> {
        users::person(name)
    }

    fn group(&self, name: &str) -> Result<Option<GroupLine>, HostError> {
        users::group(name)
    }

    fn query(&self, query: &Query) -> Result<Output, HostError> {
        let Query::Mac(query) = query else { return linux("a look at Linux") };
        let command = query.command();
        if query.needs_root() && !rustix::process::geteuid().is_root() {
            return Err(HostError::NeedsRoot(format!("`{}`", command.line())));
        }
        Ok(command.output()?)
    }

    fn output_chain(&self, _: Family) -> Result<Vec<String>, HostError> {
        linux("iptables")
    }

    fn socket_is_closed(&self, _: &AbsPath, _: Uid) -> Result<Option<bool>, HostError> {
        linux("closing a socket of a service")
    }

    fn look_at(&self, _: &Shared) -> Result<Seen, HostError> {
        linux("sharing by POSIX ACLs")
    }

    fn look_at_aces(&self, job: &Aces) -> Result<Seen, HostError> {
        let owner = job.owner();
        if rustix::process::geteuid().is_root() {
            return worker::run(owner, &worker::Task::Look(job.clone()), None);
        }
        if rustix::process::geteuid().as_raw() != owner.0 {
            return Err(HostError::NeedsRoot(format!("what belongs to uid {owner}")));
        }
        worker::look(job)
    }
}

impl Act for System {
    fn observe(&self) -> &dyn Observe {
        self
    }

    fn write(&mut self, path: &AbsPath, file: &FileState, validator: Validator) -> Result<(), HostError> {
        files::write(path, file, validator)
    }

    fn remove(&mut self, path: &AbsPath) -> Result<(), HostError> {
        files::remove(path)
    }

    fn make_dir(&mut self, path: &AbsPath, mode: u32) -> Result<(), HostError> {
        files::make_dir(path, mode)
    }

    fn remove_dir(&mut self, path: &AbsPath) -> Result<(), HostError> {
        files::remove_dir(path)
    }

    fn try_run(&mut self, command: &Command) -> Result<Output, HostError> {
        Ok(command.output()?)
    }

    fn clear_states(&mut self) -> Result<(), HostError> {
        let clear = || pfctl::PfCtl::new()?.clear_states(pf::CALL, pfctl::AnchorKind::Filter);
        match clear() {
            Ok(_) => Ok(()),
            Err(error) => Err(HostError::Worker(format!("the states of pf could not be cleared: {error}"))),
        }
    }

    fn jump(&mut self, _: Family, _: &Jump) -> Result<(), HostError> {
        linux("iptables")
    }

    fn make_home(&mut self, path: &AbsPath, uid: Uid, gid: Gid) -> Result<(), HostError> {
        homes::make(path, uid, gid)
    }

    fn remove_home(&mut self, path: &AbsPath, uid: Uid, _: &str) -> Result<Vec<String>, HostError> {
        homes::remove(path, uid)
    }

    fn remove_tree(&mut self, _: &AbsPath) -> Result<(), HostError> {
        linux("the private view")
    }

    fn close_socket(&mut self, _: &AbsPath, _: Uid) -> Result<(), HostError> {
        linux("closing a socket of a service")
    }

    fn open_socket(&mut self, _: &AbsPath, _: Uid) -> Result<(), HostError> {
        linux("closing a socket of a service")
    }

    fn end_processes(&mut self, uid: Uid, _: &[IdRange]) -> Result<usize, HostError> {
        processes::end(uid)
    }

    fn open_to_agent(&mut self, _: &Shared, _: &AbsPath) -> Result<Seen, HostError> {
        linux("sharing by POSIX ACLs")
    }

    fn close_to_agent(&mut self, _: &Shared, _: &Owner, _: &AbsPath) -> Result<Seen, HostError> {
        linux("sharing by POSIX ACLs")
    }

    fn open_aces(&mut self, job: &Aces, record: &AbsPath) -> Result<Seen, HostError> {
        let known = priors(record)?;
        let open = worker::Task::Open(job.clone(), known);
        let mut seen = worker::run(job.owner(), &open, Some(record))?;
        if let (Aces::Tree(tree), Seen::Tree(report)) = (job, &mut seen)
            && report.agent_owned_lacking > 0
        {
            // The human can't change what belongs to the agent; the agent itself can.
            let theirs = worker::run(tree.agent.uid, &open, Some(record))?;
            report.agent_owned_lacking =
                if let Seen::Tree(theirs) = theirs { theirs.lacking.total } else { 0 };
        }
        Ok(seen)
    }

    fn close_aces(&mut self, job: &Aces, record: &AbsPath) -> Result<Seen, HostError> {
        if matches!(files::directory(job.root()), Ok(None) | Err(HostError::Unexpected { .. })) {
            files::remove(record)?;
            return Ok(Seen::Gone);
        }
        if let Aces::Tree(tree) = job {
            let owner = users::name_of(tree.human.uid.0).and_then(|name| users::person(&name).ok().flatten());
            let gid = owner.map_or(Gid(20), |owner| owner.gid);
            files_of_people::hand_over(&tree.root, tree.agent.uid, tree.human.uid, gid)?;
        }
        let seen = worker::run(job.owner(), &worker::Task::Close(job.clone(), priors(record)?), None)?;
        files::remove(record)?;
        Ok(seen)
    }
}
