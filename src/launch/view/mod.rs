//! The private view: root's half of a launch, which makes a mount namespace in which the agent sees its projects, its own
//! home and the system, and becomes the agent for good.
//!
//! What decides here is root's alone: the policy, the brief that was made from it, passwd(5) and group(5). The caller
//! chooses which of its agents is meant, for sudoers lists the name, and nothing else: what follows the dashes is not even
//! looked at before root's rights are gone. Nothing is made outside the new namespace, so that a kill at any instant leaves
//! nothing behind. Whatever can't be made ends the launch.
//!
//! Mounts are copied as slaves: what is unmounted on the machine also goes from sessions, and nothing of a session ever
//! shows on the machine (`mount_namespaces(7)`). The pid namespace stays the machine's, for `run` sends signals.

mod account;
mod git;
mod home;
mod idmap;
mod mask;
mod project;
mod system;

pub use git::make_ready;
pub use project::why_not_mapped;
pub use system::why_not;

use super::{
    brief::Brief,
    enter::{self, EnterError},
    quoted,
    request::{self, Ended},
};
use crate::{
    host::{places, sys},
    model::{AccountName, view::Private},
    plan,
};
use account::Accounts;
use mask::Mask;
use nix::sched::{CloneFlags, unshare};
use rustix::{
    fs::Mode,
    mount::{MountPropagationFlags, OpenTreeFlags, mount_change, open_tree},
    process::{DumpableBehavior, set_dumpable_behavior},
};
use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, OwnedFd},
};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The arguments are not those that sudoers lists, or the caller is not root.
    #[error("`helper session` is for agentuser itself to call, as root")]
    Usage,
    /// What `enter` refuses, too.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// The policy gives this agent the plain view.
    #[error("`{0}` has the plain view")]
    Plain(AccountName),
    /// An account or a group is not what it should be.
    #[error("{0}")]
    Account(String),
    /// A directory can't be shown.
    #[error("`{path}` can't be shown to the agent: {why}")]
    Directory {
        /// The directory.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A repository can't be guarded.
    #[error("git's own files can't be guarded: `{path}` {why}")]
    Git {
        /// The file or directory.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A part of the view can't be made.
    #[error("the private view can't be made: {what}: {source}")]
    View {
        /// What was attempted.
        what: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The control group that limits the agent can't be joined.
    #[error("the limits of the policy can't be put in force: {0}")]
    Limits(#[source] io::Error),
    /// Root's rights could not be given up.
    #[error("can't become the agent: {0}")]
    Rights(#[source] io::Error),
}

impl SessionError {
    fn view(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::View { what: what.into(), source: source.into() }
    }

    fn directory(path: impl std::fmt::Display, why: impl Into<String>) -> Self {
        Self::Directory { path: path.to_string(), why: why.into() }
    }

    /// The exit status: that of `enter`, or 125.
    pub fn status(&self) -> u8 {
        if let Self::Enter(error) = self { error.status() } else { 125 }
    }

    /// The command to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Enter(error) => error.hint(),
            Self::Usage | Self::Plain(_) => Some("agentuser run, which goes the right way".into()),
            Self::Account(_) => Some("agentuser status, then agentuser setup".into()),
            Self::Directory { path, .. } => {
                Some(format!("ls -ld {}, then agentuser status", quoted(path.as_ref())))
            }
            Self::Git { path, .. } => Some(format!(
                "ls -la {}; mend it, or write `git: open` for the project in /etc/agentuser/policy.yaml",
                quoted(path.as_ref())
            )),
            Self::Limits(_) => Some("leave `memory` and `cpus` out of `limits`, then agentuser setup".into()),
            Self::View { .. } | Self::Rights(_) => {
                Some("agentuser setup, or `view: plain` in /etc/agentuser/policy.yaml".into())
            }
        }
    }
}

/// Makes the view, becomes the agent, and becomes the command; or says why not. The arguments are the agent's name, two
/// dashes, and those of `enter`.
pub fn session(mut arguments: Vec<OsString>) -> Result<Ended, SessionError> {
    if !rustix::process::geteuid().is_root() || arguments.len() < 2 || arguments[1] != "--" {
        return Err(SessionError::Usage);
    }
    // No core of root's is written, and nobody of the agent's uid gets at this process before it is the command.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| SessionError::Rights(errno.into()))?;
    rustix::process::umask(Mode::from(0o022));
    // The caller's directory lies outside the view.
    rustix::process::chdir("/").map_err(|errno| SessionError::view("/", errno))?;
    enter::leave_behind()?;
    let for_enter = arguments.split_off(2);
    let name: AccountName =
        arguments[0].to_str().and_then(|name| name.parse().ok()).ok_or(SessionError::Usage)?;
    let brief = enter::read_brief(&enter::trusted_policy()?, &name)?;
    let Some(private) = &brief.private else { return Err(SessionError::Plain(name)) };
    let accounts = Accounts::read(&brief, private)?;
    brief.limits.join(&name).map_err(SessionError::Limits)?;
    make(&brief, private, &accounts)?;
    account::become_for_good(&accounts).map_err(SessionError::Rights)?;
    // From here on as the agent. The keyring is made anew, for the first one is root's.
    enter::leave_behind()?;
    let request = request::parse(for_enter).map_err(EnterError::from)?;
    Ok(enter::become_command(request, &brief)?)
}

/// Makes the view, in namespaces of this process's own.
fn make(brief: &Brief, private: &Private, accounts: &Accounts) -> Result<(), SessionError> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC)
        .map_err(|errno| SessionError::view("namespaces of its own", errno))?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|errno| SessionError::view("mounts of its own", errno))?;
    // All that is shown is taken before anything is masked.
    let mapped = private.projects.iter().any(|seen| seen.mapped);
    let ids = mapped.then(|| idmap::namespace(&accounts.human, &accounts.agent)).transpose();
    let ids = ids.map_err(|error| SessionError::view("a mapping of ids", error))?;
    let mut projects = Vec::new();
    for seen in &private.projects {
        projects.extend(project::open(seen, &accounts.human, ids.as_ref())?);
    }
    let home = home::open(&plan::home(&brief.name), accounts.agent.uid)?;
    let tmp = if private.tmp { system::tmp(&places::private_tmp(&brief.name))? } else { vec![] };
    let own = projects.iter().filter_map(|project| project.top.as_ref());
    let masks = mask::all(accounts, own)?;

    let mut shown: Vec<(&str, &OwnedFd, &OwnedFd)> = vec![(home.path.as_str(), &home.at, &home.tree)];
    shown.extend(projects.iter().map(|project| (project.path.as_str(), &project.at, &project.tree)));
    let roofs = masks.iter().map(Mask::raise).collect::<Result<Vec<_>, _>>()?;
    for (path, ..) in &shown {
        if let Some((roof, below)) = mask::over(&roofs, path) {
            roof.make_way(below)?;
        }
    }
    for (path, at, tree) in shown {
        match mask::over(&roofs, path) {
            Some((roof, below)) => roof.show(tree, below)?,
            None => attach(tree, at.as_fd(), path)?,
        }
    }
    for roof in &roofs {
        roof.seal()?;
    }
    for project in projects.iter().filter(|project| project.guarded) {
        git::guard(&project.tree, &project.path)?;
    }
    system::hide(tmp)
}

/// The kernel's reason in words.
fn said(errno: rustix::io::Errno) -> String {
    io::Error::from(errno).to_string()
}

/// A copy of the mount of a directory, and of those below it, that is not in the tree yet.
fn copy_of(dir: impl AsFd, attributes: u64, path: &str) -> Result<OwnedFd, SessionError> {
    mapped_copy_of(dir, attributes, None, path)
}

/// The same with ids mapped by a user namespace.
fn mapped_copy_of(
    dir: impl AsFd,
    attributes: u64,
    ids: Option<&OwnedFd>,
    path: &str,
) -> Result<OwnedFd, SessionError> {
    let failed = |errno: io::Error| SessionError::view(path, errno);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(dir, "", flags).map_err(|errno| failed(errno.into()))?;
    sys::set_mount_attributes(tree.as_fd(), attributes, true, ids.map(AsFd::as_fd)).map_err(failed)?;
    Ok(tree)
}

/// Puts a mount into the tree, on the directory of a descriptor.
fn attach(tree: &OwnedFd, at: impl AsFd, path: &str) -> Result<(), SessionError> {
    use rustix::mount::{MoveMountFlags, move_mount};
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", at, "", flags).map_err(|errno| SessionError::view(path, errno))
}
