//! An entry of a POSIX ACL.

use crate::{
    formats::posix_acl::{self, Acl, Perm, Tag},
    model::{AccountName, Uid},
};
use rustix::fs::{XattrFlags, fsetxattr};
use std::{fs::File, io};

/// Lets an account read a file of mode 0640.
pub(super) fn let_read(file: &File, _: &AccountName, human: Uid) -> io::Result<()> {
    let mut acl = Acl::from_mode(0o640);
    acl.put(Tag::User(human), Perm::READ);
    acl.put(Tag::Mask, Perm::READ);
    Ok(fsetxattr(file, posix_acl::ACCESS, &acl.render(), XattrFlags::empty())?)
}
