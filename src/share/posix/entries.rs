//! What our entries do to an ACL, and how they leave it: pure.
//!
//! Two rules hold everywhere. Nobody else gains: where the mask has to rise, the other entries first lose what the new mask
//! would have let through. And what we add can be taken away again without a record, where there was no ACL before: the
//! group entry keeps the group's bits of the mode all the time, while stat(2) shows the mask.

use crate::formats::posix_acl::{Acl, Entry, Perm, Tag};
use crate::model::Uid;

/// Our entries for one object.
pub(super) type Ours = [Entry];

/// An entry for a user.
pub(super) fn user(uid: Uid, perm: Perm) -> Entry {
    Entry { tag: Tag::User(uid), perm }
}

/// The ACL with our entries in force.
pub(super) fn grant(base: &Acl, ours: &Ours) -> Acl {
    let mut acl = base.clone();
    for entry in ours {
        acl.put(entry.tag, entry.perm);
    }
    let mask = match base.mask() {
        None => acl.union(),
        Some(old) => {
            let mask = ours.iter().fold(old, |mask, entry| mask | entry.perm);
            let others = base.entries().iter().filter(|entry| entry.tag.is_group_class());
            for entry in others.filter(|entry| ours.iter().all(|our| our.tag != entry.tag)) {
                acl.put(entry.tag, entry.perm.without(mask.without(old)));
            }
            mask
        }
    };
    acl.put(Tag::Mask, mask);
    acl
}

/// The default ACL with our entries, and with nothing for the group and others: a default ACL switches the umask off, so
/// these two take its place.
pub(super) fn grant_default(base: Option<&Acl>, access: &Acl, ours: &Ours) -> Acl {
    let mut acl = base.unwrap_or(access).clone();
    if base.is_none() {
        let named: Vec<_> = acl.named().collect();
        for entry in named {
            acl.remove(entry.tag);
        }
        acl.remove(Tag::Mask);
    }
    acl.put(Tag::GroupObj, Perm::NONE);
    acl.put(Tag::Other, Perm::NONE);
    grant(&acl, ours)
}

/// Whether our entries are in force as they should be. A wider execute bit under a narrower mask is what inheritance
/// makes of `rwx`, and is fine.
pub(super) fn holds(acl: &Acl, ours: &Ours) -> bool {
    ours.iter().all(|our| {
        acl.effective(our.tag) == Some(our.perm)
            && acl
                .get(our.tag)
                .is_some_and(|perm| perm.without(Perm::EXECUTE) == our.perm.without(Perm::EXECUTE))
    })
}

/// Whether a default ACL holds: our entries, and nothing for the group and others.
pub(super) fn holds_default(acl: &Acl, ours: &Ours) -> bool {
    let closed = |tag| acl.get(tag) == Some(Perm::NONE);
    closed(Tag::GroupObj) && closed(Tag::Other) && holds(acl, ours)
}

/// Whether it has an entry for each of `tags`: then it was made by us, or inherited from what we made.
pub(super) fn is_ours(acl: &Acl, tags: &[Tag]) -> bool {
    tags.iter().all(|tag| acl.get(*tag).is_some())
}

/// The ACL without the entries of `tags`, and without a mask that nobody needs any more. Nobody gains: a narrower mask,
/// such as chmod(1) makes, is carried into the group entry before it goes.
pub(super) fn strip(acl: &Acl, tags: &[Tag]) -> Acl {
    let mut left = acl.clone();
    for tag in tags {
        left.remove(*tag);
    }
    let Some(mask) = acl.mask() else { return left };
    if left.has_named() {
        left.put(Tag::Mask, mask & left.union());
    } else {
        left.remove(Tag::Mask);
        left.put(Tag::GroupObj, left.get(Tag::GroupObj).unwrap_or_default() & mask);
    }
    left
}

/// [`strip`] for a directory which inherited nothing from us: a mask that is not the union of the group class is one
/// that chmod(1) set, so it stays, as the group's bits where no named entry is left.
pub(super) fn strip_keeping_chmod(acl: &Acl, tag: Tag) -> Acl {
    let mut left = strip(acl, &[tag]);
    if let Some(mask) = acl.mask().filter(|mask| *mask != acl.union()) {
        left.put(if left.has_named() { Tag::Mask } else { Tag::GroupObj }, mask);
    }
    left
}

/// What `current` becomes when our entries go and `before` was there at first: `before`, less the named entries that
/// somebody has removed since, and with those that somebody has added since (another agent, on a directory that both
/// pass). None where `current` is not what `regrant` makes of that, because somebody has changed it.
pub(super) fn restore(
    current: &Acl,
    before: &Acl,
    ours: &[Tag],
    regrant: impl Fn(&Acl, &Ours) -> Acl,
) -> Option<Acl> {
    let is_our = |entry: &Entry| ours.contains(&entry.tag);
    let gone: Vec<Tag> = before
        .named()
        .filter(|e| !is_our(e) && current.get(e.tag).is_none())
        .map(|entry| entry.tag)
        .collect();
    let base = if gone.is_empty() { before.clone() } else { strip(before, &gone) };
    let added: Vec<Entry> =
        current.named().filter(|entry| !is_our(entry) && base.get(entry.tag).is_none()).collect();
    let mine: Vec<Entry> = current.named().filter(is_our).chain(added.iter().copied()).collect();
    (regrant(&base, &mine) == *current).then(|| if added.is_empty() { base } else { grant(&base, &added) })
}

#[cfg(test)]
mod tests;
