//! The pass that puts our entries on objects, or only tells which lack them.
//!
//! An ordinary object is judged and changed by its name in an open directory, as long as nobody but the owner can rename
//! anything there. So a directory gets its own entries after what it holds. In one that the agent may write already, and
//! for every object that needs a record or has more than one link, the object is pinned by a descriptor, judged there and
//! changed there: else the agent could put a file with a name outside the project in the place of another.

use super::entries::{grant, grant_default, holds, holds_default, is_ours};
use super::fresh::Fresh;
use super::record::Prior;
use super::walk::{Link, Local, Pass, Spot, foreign, refused, walk};
use super::xattr::{Calls, Target};
use super::{Job, NoSink, ShareError, Sink, links};
use crate::formats::posix_acl::{ACCESS, Acl, Bytes, DEFAULT};
use crate::host::dir::{Dir, Meta, PathBytes, Place};
use crate::model::Uid;
use crate::share::report::{Report, Why};
use rustix::fs::FileType;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// How many objects are pinned at once.
pub(super) const BATCH: usize = 32;

/// One pass over a job's tree.
pub(super) struct Grant<'a> {
    pub(super) job: &'a Job,
    pub(super) owner: Uid,
    pub(super) calls: Calls,
    /// None for a check.
    pub(super) sink: Option<&'a dyn Sink>,
    pub(super) groups: Groups,
}

/// An object that can't be replaced under us.
pub(super) struct Pinned {
    pub(super) pin: OwnedFd,
    pub(super) meta: Meta,
    pub(super) path: PathBytes,
    pub(super) linked_outside: bool,
}

/// What an object needs.
pub(super) struct Change {
    access: Option<Bytes>,
    default: Option<Bytes>,
    /// It had an ACL that is not ours.
    pub(super) record: bool,
    /// The permission bits that it will have.
    pub(super) mode: u32,
    why: Why,
}

pub(super) fn run(job: &Job, owner: Uid, sink: Option<&dyn Sink>) -> Result<Report, ShareError> {
    let root = super::open(&job.root)?;
    let pass = Grant { job, owner, calls: Calls::probe(&root)?, sink, groups: Groups::mine() };
    let mut local = walk(&root, job, sink.unwrap_or(&NoSink), &pass)?;
    links::settle(&pass, &root, &mut local)?;
    Ok(local.report)
}

impl Pass for Grant<'_> {
    fn visit(&self, local: &mut Local, spot: Spot<'_>, meta: &Meta) {
        local.report.objects += 1;
        let target = Target::Name(spot.dir.as_fd(), spot.name);
        let lacks =
            || self.change(&mut Fresh::default(), target, meta, false).is_ok_and(|change| change.is_some());
        if foreign(local, (self.job, self.owner), spot, meta, lacks) {
            return;
        }
        if meta.kind == FileType::RegularFile && meta.nlink > 1 {
            let (above, name) = (spot.above.clone(), spot.name.to_owned());
            local.links.push(Link { inode: meta.ino, above, name });
        } else if meta.is_dir() && meta.mode & 0o400 != 0 && self.sink.is_some() {
            // Its turn comes after what it holds; one that can't be listed has it now.
        } else {
            match self.change(&mut local.fresh, target, meta, false) {
                Ok(Some(change))
                    if self.sink.is_some()
                        && (change.record || local.renamable(self.calls, spot.dir, self.owner)) =>
                {
                    local.deferred.push(spot.name.to_owned());
                }
                found => self.finish(&mut local.report, target, found, || spot.path()),
            }
        }
    }

    fn leave(&self, local: &mut Local, dir: &Dir, above: &Place) -> Result<(), ShareError> {
        let deferred = std::mem::take(&mut local.deferred);
        for names in deferred.chunks(BATCH) {
            let pin = |name: &CString| self.pin(&mut local.report, Spot { dir, above, name });
            let pinned: Vec<_> = names.iter().filter_map(pin).collect();
            self.settle(local, &pinned)?;
        }
        Ok(())
    }

    fn done(&self, local: &mut Local, dir: &Dir, place: &Place) -> Result<(), ShareError> {
        if self.sink.is_none() {
            return Ok(());
        }
        let meta = dir.meta().map_err(|errno| ShareError::call("fstat", &self.job.root)(errno.into()))?;
        if meta.uid != self.owner {
            return Ok(()); // counted where it was listed
        }
        let target = Target::Name(dir.as_fd(), c".");
        match self.change(&mut local.fresh, target, &meta, false) {
            Ok(Some(change)) if change.record => {
                let (pin, meta) = pin(dir, c".").map_err(|errno| ShareError::Record(errno.into()))?;
                let itself = Pinned { pin, meta, path: place.path(), linked_outside: false };
                self.settle(local, &[itself])
            }
            found => {
                self.finish(&mut local.report, target, found, || place.path());
                Ok(())
            }
        }
    }
}

impl Grant<'_> {
    /// Pins an object of the owner that has no other name.
    fn pin(&self, report: &mut Report, spot: Spot<'_>) -> Option<Pinned> {
        match pin(spot.dir, spot.name) {
            Ok((pin, meta)) if meta.uid == self.owner && (meta.is_dir() || meta.nlink == 1) => {
                Some(Pinned { pin, meta, path: spot.path(), linked_outside: false })
            }
            Ok(_) => {
                report.lack(Why::Replaced, || spot.path());
                None
            }
            Err(errno) => {
                report.lack(refused(errno), || spot.path());
                None
            }
        }
    }

    /// Records those that need it, all at once, then changes what needs a change.
    pub(super) fn settle(&self, local: &mut Local, batch: &[Pinned]) -> Result<(), ShareError> {
        let Local { report, fresh, .. } = local;
        let target = |object: &Pinned| {
            self.change(fresh, Target::Pin(object.pin.as_fd()), &object.meta, object.linked_outside)
        };
        let changes: Vec<_> = batch.iter().map(target).collect();
        if let Some(sink) = self.sink {
            let mut priors = Vec::new();
            for (object, change) in batch.iter().zip(&changes) {
                if matches!(change, Ok(Some(change)) if change.record) {
                    let (pin, path) = (object.pin.as_fd(), object.path.clone());
                    let prior = Prior::of(self.calls, pin, path, &object.meta, &self.job.tags());
                    priors.push(prior.map_err(ShareError::Record)?);
                }
            }
            if !priors.is_empty() {
                sink.prior(&priors).map_err(ShareError::Record)?;
                report.recorded += priors.len() as u64;
            }
        }
        for (object, change) in batch.iter().zip(changes) {
            self.finish(report, Target::Pin(object.pin.as_fd()), change, || object.path.clone());
        }
        Ok(())
    }

    /// What an object lacks.
    pub(super) fn change(
        &self,
        fresh: &mut Fresh,
        target: Target<'_>,
        meta: &Meta,
        linked_outside: bool,
    ) -> Result<Option<Arc<Change>>, Why> {
        if matches!(meta.kind, FileType::BlockDevice | FileType::CharacterDevice) {
            return Err(Why::Device);
        }
        let read = |kind: &CStr| {
            let bytes = self.calls.get(target, kind).map_err(refused)?;
            bytes.map(|bytes| Acl::parse(&bytes)).transpose().map_err(|_| Why::Malformed)
        };
        let found = read(ACCESS)?;
        let default = if meta.is_dir() { read(DEFAULT)? } else { None };
        let judge = || self.judge(meta, linked_outside, found.as_ref(), default.as_ref());
        let change = if found.is_none() && default.is_none() {
            fresh.of(meta, linked_outside, || judge().map(Arc::new))
        } else {
            judge().map(Arc::new)
        };
        match &change {
            Some(change) if change.access.is_some() && self.groups.cost_set_group_id(meta) => {
                Err(Why::SetGroupId)
            }
            _ => Ok(change),
        }
    }

    /// What an object with these ACLs lacks.
    fn judge(
        &self,
        meta: &Meta,
        linked_outside: bool,
        found: Option<&Acl>,
        default: Option<&Acl>,
    ) -> Option<Change> {
        let entries = self.job.entries(meta.is_dir() || meta.mode & 0o111 != 0, linked_outside);
        // What the agent chose for its own files does not come back when they are the human's.
        let foreign = |acl: Option<&Acl>| {
            self.owner != self.job.agent && acl.is_some_and(|acl| !is_ours(acl, &self.job.tags()))
        };
        let ours = found.is_some() && !foreign(found);
        let plain = Acl::from_mode(meta.mode);
        let access = found.unwrap_or(&plain);
        let new_access = (!holds(access, &entries)).then(|| grant(access, &entries));
        let lacks_default = meta.is_dir() && default.is_none_or(|acl| !holds_default(acl, &entries));
        let new_default = lacks_default.then(|| grant_default(default, access, &entries).render());
        let why = match (&new_access, &new_default) {
            (None, None) => return None,
            (None, Some(_)) => Why::Default,
            (Some(_), _) if ours => Why::Differs,
            (Some(_), _) => Why::Missing,
        };
        let record = foreign(found) || foreign(default);
        let mode = new_access.as_ref().unwrap_or(access).mode();
        Some(Change { access: new_access.map(|acl| acl.render()), default: new_default, record, mode, why })
    }

    /// Makes a change, or only tells that it is needed.
    pub(super) fn finish(
        &self,
        report: &mut Report,
        target: Target<'_>,
        found: Result<Option<Arc<Change>>, Why>,
        path: impl FnOnce() -> PathBytes,
    ) {
        let change = match found {
            Ok(Some(change)) => change,
            Ok(None) => return report.already += 1,
            Err(why) => return report.lack(why, path),
        };
        if self.sink.is_none() {
            return report.lack(change.why.clone(), path);
        }
        let set = |bytes: &Option<Bytes>, kind| {
            bytes.as_ref().map_or(Ok(()), |bytes| self.calls.set(target, kind, bytes))
        };
        match set(&change.access, ACCESS).and_then(|()| set(&change.default, DEFAULT)) {
            Ok(()) => report.changed += 1,
            Err(error) => report.lack(refused(error), path),
        }
    }
}

/// An object by descriptor, and what it is.
pub(super) fn pin(dir: &Dir, name: &CStr) -> Result<(OwnedFd, Meta), rustix::io::Errno> {
    let pin = dir.pin(name)?;
    let meta = Meta::of(&pin)?;
    Ok((pin, meta))
}

/// The groups that we are in: outside of them, setting an ACL drops the set-group-id bit, as chmod(2) does.
/// Root may do all.
#[derive(Clone)]
pub(super) struct Groups(Option<Vec<u32>>);

impl Groups {
    pub(super) fn mine() -> Self {
        let groups = rustix::process::getgroups().unwrap_or_default();
        let groups = groups.into_iter().chain([rustix::process::getegid()]).map(rustix::fs::Gid::as_raw);
        Self((!rustix::process::geteuid().is_root()).then(|| groups.collect()))
    }

    /// Whether setting the ACL of an object would cost it the set-group-id bit.
    pub(super) fn cost_set_group_id(&self, meta: &Meta) -> bool {
        meta.mode & 0o2000 != 0 && self.0.as_ref().is_some_and(|groups| !groups.contains(&meta.gid.0))
    }
}
