//! Entries of an agent outside of its projects: an ACL stays on a file that is moved out.

use super::walk::{Local, Pass, Spot, walk};
use super::xattr::{Calls, Target};
use super::{Job, NoSink, ShareError};
use crate::formats::posix_acl::{ACCESS, Acl, DEFAULT, Perm, Tag};
use crate::host::dir::{Dir, Meta, PathBytes, Place};
use crate::model::AbsPath;
use crate::share::Access;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// What the agent of a job can use below the job's root by entries of its own, sorted by path from the root on; at most
/// `most` of it. Not told are `projects` and what is in them, and directories on the way to one that it may only pass.
pub fn moved(job: &Job, projects: &[AbsPath], most: usize) -> Result<Vec<(PathBytes, Access)>, ShareError> {
    let root = super::open(&job.root)?;
    let pass = Moved { job, projects, most, calls: Calls::probe(&root)?, found: Mutex::default() };
    walk(&root, job, &NoSink, &pass)?;
    let mut found = pass.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

struct Moved<'a> {
    job: &'a Job,
    projects: &'a [AbsPath],
    most: usize,
    calls: Calls,
    found: Mutex<Vec<(PathBytes, Access)>>,
}

impl Moved<'_> {
    /// The agent's own part of an ACL.
    fn entry(&self, target: Target<'_>, kind: &std::ffi::CStr) -> Option<Perm> {
        let acl = Acl::parse(&self.calls.get(target, kind).ok()??).ok()?;
        acl.get(Tag::User(self.job.agent))
    }

    /// Whether a path below the root is in a project, or leads to one.
    fn place(&self, path: &PathBytes) -> Option<Relation> {
        let mut whole = self.job.root.as_str().trim_end_matches('/').as_bytes().to_vec();
        if path.as_bytes() != b"." {
            whole.push(b'/');
            whole.extend_from_slice(path.as_bytes());
        }
        let leads = |from: &[u8], to: &[u8]| {
            to.strip_prefix(from).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let projects = || self.projects.iter().map(|project| project.as_str().as_bytes());
        if projects().any(|project| leads(project, &whole)) {
            return Some(Relation::Inside);
        }
        projects().any(|project| leads(&whole, project)).then_some(Relation::Above)
    }
}

#[derive(PartialEq, Eq)]
enum Relation {
    Inside,
    Above,
}

impl Pass for Moved<'_> {
    fn visit(&self, _: &mut Local, spot: Spot<'_>, meta: &Meta) {
        let target = Target::Name(spot.dir.as_fd(), spot.name);
        let own = self.entry(target, ACCESS);
        let default = if meta.is_dir() { self.entry(target, DEFAULT) } else { None };
        let Some(perm) = own.or(default) else { return };
        let path = spot.path();
        match self.place(&path) {
            Some(Relation::Inside) => return,
            Some(Relation::Above) if default.is_none() && perm == Perm::EXECUTE => return,
            _ => {}
        }
        let writes = perm.contains(Perm::WRITE);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() < self.most {
            found.push((path, if writes { Access::ReadWrite } else { Access::ReadOnly }));
        }
    }

    fn leave(&self, _: &mut Local, _: &Dir, _: &Place) -> Result<(), ShareError> {
        Ok(())
    }
}
