//! Whether a volume keeps accounts apart.

use crate::model::AbsPath;
use rustix::fs::{StatFs, statfs};
use std::ffi::CStr;

/// Everybody counts as the owner of everything (`MNT_IGNORE_OWNERSHIP` of `sys/mount.h`): the default for external disks.
const IGNORES_OWNERS: u32 = 0x0020_0000;

/// Filesystems that have ACLs.
const WITH_ACLS: [&str; 2] = ["apfs", "hfs"];

/// Why a project can't be on its volume, with what to type; none where it can.
pub(super) fn why_unfit(path: &AbsPath) -> Option<String> {
    let is: StatFs = statfs(path.as_str()).ok()?;
    let volume = text(&is.f_mntonname);
    if is.f_flags & IGNORES_OWNERS != 0 {
        return Some(format!(
            "its volume pays no heed to owners, so that every account has every right: \
             sudo diskutil enableOwnership '{}'",
            volume.escape_debug()
        ));
    }
    let kind = text(&is.f_fstypename);
    (!WITH_ACLS.contains(&kind.as_str()))
        .then(|| format!("its volume has no ACLs ({}): move it to one of APFS", kind.escape_debug()))
}

/// A text of the kernel's, up to its NUL.
fn text(raw: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = raw.iter().map(|c| c.to_ne_bytes()[0]).collect();
    CStr::from_bytes_until_nul(&bytes).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}
