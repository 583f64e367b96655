//! Files with more than one name. An ACL is on the file, not on a name, so a grant would follow the other names out of the
//! project: into the store of a package manager, or another project.
//!
//! A file of which every name was found inside gets the usual entries. Any other is only readable to the agent, or is
//! replaced by a copy where the job says so.

use super::grant::{BATCH, Grant, Pinned, pin};
use super::walk::{Link, Local, refused};
use super::{ShareError, breaking};
use crate::host::dir::{Dir, Meta};
use crate::share::report::Why;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::{BTreeMap, HashSet};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Settles the files that the walk put aside.
pub(super) fn settle(pass: &Grant<'_>, root: &Dir, local: &mut Local) -> Result<(), ShareError> {
    let mut files = BTreeMap::<u64, Vec<Link>>::new();
    for link in std::mem::take(&mut local.links) {
        files.entry(link.inode).or_default().push(link);
    }
    let mut batch = Vec::new();
    for names in files.into_values() {
        let Some((first, inside)) = look(pass, root, &names) else {
            for link in names {
                local.report.lack(Why::Replaced, || link.path());
            }
            continue;
        };
        if inside {
            batch.push(first);
        } else if let (true, Some(_)) = (pass.job.break_links, pass.sink) {
            for link in names {
                match copy(pass, root, &link, &first.meta) {
                    Ok(pinned) => {
                        local.report.copied += 1;
                        batch.push(pinned);
                    }
                    Err(error) => local.report.lack(refused(error), || link.path()),
                }
            }
        } else {
            for link in names {
                local.report.linked_outside.push(|| link.path());
            }
            batch.push(Pinned { linked_outside: true, ..first });
        }
        if batch.len() >= BATCH {
            pass.settle(local, &std::mem::take(&mut batch))?;
        }
    }
    pass.settle(local, &batch)
}

/// Pins the file by the first of its names that still is one, and tells whether all its names are among them. They are
/// counted again, for the walk saw them one after the other, and so may have met one that moved twice.
fn look(pass: &Grant<'_>, root: &Dir, names: &[Link]) -> Option<(Pinned, bool)> {
    let found = count(pass, root, names)?;
    if found.settled {
        return Some((found.first, found.inside));
    }
    // It was changed a moment ago, by an earlier pass it may be. Who keeps changing it is not waited for.
    std::thread::sleep(2 * TICK);
    let found = count(pass, root, names)?;
    Some((found.first, found.inside && found.settled))
}

/// Longer than the kernel takes to move the time on that it puts on files.
const TICK: Duration = Duration::from_millis(20);

/// A file with several names.
struct Counted {
    first: Pinned,
    /// It has no other names.
    inside: bool,
    /// No name came, went or moved while they were counted.
    settled: bool,
}

/// A name is a directory and what it calls the file, wherever that directory is by now. Moving the name itself shows in the
/// file's change time, as linking and unlinking do (inode(7)).
fn count(pass: &Grant<'_>, root: &Dir, names: &[Link]) -> Option<Counted> {
    let begin = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let mut first: Option<Pinned> = None;
    let mut found = HashSet::new();
    for link in names {
        let Ok((dir, pin, meta)) = open(root, link) else { continue };
        if meta.ino == link.inode && meta.kind == FileType::RegularFile && meta.uid == pass.owner {
            found.insert((dir.meta().ok()?.ino, &link.name));
            first.get_or_insert(Pinned { pin, meta, path: link.path(), linked_outside: false });
        }
    }
    let mut first = first?;
    let changed = rustix::fs::fstat(&first.pin).ok()?;
    first.meta = changed.into();
    let inside = usize::try_from(first.meta.nlink).is_ok_and(|names| names <= found.len());
    let changed = Duration::new(changed.st_ctime.try_into().ok()?, changed.st_ctime_nsec.try_into().ok()?);
    Some(Counted { first, inside, settled: changed + TICK < begin })
}

fn open(root: &Dir, link: &Link) -> Result<(Dir, OwnedFd, Meta), Errno> {
    let dir = link.above.open(root)?;
    let (pin, meta) = pin(&dir, &link.name)?;
    Ok((dir, pin, meta))
}

fn copy(pass: &Grant<'_>, root: &Dir, link: &Link, file: &Meta) -> std::io::Result<Pinned> {
    let (dir, _, meta) = open(root, link)?;
    if !meta.same(file) || meta.uid != pass.owner {
        return Err(Errno::NOENT.into());
    }
    let pin = breaking::replace_by_copy(pass.calls, &dir, &link.name, file)?;
    let meta = Meta::of(&pin)?;
    Ok(Pinned { pin, meta, path: link.path(), linked_outside: false })
}
