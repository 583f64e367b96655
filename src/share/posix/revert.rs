//! The pass that takes our entries off again.
//!
//! Without a record it removes our entries and leaves the mode that was there before; objects that inherited our entries
//! lose them the same way. A directory loses them before it is listed, so that the agent can rename nothing in it; where
//! somebody still may, objects are pinned. With a record the recorded ACL comes back, where what is there is still what we made of it:
//! on the same object, pinned by a descriptor.
//!
//! A party whose entries go first closes its directories to the other. So the human's pass comes first; what the agent owns
//! is then handed over by root, and a second pass of the human takes the entries off that.

use super::entries::{Ours, grant, grant_default, restore, strip};
use super::grant::{Groups, pin};
use super::record::{AclBytes, Prior, PriorRecord};
use super::walk::{Local, Pass, Spot, foreign, refused, walk};
use super::xattr::{Calls, Target};
use super::{Job, ShareError, Sink};
use crate::formats::posix_acl::{ACCESS, Acl, Bytes, DEFAULT, Entry, Tag};
use crate::host::dir::{Dir, Meta, PathBytes, Place};
use crate::model::{Gid, Uid};
use crate::share::report::{Report, Why};
use std::ffi::CStr;
use std::os::fd::AsFd;

struct Revert<'a> {
    job: &'a Job,
    /// Whatever else comes back, entries with these do not: the agent may have had files inherit them from its directories.
    agents: Vec<Tag>,
    owner: Uid,
    calls: Calls,
    record: &'a PriorRecord,
    groups: Groups,
}

/// What became of one object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Done {
    /// It has nothing of ours.
    Nothing,
    /// It is as it was.
    Restored,
    /// Only our entries went; somebody has changed the rest.
    Altered,
}

pub(super) fn run(
    job: &Job,
    group: Option<Gid>,
    owner: Uid,
    record: &PriorRecord,
    sink: &dyn Sink,
) -> Result<Report, ShareError> {
    let root = super::open(&job.root)?;
    let agents = [Tag::User(job.agent)].into_iter().chain(group.map(Tag::Group)).collect();
    let pass = Revert { job, agents, owner, calls: Calls::probe(&root)?, record, groups: Groups::mine() };
    let mut local = walk(&root, job, sink, &pass)?;
    for path in record.unused(&local.found) {
        local.report.record_unused.push(|| path);
    }
    Ok(local.report)
}

impl Pass for Revert<'_> {
    fn visit(&self, local: &mut Local, spot: Spot<'_>, meta: &Meta) {
        local.report.objects += 1;
        let target = Target::Name(spot.dir.as_fd(), spot.name);
        let stale = || self.read(target, ACCESS).is_ok_and(|acl| acl.is_some_and(|acl| self.has_ours(&acl)));
        if foreign(local, (self.job, self.owner), spot, meta, stale) {
            return;
        }
        if self.record.mentions(meta.ino) || local.renamable(self.calls, spot.dir, self.owner) {
            return local.deferred.push(spot.name.to_owned());
        }
        self.finish(&mut local.report, self.object(target, meta, None), meta, || spot.path());
    }

    fn leave(&self, local: &mut Local, dir: &Dir, above: &Place) -> Result<(), ShareError> {
        for name in std::mem::take(&mut local.deferred) {
            let spot = Spot { dir, above, name: &name };
            match pin(dir, &name) {
                Ok((pin, meta)) if meta.uid == self.owner => {
                    let done = self.record.of(pin.as_fd(), &meta).map_err(refused).and_then(|prior| {
                        local.found.extend(prior.map(|prior| prior.inode));
                        self.object(Target::Pin(pin.as_fd()), &meta, prior)
                    });
                    self.finish(&mut local.report, done, &meta, || spot.path());
                }
                Ok(_) => local.report.lack(Why::Replaced, || spot.path()),
                Err(errno) => local.report.lack(refused(errno), || spot.path()),
            }
        }
        Ok(())
    }
}

impl Revert<'_> {
    fn has_ours(&self, acl: &Acl) -> bool {
        self.agents.iter().any(|tag| acl.get(*tag).is_some())
    }

    fn read(&self, target: Target<'_>, kind: &CStr) -> Result<Option<Acl>, Why> {
        let bytes = self.calls.get(target, kind).map_err(refused)?;
        bytes.map(|bytes| Acl::parse(&bytes)).transpose().map_err(|_| Why::Malformed)
    }

    fn object(&self, target: Target<'_>, meta: &Meta, prior: Option<&Prior>) -> Result<Done, Why> {
        let mut done = Done::Nothing;
        if let Some(acl) = self.read(target, ACCESS)?.filter(|acl| self.has_ours(acl)) {
            let before = prior.and_then(Prior::access_acl);
            let bytes = prior.and_then(|prior| prior.access.as_ref());
            let (new, how) = self.before(&acl, before.as_ref(), bytes, grant);
            self.calls.set(target, ACCESS, &new).map_err(refused)?;
            done = done.max(how);
        }
        if !meta.is_dir() {
            return Ok(done);
        }
        if let Some(acl) = self.read(target, DEFAULT)?.filter(|acl| self.has_ours(acl)) {
            let before = prior.and_then(Prior::default_acl);
            let bytes = prior.and_then(|prior| prior.default.as_ref());
            let regrant = |base: &Acl, ours: &Ours| grant_default(Some(base), base, ours);
            let is_ours =
                |entry: Entry| self.job.tags().contains(&entry.tag) || self.agents.contains(&entry.tag);
            let only_ours = acl.named().all(is_ours);
            let how = if before.is_none() && only_ours {
                self.calls.remove_default(target).map_err(refused)?;
                Done::Restored
            } else {
                let (new, how) = self.before(&acl, before.as_ref(), bytes, regrant);
                self.calls.set(target, DEFAULT, &new).map_err(refused)?;
                how
            };
            done = done.max(how);
        }
        Ok(done)
    }

    /// The bytes that take the place of `acl`.
    fn before(
        &self,
        acl: &Acl,
        before: Option<&Acl>,
        bytes: Option<&AclBytes>,
        regrant: impl Fn(&Acl, &Ours) -> Acl,
    ) -> (Bytes, Done) {
        let tags = self.job.tags();
        let only_the_rest =
            |acl: &Acl| if self.has_ours(acl) { strip(acl, &self.agents) } else { acl.clone() };
        let stripped = || only_the_rest(&strip(acl, &tags)).render();
        let Some(before) = before else { return (stripped(), Done::Restored) };
        match (restore(acl, before, &tags, regrant), bytes) {
            (Some(restored), Some(bytes)) if restored == *before && !self.has_ours(before) => {
                (Bytes::from_slice(&bytes.0), Done::Restored)
            }
            (Some(restored), _) => (only_the_rest(&restored).render(), Done::Restored),
            (None, _) => (stripped(), Done::Altered),
        }
    }

    fn finish(
        &self,
        report: &mut Report,
        done: Result<Done, Why>,
        meta: &Meta,
        path: impl FnOnce() -> PathBytes,
    ) {
        match done {
            Ok(Done::Nothing) => return report.already += 1,
            Ok(_) if self.groups.cost_set_group_id(meta) => {
                report.changed += 1;
                return report.lack(Why::SetGroupId, path);
            }
            Ok(Done::Restored) => {}
            Ok(Done::Altered) => report.altered.push(path),
            Err(why) => return report.lack(why, path),
        }
        report.changed += 1;
    }
}
