//! Files with more than one name. Where names were not found in the project they are elsewhere, and whoever writes by them
//! writes here. Pure: the walk says what it saw.

use super::{Kind, Snapshot};
use crate::host::dir::Meta;
use std::{collections::HashMap, rc::Rc};

/// More files with several names than this are not kept in mind, and no more bytes of their names.
const MOST: usize = 500_000;
const MOST_BYTES: usize = 64 << 20;

/// Where a directory comes from: written by somebody, or made by a package manager, a compiler or git, below this path.
pub(super) type Made = Option<Rc<str>>;

/// The files with several names that were seen.
#[derive(Debug, Default)]
pub(super) struct Links {
    files: HashMap<(u64, u64), Linked>,
    too_many: bool,
    bytes: usize,
}

#[derive(Debug)]
struct Linked {
    /// How many names it has, and how many of them were seen.
    names: u64,
    seen: u64,
    /// The first of the names in order of the alphabet, of those that were not made where there are such.
    first: (Made, Rc<str>),
    uid: u32,
}

impl Links {
    /// Notes one name of a file.
    pub(super) fn see(&mut self, meta: &Meta, path: impl FnOnce() -> String, made: &Made) {
        if meta.nlink < 2 {
            return;
        }
        let room = self.files.len() < MOST && self.bytes < MOST_BYTES;
        let file = match self.files.entry((meta.dev, meta.ino)) {
            std::collections::hash_map::Entry::Vacant(_) if !room => {
                self.too_many = true;
                return;
            }
            entry => entry,
        };
        let path = || made.clone().unwrap_or_else(|| path().into());
        match file {
            std::collections::hash_map::Entry::Vacant(entry) => {
                let first = (made.clone(), path());
                // What was made has the one text of where it lies.
                self.bytes += if made.is_some() { 0 } else { first.1.len() };
                entry.insert(Linked { names: meta.nlink, seen: 1, first, uid: meta.uid.0 });
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                let file = entry.get_mut();
                (file.names, file.seen) = (file.names.max(meta.nlink), file.seen + 1);
                let name = (made.clone(), path());
                if (name.0.is_some(), &name.1) < (file.first.0.is_some(), &file.first.1) {
                    file.first = name;
                }
            }
        }
    }

    /// Tells of those that have names elsewhere: each by itself, but for what was made, of which the number is told.
    pub(super) fn note(self, found: &mut Snapshot) {
        let mut made: HashMap<Rc<str>, u64> = HashMap::new();
        for file in self.files.into_values().filter(|file| file.seen < file.names) {
            match file.first {
                (Some(place), _) => *made.entry(place).or_default() += 1,
                (None, path) => {
                    let value = format!("{} of its {} names, of uid {}", file.seen, file.names, file.uid);
                    found.note(&path, "names", Kind::HardLink, value);
                }
            }
        }
        for (place, count) in made {
            found.note(&place, "names", Kind::StoreLink, format!("{count} files"));
        }
        if self.too_many {
            found.note(".", "names", Kind::Unfinished, "more files with several names than are counted");
        }
    }
}
