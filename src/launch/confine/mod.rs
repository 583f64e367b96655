//! Confinement: the last steps before the command, after which neither it nor anything it starts gets back what is given
//! up here.
//!
//! ```text
//! no_new_privs        setuid programs give nothing (prctl(2)); the kernel asks for it before the other two
//! files               Landlock (landlock(7)): which files, and abstract sockets and signals of the session alone
//! calls, filter       seccomp(2): the filter is made when the policy is put in force, and only loaded here
//! kernel              which lines a kernel carries
//! ```
//!
//! A line that the policy asks for by name and that the kernel does not carry stops the launch; of the others `status`
//! tells.

mod calls;
mod files;
mod filter;
pub mod kernel;
mod look;

pub use kernel::{Carried, Kernel};

use crate::{
    model::AbsPath,
    policy::{Agent, Line},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io};

/// What a launch gives up, made ready from the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The lines that are to be in force, and whether the policy asks for each by name.
    lines: BTreeMap<Line, bool>,
    files: Option<files::Files>,
    /// Whether nothing starts without the filter: it keeps set-id bits off the disk.
    needs_filter: bool,
    filter: Option<filter::Filter>,
}

/// Why the agent was not confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The policy asks for a line that this kernel does not carry.
    #[error("the policy asks for `{}`, and {why}", .line.key())]
    NotCarried {
        /// The line.
        line: Line,
        /// What the kernel lacks.
        why: String,
    },
    /// The kernel carries it, and refused.
    #[error("the agent could not be confined ({what}): {source}")]
    Refused {
        /// What.
        what: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl Orders {
    /// What the policy says of an agent with this home, in the private view or the plain one. `mounts` says that projects
    /// are id-mapped mounts, through which a set-user-id bit would reach the disk as the human's.
    pub fn of(agent: &Agent, home: &AbsPath, private: bool, mounts: bool) -> Self {
        let confine = &agent.confine;
        // In the private view what is not to be reached is not there. Landlock would add cost, and take mount(2) from the
        // sandboxes that agents bring along.
        let needless = |line| line == Line::Landlock && private && !confine.demands(line);
        let wanted = Line::ALL.into_iter().filter(|line| confine.wants(*line) && !needless(*line));
        let lines: BTreeMap<_, _> = wanted.map(|line| (line, confine.demands(line))).collect();
        Self {
            files: lines.contains_key(&Line::Landlock).then(|| files::Files::of(agent, home)),
            needs_filter: mounts,
            filter: filter::of(&lines.keys().copied().collect(), mounts),
            lines,
        }
    }

    /// Whether a line is to be in force.
    pub fn wants(&self, line: Line) -> bool {
        self.lines.contains_key(&line)
    }
}

/// Gives up all of it, for good.
pub fn confine(orders: &Orders) -> Result<(), ConfineError> {
    if !orders.wants(Line::NoNewPrivileges) && orders.filter.is_none() {
        return Ok(());
    }
    let refused = |what| move |source: io::Error| ConfineError::Refused { what, source };
    rustix::thread::set_no_new_privs(true).map_err(|errno| refused("no_new_privs")(errno.into()))?;
    let kernel = Kernel::landlock_alone();
    refuse_what_is_not_carried(orders, kernel)?;
    files::restrict(orders, kernel).map_err(refused("Landlock"))?;
    let Some(filter) = &orders.filter else { return Ok(()) };
    match filter.load() {
        Err(source) if filter::is_not_carried(&source) && !orders.needs_filter => {
            let demanded = orders.lines.iter().find(|(line, by_name)| **by_name && line.is_a_filter());
            let why = kernel::NO_SECCOMP.into();
            demanded.map_or(Ok(()), |(line, _)| Err(ConfineError::NotCarried { line: *line, why }))
        }
        loaded => loaded.map_err(refused("seccomp")),
    }
}

/// Lets this process read these directories, and open nothing else, as far as the kernel carries it: for a child of ours
/// that parses what the agent wrote.
pub fn only_read(directories: &[AbsPath]) -> io::Result<()> {
    give_up(directories, files::READ_ALONE)
}

/// Lets this process list directories, and open no file at all, as far as the kernel carries it: for a child of ours that
/// walks through what the agent shaped.
pub fn only_list() -> io::Result<()> {
    give_up(&[AbsPath::fixed("/")], files::LIST_ALONE)
}

/// Leaves this process what reads, and writes to what is open already, as far as the kernel carries it: for a child of ours that
/// looks at processes, which nobody below Landlock can.
pub fn only_look() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let Some(program) = look::program() else { return Ok(()) };
    match filter::apply(&program.map_err(io::Error::other)?) {
        Err(error) if filter::is_not_carried(&error) => Ok(()),
        applied => applied,
    }
}

fn give_up(directories: &[AbsPath], access: files::Rights) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    files::only(directories, access)?;
    // What the agent may not call, its files need not make us call.
    let filter = filter::of(&Line::ALL.into(), false);
    filter.map_or(Ok(()), |filter| match filter.load() {
        Err(error) if filter::is_not_carried(&error) => Ok(()),
        loaded => loaded,
    })
}

fn refuse_what_is_not_carried(orders: &Orders, kernel: Kernel) -> Result<(), ConfineError> {
    for line in orders.lines.iter().filter(|(_, by_name)| **by_name).map(|(line, _)| *line) {
        if let Carried::Partly(why) | Carried::No(why) = kernel.carries(line) {
            return Err(ConfineError::NotCarried { line, why: why.into() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
