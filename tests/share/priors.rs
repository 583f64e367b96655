//! Objects that had an ACL before.

use crate::common::*;
use std::fs;
use std::path::Path;

/// Named entries, narrow and wide masks, default ACLs with and without names.
fn with_acls(root: &Path) {
    fs::create_dir_all(root.join("dir/sub")).unwrap();
    fs::create_dir(root.join("bare")).unwrap();
    fs::write(root.join("dir/file"), "x").unwrap();
    chown_all(root, HUMAN);
    for (acl, name) in [
        ("u:61004:rwx,g:61005:r-x,m::r--", "plain"),
        ("u:61004:rw-,m::rwx", "script"),
        ("u:61002:r--,m::---", "secret"),
        ("u:61004:r-x,d:u:61004:rwx,d:g::rwx,d:m::r-x", "dir"),
        ("m::r-x", "dir/sub"),
        ("d:u::rwx,d:g::r-x,d:o::r-x", "bare"),
        ("u:61004:r--", "dir/file"),
    ] {
        setfacl(HUMAN, &["-n", "-m", acl], &root.join(name));
    }
}

#[test]
fn come_back_to_the_last_bit() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.project();
    with_acls(&root);
    let before = dump(&root);
    let refused = try_call(HUMAN, &Call::ApplyUnrecorded(job(&root)));
    assert!(refused.error.unwrap().contains("could not be recorded"));
    for name in ["plain", "dir", "bare"] {
        assert!(!acl(&root.join(name)).contains("61001"), "changed without a record: {name}");
    }
    let mut applied = call(HUMAN, &Call::Apply(job(&root)));
    assert_eq!((applied.priors.len(), applied.report.recorded), (7, 7));
    assert!(call(HUMAN, &Call::Check(job(&root))).report.is_complete());
    // Nobody else gained: the third party's write and execute were masked out, and still are.
    assert_eq!(
        acl(&root.join("plain")),
        "user::rw-,user:61001:rw-,user:61002:rw-,user:61004:r-x,group::r--,group:61005:r-x,mask::rw-,other::r--"
    );
    let again = call(HUMAN, &Call::Apply(job(&root)));
    assert!(again.priors.is_empty() && again.report.changed == 0);
    // A later pass after somebody closed a file writes no second record.
    chmod(&root.join("plain"), 0o600);
    let repaired = call(HUMAN, &Call::Apply(job(&root)));
    assert!(repaired.priors.is_empty() && repaired.report.changed == 1);
    chmod(&root.join("plain"), 0o664);

    setfacl(HUMAN, &["-m", "u:61004:r-x,g:61005:r-x"], &root.join("plain"));
    applied.priors.rotate_left(3);
    let back = call(HUMAN, &Call::Revert(job(&root), applied.priors)).report;
    let altered: Vec<_> = back.altered.first.iter().map(ToString::to_string).collect();
    // chmod and a changed entry: ours are gone, theirs stay.
    assert_eq!(altered, ["plain"]);
    assert!(!acl(&root.join("plain")).contains("61001"));
    setfacl(
        HUMAN,
        &["-n", "--set", "u::rw-,u:61004:rwx,g::r--,g:61005:r-x,m::r--,o::r--"],
        &root.join("plain"),
    );
    assert_eq!(dump(&root), before);
}

#[test]
fn follow_the_object_and_not_the_path() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.project();
    for name in ["plain", "script", "secret"] {
        setfacl(HUMAN, &["-m", "u:61004:rwx"], &root.join(name));
    }
    let moved = acl(&root.join("plain"));
    let applied = call(HUMAN, &Call::Apply(job(&root)));
    fs::create_dir(root.join("new")).unwrap();
    chown_all(&root.join("new"), HUMAN);
    fs::rename(root.join("plain"), root.join("new/place")).unwrap();
    // Deleted and made anew at once: ext4 gives the new file the old inode number.
    assert!(can(HUMAN, "rm \"$1/script\" && umask 077 && echo > \"$1/script\"", &root));
    assert!(can(HUMAN, "echo > \"$1/x\" && mv \"$1/x\" \"$1/secret\"", &root));
    let report = call(HUMAN, &Call::Revert(job(&root), applied.priors)).report;
    assert_eq!(acl(&root.join("new/place")), moved);
    for name in ["script", "secret"] {
        assert!(!acl(&root.join(name)).contains("6100"), "{name}: {}", acl(&root.join(name)));
    }
    let unused: Vec<_> = report.record_unused.first.iter().map(ToString::to_string).collect();
    assert_eq!(unused, ["script", "secret"]);
}
