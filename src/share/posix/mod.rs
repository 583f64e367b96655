//! Sharing: ACLs on project trees, so that the human and the agent both use them (acl(5)).
//!
//! Everything here runs as the account that owns the files, which may set their ACLs; root never touches a tree that the
//! agent shapes (invariant 1). Each party's pass changes only what that party owns. Objects are reached from descriptors,
//! symbolic links are never followed, and nothing is opened but directories, so that no race leads out of the tree.
//!
//! ```text
//! inspect   may this directory be shared?        apply, check, revert   a project tree (walk -> grant | revert)
//! traverse  the way to it through its parents    links                  files that other trees share
//! keep      mends what tools close, while a session runs
//! moved     finds entries outside of the projects
//! entries   what entries do to an ACL: pure      xattr, record          attributes; what was there before
//! ```

mod breaking;
mod entries;
mod error;
mod fresh;
mod grant;
mod inspect;
mod keep;
mod links;
mod moved;
mod record;
mod revert;
mod traverse;
mod walk;
mod xattr;

pub use error::ShareError;
pub use inspect::{Inspection, inspect};
pub use keep::{Inbox, Kept, Mending};
pub use moved::moved;
pub use record::{AclBytes, HexError, Prior, PriorRecord};
pub use traverse::{traverse_apply, traverse_check, traverse_revert};

use self::xattr::{Calls, Target};
use super::{Access, Finding, Job, Passage, PassageEnd, Report, Why};
use crate::formats::posix_acl::{ACCESS, Acl, DEFAULT, Entry, Perm, Tag};
use crate::host::dir::Dir;
use crate::model::{AbsPath, Gid, PathBytes, Uid};
use std::{io, os::fd::AsFd};

/// More threads than this would open more descriptors than the usual limit lets them.
pub const MOST_THREADS: usize = 16;

impl Job {
    /// Our two entries for an object. A file with names outside the project is only readable to the agent.
    fn entries(&self, executable: bool, linked_outside: bool) -> [Entry; 2] {
        let x = if executable { Perm::EXECUTE } else { Perm::NONE };
        let write = if self.access == Access::ReadOnly || linked_outside { Perm::NONE } else { Perm::WRITE };
        let human = Perm::READ | Perm::WRITE | x;
        [entries::user(self.agent, Perm::READ | write | x), entries::user(self.human, human)]
    }

    /// Whom our entries are about.
    fn tags(&self) -> [Tag; 2] {
        [Tag::User(self.agent), Tag::User(self.human)]
    }
}

/// Who keeps the records of a pass and hears of its progress.
pub trait Sink: Sync {
    /// Keeps what objects were before their first change. It returns when the records are on disk; only then are the
    /// objects changed. Called with up to 32 at a time, from any thread.
    fn prior(&self, priors: &[Prior]) -> io::Result<()>;

    /// How many objects have been looked at so far.
    fn progress(&self, _objects: u64) {}
}

/// For passes that change nothing.
struct NoSink;

impl Sink for NoSink {
    fn prior(&self, _: &[Prior]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Puts our entries on everything in the tree that `owner` owns. A second run only reads.
pub fn apply(job: &Job, owner: Uid, sink: &dyn Sink) -> Result<Report, ShareError> {
    only_as(owner)?;
    grant::run(job, owner, Some(sink))
}

/// Tells what [`apply`] would change; only reads.
pub fn check(job: &Job, owner: Uid) -> Result<Report, ShareError> {
    grant::run(job, owner, None)
}

/// Takes our entries off everything in the tree that `owner` owns, and those of the agent's group. What had an ACL before
/// gets it back where what is there is still what we made of it.
pub fn revert(
    job: &Job,
    group: Option<Gid>,
    owner: Uid,
    prior: &PriorRecord,
    sink: &dyn Sink,
) -> Result<Report, ShareError> {
    only_as(owner)?;
    revert::run(job, group, owner, prior, sink)
}

/// Whether the root of the tree has our entries, access and default: true of every tree that [`apply`] went over.
pub fn root_is_open(job: &Job) -> Result<bool, ShareError> {
    let root = open(&job.root)?;
    let calls = Calls::probe(&root)?;
    for kind in [ACCESS, DEFAULT] {
        let bytes = calls
            .get(Target::Name(root.as_fd(), c"."), kind)
            .map_err(ShareError::call("getxattr", &job.root))?;
        let acl = bytes.and_then(|bytes| Acl::parse(&bytes).ok());
        if !acl.is_some_and(|acl| {
            job.entries(true, false).iter().all(|entry| acl.get(entry.tag) == Some(entry.perm))
        }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses to run as anybody but the owner of the files, root above all.
fn only_as(owner: Uid) -> Result<(), ShareError> {
    let user = Uid(rustix::process::geteuid().as_raw());
    if user == owner { Ok(()) } else { Err(ShareError::WrongUser { owner, user }) }
}

fn open(path: &AbsPath) -> Result<Dir, ShareError> {
    Ok(Dir::open(path.as_path())?)
}

impl Report {
    pub(super) fn lack(&mut self, why: Why, path: impl FnOnce() -> PathBytes) {
        match why {
            Why::Gone => self.gone += 1,
            why => self.lacking.push(|| Finding { path: path(), why }),
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.objects += other.objects;
        self.changed += other.changed;
        self.already += other.already;
        self.recorded += other.recorded;
        self.copied += other.copied;
        self.gone += other.gone;
        self.agent_owned += other.agent_owned;
        self.agent_owned_lacking += other.agent_owned_lacking;
        self.human_owned += other.human_owned;
        self.lacking.merge(other.lacking);
        self.linked_outside.merge(other.linked_outside);
        self.foreign_owner.merge(other.foreign_owner);
        self.other_device.merge(other.other_device);
        self.altered.merge(other.altered);
        self.record_unused.merge(other.record_unused);
    }
}
