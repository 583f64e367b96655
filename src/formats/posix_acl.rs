//! POSIX ACLs as Linux keeps them in the extended attributes `system.posix_acl_access` and `system.posix_acl_default`.
//!
//! acl(5) has the meaning, the kernel's `posix_acl_xattr.h` the bytes: a version (2, little endian), then for each entry
//! a tag, the permissions and an id. [`Acl`] keeps what `acl_valid(3)` asks of the unnamed entries, so that later code
//! can rely on an owner, a group and an other entry; text is getfacl(1)'s short form with numbers.

use crate::model::{Gid, Uid};
use smallvec::{SmallVec, smallvec};
use std::{fmt, ops};

/// The attribute with the ACL that decides about the object itself.
pub const ACCESS: &std::ffi::CStr = c"system.posix_acl_access";
/// The attribute with the ACL that objects made in a directory start with.
pub const DEFAULT: &std::ffi::CStr = c"system.posix_acl_default";

const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;

/// Read, write and execute permission, as the last three bits of a mode.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Perm(u8);

impl Perm {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Execute; search on a directory.
    pub const EXECUTE: Self = Self(1);
    /// Write.
    pub const WRITE: Self = Self(2);
    /// Read.
    pub const READ: Self = Self(4);
    /// All three.
    pub const ALL: Self = Self(7);

    /// The lowest three bits of `bits`.
    pub const fn of_bits(bits: u32) -> Self {
        Self((bits & 7) as u8)
    }

    /// As the lowest three bits of a mode.
    pub fn bits(self) -> u32 {
        self.0.into()
    }

    /// Whether every permission of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl ops::BitOr for Perm {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl ops::BitAnd for Perm {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for Perm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (perm, letter) in [(Self::READ, "r"), (Self::WRITE, "w"), (Self::EXECUTE, "x")] {
            f.write_str(if self.contains(perm) { letter } else { "-" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Perm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whom an entry is about, in the order that the kernel wants entries in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// The owner.
    UserObj,
    /// A named user.
    User(Uid),
    /// The owning group.
    GroupObj,
    /// A named group.
    Group(Gid),
    /// The most that named users, the owning group and named groups get.
    Mask,
    /// Everybody else.
    Other,
}

impl Tag {
    /// Whether the mask limits it.
    pub fn is_group_class(self) -> bool {
        matches!(self, Self::User(_) | Self::GroupObj | Self::Group(_))
    }

    /// Whether it is about a user or group by id.
    pub fn is_named(self) -> bool {
        matches!(self, Self::User(_) | Self::Group(_))
    }

    fn wire(self) -> (u16, u32) {
        match self {
            Self::UserObj => (1, NO_ID),
            Self::User(Uid(id)) => (2, id),
            Self::GroupObj => (4, NO_ID),
            Self::Group(Gid(id)) => (8, id),
            Self::Mask => (16, NO_ID),
            Self::Other => (32, NO_ID),
        }
    }

    fn from_wire(tag: u16, id: u32) -> Result<Self, AclError> {
        Ok(match tag {
            1 => Self::UserObj,
            2 => Self::User(Uid(id)),
            4 => Self::GroupObj,
            8 => Self::Group(Gid(id)),
            16 => Self::Mask,
            32 => Self::Other,
            _ => return Err(AclError::Tag(tag)),
        })
    }
}

/// One line of an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Whom it is about.
    pub tag: Tag,
    /// What they get, before the mask.
    pub perm: Perm,
}

/// Why bytes are not an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AclError {
    /// Not a header and whole entries.
    #[error("an ACL of {0} bytes is not a header and whole entries")]
    Length(usize),
    /// Not version 2.
    #[error("ACL version {0} is unknown")]
    Version(u32),
    /// A tag that acl(5) does not have.
    #[error("ACL tag {0} is unknown")]
    Tag(u16),
    /// More than read, write and execute.
    #[error("ACL permission {0:#o} is unknown")]
    Permission(u16),
    /// Two entries about the same.
    #[error("the ACL has two entries for one user, group or class")]
    Twice,
    /// The owner, group or other entry is missing, or the mask that named entries need.
    #[error("the ACL lacks an entry that every ACL has")]
    Incomplete,
}

/// The value of an attribute. Those of usual length need no memory of their own, for a tree has many.
pub type Bytes = SmallVec<[u8; 96]>;

/// An ACL with its entries in the kernel's order. It always has an owner, a group and an other entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acl(SmallVec<[Entry; 8]>);

impl Acl {
    /// The three entries that a mode stands for.
    pub fn from_mode(mode: u32) -> Self {
        let entry = |tag, shift: u32| Entry { tag, perm: Perm::of_bits(mode >> shift) };
        Self(smallvec![entry(Tag::UserObj, 6), entry(Tag::GroupObj, 3), entry(Tag::Other, 0)])
    }

    /// Reads the value of one of the two attributes.
    pub fn parse(bytes: &[u8]) -> Result<Self, AclError> {
        let (header, entries) = bytes.split_first_chunk::<4>().ok_or(AclError::Length(bytes.len()))?;
        let version = u32::from_le_bytes(*header);
        if version != VERSION {
            return Err(AclError::Version(version));
        }
        let (entries, []) = entries.as_chunks::<8>() else { return Err(AclError::Length(bytes.len())) };
        let mut list = SmallVec::<[Entry; 8]>::with_capacity(entries.len());
        for &[t0, t1, p0, p1, i0, i1, i2, i3] in entries {
            let perm = u16::from_le_bytes([p0, p1]);
            if perm > 7 {
                return Err(AclError::Permission(perm));
            }
            let tag = Tag::from_wire(u16::from_le_bytes([t0, t1]), u32::from_le_bytes([i0, i1, i2, i3]))?;
            list.push(Entry { tag, perm: Perm::of_bits(perm.into()) });
        }
        list.sort_unstable();
        if list.windows(2).any(|pair| pair[0].tag == pair[1].tag) {
            return Err(AclError::Twice);
        }
        let acl = Self(list);
        let has = |tag| acl.get(tag).is_some();
        if [Tag::UserObj, Tag::GroupObj, Tag::Other].into_iter().all(has)
            && acl.mask().is_some() >= acl.has_named()
        {
            Ok(acl)
        } else {
            Err(AclError::Incomplete)
        }
    }

    /// The value for one of the two attributes.
    pub fn render(&self) -> Bytes {
        let mut bytes = Bytes::with_capacity(4 + 8 * self.0.len());
        bytes.extend(VERSION.to_le_bytes());
        for entry in &self.0 {
            let (tag, id) = entry.tag.wire();
            let ([t0, t1], [p0, p1]) = (tag.to_le_bytes(), u16::from(entry.perm.0).to_le_bytes());
            let [i0, i1, i2, i3] = id.to_le_bytes();
            bytes.extend([t0, t1, p0, p1, i0, i1, i2, i3]);
        }
        bytes
    }

    /// The entries, in the kernel's order.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The entries about users and groups by id.
    pub fn named(&self) -> impl Iterator<Item = Entry> {
        self.0.iter().copied().filter(|entry| entry.tag.is_named())
    }

    /// Whether an entry is about a user or group by id.
    pub fn has_named(&self) -> bool {
        self.named().next().is_some()
    }

    /// What the entry gives, before the mask; none where there is no such entry.
    pub fn get(&self, tag: Tag) -> Option<Perm> {
        self.0.binary_search_by_key(&tag, |entry| entry.tag).ok().map(|at| self.0[at].perm)
    }

    /// The mask, where there is one.
    pub fn mask(&self) -> Option<Perm> {
        self.get(Tag::Mask)
    }

    /// What the entry gives after the mask.
    pub fn effective(&self, tag: Tag) -> Option<Perm> {
        let mask = if tag.is_group_class() { self.mask() } else { None };
        self.get(tag).map(|perm| perm & mask.unwrap_or(Perm::ALL))
    }

    /// All that the group class asks for: what setfacl(1) makes the mask of.
    pub fn union(&self) -> Perm {
        self.0
            .iter()
            .filter(|entry| entry.tag.is_group_class())
            .fold(Perm::NONE, |sum, entry| sum | entry.perm)
    }

    /// The permission bits that stat(2) shows for an object with this access ACL.
    pub fn mode(&self) -> u32 {
        let perm = |tag| self.get(tag).unwrap_or_default().bits();
        let group = self.mask().map_or_else(|| perm(Tag::GroupObj), Perm::bits);
        perm(Tag::UserObj) << 6 | group << 3 | perm(Tag::Other)
    }

    /// Sets the entry, or adds it. Whoever adds a named entry adds a mask as well.
    pub fn put(&mut self, tag: Tag, perm: Perm) {
        match self.0.binary_search_by_key(&tag, |entry| entry.tag) {
            Ok(at) => self.0[at].perm = perm,
            Err(at) => self.0.insert(at, Entry { tag, perm }),
        }
    }

    /// Takes an entry out. The owner, group and other entries stay.
    pub fn remove(&mut self, tag: Tag) {
        if tag.is_named() || tag == Tag::Mask {
            self.0.retain(|entry| entry.tag != tag);
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag {
            Tag::UserObj => f.write_str("user::"),
            Tag::User(id) => write!(f, "user:{id}:"),
            Tag::GroupObj => f.write_str("group::"),
            Tag::Group(id) => write!(f, "group:{id}:"),
            Tag::Mask => f.write_str("mask::"),
            Tag::Other => f.write_str("other::"),
        }?;
        self.perm.fmt(f)
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, entry) in self.0.iter().enumerate() {
            write!(f, "{}{entry}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
