//! Files with more than one name. An ACL is on the file, not on a name, so a grant would follow the other names out of the
//! project: into the store of a package manager, or another project.
//!
//! A file of which every name was found inside gets the usual entries. Any other is only readable to the agent, or is
//! replaced by a copy where the job says so.

use super::grant::{BATCH, Grant, Pinned, pin};
use super::report::Why;
use super::walk::{Local, refused};
use super::{ShareError, breaking};
use crate::host::dir::{Dir, Meta, PathBytes};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::CString;

/// Names of one file that a walk found.
type Names = Vec<PathBytes>;

/// Settles the files that the walk put aside.
pub(super) fn settle(pass: &Grant<'_>, root: &Dir, local: &mut Local) -> Result<(), ShareError> {
    let mut files = BTreeMap::<u64, Names>::new();
    for (path, meta) in std::mem::take(&mut local.links) {
        files.entry(meta.ino).or_default().push(path);
    }
    let mut batch = Vec::new();
    for (inode, mut names) in files {
        names.sort_unstable();
        let found = look(pass, root, inode, &names);
        let Some((first, inside)) = found else {
            local.report.lack(Why::Replaced, || names.swap_remove(0));
            continue;
        };
        if inside {
            batch.push(first);
        } else if let (true, Some(_)) = (pass.job.break_links, pass.sink) {
            for path in names {
                match copy(pass, root, &path, &first.meta) {
                    Ok(pinned) => {
                        local.report.copied += 1;
                        batch.push(pinned);
                    }
                    Err(error) => local.report.lack(refused(error), || path),
                }
            }
        } else {
            for path in names {
                local.report.linked_outside.push(|| path);
            }
            batch.push(Pinned { linked_outside: true, ..first });
        }
        if batch.len() >= BATCH {
            pass.settle(&mut local.report, &std::mem::take(&mut batch))?;
        }
    }
    pass.settle(&mut local.report, &batch)
}

/// Pins the file by the first of its names that still is one, and tells whether all its names are among them. They are
/// counted again, for the walk saw them one after the other.
fn look(pass: &Grant<'_>, root: &Dir, inode: u64, names: &Names) -> Option<(Pinned, bool)> {
    let mut first: Option<Pinned> = None;
    let mut count = 0;
    for path in names {
        let Ok((_, _, pin, meta)) = open(root, path) else { continue };
        if meta.ino == inode && meta.kind == FileType::RegularFile && meta.uid == pass.owner {
            count += 1;
            first.get_or_insert(Pinned { pin, meta, path: path.clone(), linked_outside: false });
        }
    }
    let mut first = first?;
    first.meta = Meta::of(&first.pin).ok()?;
    let inside = first.meta.nlink <= count;
    Some((first, inside))
}

type Opened = (Dir, CString, std::os::fd::OwnedFd, Meta);

fn open(root: &Dir, path: &PathBytes) -> Result<Opened, Errno> {
    let (above, name) = path.split();
    let dir = root.open_below(above)?;
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    let (pin, meta) = pin(&dir, &name)?;
    Ok((dir, name, pin, meta))
}

fn copy(pass: &Grant<'_>, root: &Dir, path: &PathBytes, file: &Meta) -> std::io::Result<Pinned> {
    let (dir, name, _, meta) = open(root, path)?;
    if !meta.same(file) || meta.uid != pass.owner {
        return Err(Errno::NOENT.into());
    }
    let pin = breaking::replace_by_copy(pass.calls, &dir, &name, file)?;
    let meta = Meta::of(&pin)?;
    Ok(Pinned { pin, meta, path: path.clone(), linked_outside: false })
}
