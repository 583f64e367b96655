//! Directories that a walk will come to: each knows the one above it, so that a tree of any shape costs little memory, and
//! some stay open, so that the way to a deep one is short.

use super::{Dir, PathBytes};
use rustix::io::Errno;
use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Every so many levels a directory stays open while something below it waits.
const STAGE: usize = 64;
/// How many stay open at most, of the whole process.
const STATIONS: usize = 256;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// A directory below a root, by the names that lead to it.
#[derive(Clone, Debug)]
pub struct Place(Arc<Node>);

#[derive(Debug)]
struct Node {
    above: Option<Place>,
    name: Box<CStr>,
    depth: usize,
    station: OnceLock<Dir>,
}

impl Place {
    /// The root itself.
    pub fn root() -> Self {
        Self(Arc::new(Node { above: None, name: c".".into(), depth: 0, station: OnceLock::new() }))
    }

    /// A directory in this one.
    #[must_use]
    pub fn child(&self, name: &CStr) -> Self {
        let (above, depth) = (Some(self.clone()), self.0.depth + 1);
        Self(Arc::new(Node { above, name: name.into(), depth, station: OnceLock::new() }))
    }

    /// Opens it from the nearest directory that is still open, or from `root`, as [`Dir::open_below`] does.
    pub fn open(&self, root: &Dir) -> Result<Dir, Errno> {
        let mut names: Vec<&CStr> = Vec::new();
        let mut at = self;
        while let (Some(above), None) = (&at.0.above, at.0.station.get()) {
            names.push(&at.0.name);
            at = above;
        }
        names.reverse();
        let path = names.iter().map(|name| name.to_bytes()).collect::<Vec<_>>().join(&b'/');
        let dir = at.0.station.get().unwrap_or(root).open_below(&path)?;
        if self.0.depth % STAGE == STAGE - 1 && OPEN.load(Ordering::Relaxed) < STATIONS {
            let again = dir.open_child(c".")?;
            if self.0.station.set(again).is_ok() {
                OPEN.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(dir)
    }

    /// Opens it from `root`, by no directory that is still open: one of those may have been moved away since.
    pub fn open_anew(&self, root: &Dir) -> Result<Dir, Errno> {
        root.open_below(self.path().as_bytes())
    }

    /// The same place, without directories that are still open.
    #[must_use]
    pub fn anew(&self) -> Self {
        let mut names: Vec<&CStr> = Vec::new();
        let mut at = self;
        while let Some(above) = &at.0.above {
            names.push(&at.0.name);
            at = above;
        }
        names.iter().rev().fold(Self::root(), |place, name| place.child(name))
    }

    /// The place of the directory that holds it; none for the root.
    pub fn above(&self) -> Option<&Self> {
        self.0.above.as_ref()
    }

    /// Its name; `.` for the root.
    pub fn name(&self) -> &CStr {
        &self.0.name
    }

    /// Its path below the root; `.` for the root.
    pub fn path(&self) -> PathBytes {
        match &self.0.above {
            Some(above) => above.path_of(&self.0.name),
            None => PathBytes::from(self.0.name.to_bytes()),
        }
    }

    /// The path below the root of a name in it.
    pub fn path_of(&self, name: &CStr) -> PathBytes {
        let mut names = vec![name.to_bytes()];
        let mut at = self;
        while let Some(above) = &at.0.above {
            names.push(at.0.name.to_bytes());
            at = above;
        }
        names.reverse();
        PathBytes::from(names.join(&b'/').as_slice())
    }
}

impl Drop for Node {
    /// One after the other, for thousands of levels would nest as many calls.
    fn drop(&mut self) {
        if self.station.take().is_some() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
        let mut above = self.above.take();
        while let Some(mut node) = above.and_then(|place| Arc::into_inner(place.0)) {
            above = node.above.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let root = Place::root();
        assert_eq!((root.path().to_string(), root.path_of(c"f").to_string()), (".".into(), "f".into()));
        let below = root.child(c"a").child(c"b\n");
        assert_eq!(
            (below.path().to_string(), below.path_of(c"f").to_string()),
            (r"a/b\x0a".into(), r"a/b\x0a/f".into())
        );
    }

    #[test]
    fn a_million_levels_are_dropped() {
        let mut place = Place::root();
        for _ in 0..1_000_000 {
            place = place.child(c"d");
        }
        assert_eq!(place.path().as_bytes().len(), 1_999_999);
    }
}
