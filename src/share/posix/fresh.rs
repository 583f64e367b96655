//! What objects without an ACL need, worked out once for each kind and mode: a tree has many objects and few modes.

use super::grant::Change;
use crate::host::dir::Meta;
use std::sync::Arc;

/// Everything of a mode that decides, whether it is a directory, and whether it has names outside of the project.
type Kind = (u32, bool, bool);

/// What one thread has worked out. The list is short, so that a look through it is cheaper than a hash.
#[derive(Default)]
pub(super) struct Fresh(Vec<(Kind, Option<Arc<Change>>)>);

impl Fresh {
    /// What such an object needs, by `judge` where it is the first of its kind.
    pub(super) fn of(
        &mut self,
        meta: &Meta,
        linked_outside: bool,
        judge: impl FnOnce() -> Option<Arc<Change>>,
    ) -> Option<Arc<Change>> {
        let kind = (meta.mode & 0o777, meta.is_dir(), linked_outside);
        if let Some((_, known)) = self.0.iter().find(|(other, _)| *other == kind) {
            return known.clone();
        }
        let change = judge();
        self.0.push((kind, change.clone()));
        change
    }
}
