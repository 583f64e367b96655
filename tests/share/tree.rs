//! Whole trees: equal to what setfacl(1) makes, and back again to the last bit.

use crate::common::*;
use agentuser::host::dir::{Dir, hand_over};
use agentuser::share::{Access, Why};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

const WANT: &str = "u:61001:rwX,u:61002:rwX,d:u:61001:rwX,d:u:61002:rwX,d:g::---,d:o::---";

/// Every mode, type and kind of name that a project may have.
fn odd_tree(root: &Path, outside: &Path) {
    for mode in
        [0o000, 0o400, 0o444, 0o600, 0o644, 0o640, 0o700, 0o755, 0o711, 0o664, 0o777, 0o4755, 0o2755, 0o1644]
    {
        fs::write(root.join(format!("f{mode:o}")), "x").unwrap();
        chmod(&root.join(format!("f{mode:o}")), mode);
    }
    for mode in [0o700, 0o755, 0o750, 0o555, 0o000, 0o300, 0o1777, 0o2775, 0o3770] {
        let dir = root.join(format!("d{mode:o}"));
        fs::create_dir_all(dir.join("below")).unwrap();
        fs::write(dir.join("below/file"), "x").unwrap();
        chmod(&dir, mode);
    }
    for name in [b"new\nline".as_slice(), b"\xff\xfe", b"-n", b" ", b"\\x41", "ä".as_bytes(), &[b'l'; 255]] {
        fs::write(root.join(OsStr::from_bytes(name)), "x").unwrap();
    }
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink(outside, root.join("outward")).unwrap();
    symlink("..", root.join("d755/up")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), rustix::fs::FileType::Fifo, 0o640.into(), 0)
        .unwrap();
    drop(UnixListener::bind(root.join("socket")).unwrap());
}

#[test]
fn equal_to_setfacl_and_back() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let (root, outside) = (scratch.project(), scratch.0.join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "x").unwrap();
    odd_tree(&root, &outside);
    chown_all(&root, HUMAN);
    chown_all(&outside, HUMAN);
    let (before, victim) = (dump(&root), dump(&outside));

    let lacking = call(HUMAN, &Call::Check(job(&root))).report;
    assert_eq!((lacking.changed, dump(&root)), (0, before.clone()));
    let first = call(HUMAN, &Call::Apply(job(&root)));
    assert!(first.priors.is_empty());
    assert_eq!(first.report.changed, first.report.objects);
    // The human can't list these two (nor could setfacl): no read permission, for the owner's own entry decides.
    let unreadable: Vec<_> =
        first.report.lacking.first.iter().map(|f| (f.path.to_string(), f.why.clone())).collect();
    assert_eq!(unreadable.len(), 2, "{unreadable:?}");
    assert!(unreadable.iter().all(|(path, why)| path.starts_with('d') && *why == Why::Unreadable));
    assert_eq!(lacking.lacking.total, first.report.objects + 2);
    let ours = dump(&root);
    let again = call(HUMAN, &Call::Apply(job(&root))).report;
    assert_eq!((again.changed, again.already), (0, again.objects));
    assert_eq!(call(HUMAN, &Call::Check(job(&root))).report.lacking.total, 2);

    let back = call(HUMAN, &Call::Revert(job(&root), Vec::new())).report;
    assert_eq!(back.changed, first.report.changed);
    assert_eq!(dump(&root), before);
    setfacl(HUMAN, &["-R", "-m", WANT], &root);
    assert_eq!(dump(&root), ours);
    assert_eq!(dump(&outside), victim);
}

#[test]
fn read_only_and_back_and_forth() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.project();
    let before = dump(&root);
    let mut job = job(&root);
    for access in [Access::ReadOnly, Access::ReadWrite, Access::ReadOnly] {
        job.access = access;
        call(HUMAN, &Call::Apply(job.clone()));
        assert!(call(HUMAN, &Call::Check(job.clone())).report.is_complete());
        for name in ["plain", "secret"] {
            assert!(can(AGENT, "cat \"$1\"", &root.join(name)));
            let writes = access == Access::ReadWrite;
            assert_eq!(can(AGENT, "echo >> \"$1\"", &root.join(name)), writes);
        }
        assert!(can(HUMAN, "echo >> \"$1\"", &root.join("secret")));
        assert!(!can(THIRD, "cat \"$1\"", &root.join("secret")));
    }
    call(HUMAN, &Call::Revert(job, Vec::new()));
    assert_eq!(dump(&root), before);
    assert!(!can(AGENT, "cat \"$1\"", &root.join("secret")));
}

/// What both make while a project is shared: each can use it, others can't, and each party's revert takes it all off.
#[test]
fn objects_made_meanwhile() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.project();
    let job = job(&root);
    call(HUMAN, &Call::Apply(job.clone()));
    assert!(can(AGENT, "umask 077; mkdir \"$1/a\" && echo 1 > \"$1/a/f\" && chmod 700 \"$1/a\"", &root));
    assert!(can(HUMAN, "umask 022; mkdir \"$1/h\" && echo 1 > \"$1/h/f\" && chmod 600 \"$1/h/f\"", &root));
    // chmod closed both; the human's pass repairs the human's, and counts the agent's.
    assert!(!can(HUMAN, "cat \"$1/a/f\"", &root) && !can(AGENT, "cat \"$1/h/f\"", &root));
    let report = call(HUMAN, &Call::Apply(job.clone())).report;
    assert_eq!((report.agent_owned, report.agent_owned_lacking), (1, 1));
    let report = call(AGENT, &Call::Apply(job.clone())).report;
    assert_eq!((report.changed, report.lacking.total), (1, 0));
    assert!(report.human_owned > 4);
    for uid in [AGENT, HUMAN] {
        assert!(can(uid, "echo 2 >> \"$1/a/f\" && echo 2 >> \"$1/h/f\" && mkdir \"$1/a/$(id -u)\"", &root));
    }
    assert!(!can(THIRD, "cat \"$1/a/f\"", &root));
    // The human's pass, root's hand-over of what the agent owns, the human's pass again: nothing of ours is left.
    let back = call(HUMAN, &Call::Revert(job.clone(), Vec::new())).report;
    assert_eq!((back.agent_owned, back.agent_owned_lacking), (3, 3));
    assert_eq!(
        hand_over(&Dir::open(&root).unwrap(), account(AGENT), account(HUMAN), &mut || {}).unwrap().changed,
        3
    );
    assert!(call(HUMAN, &Call::Revert(job, Vec::new())).report.lacking.is_empty());
    let after = dump(&root);
    assert!(
        !after.contains(":61001:") && !after.contains(":61002:") && !after.contains("default:"),
        "{after}"
    );
    assert_eq!((mode(&root.join("h/f")), mode(&root.join("a"))), (0o600, 0o700));
}

#[test]
fn others_files_are_left_alone() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.project();
    fs::write(root.join("third"), "x").unwrap();
    chown_all(&root.join("third"), THIRD);
    fs::create_dir(root.join("group")).unwrap();
    chown_all(&root.join("group"), HUMAN);
    std::os::unix::fs::chown(root.join("group"), None, Some(THIRD.0)).unwrap();
    chmod(&root.join("group"), 0o2775);
    let before = dump(&root);
    let report = call(HUMAN, &Call::Apply(job(&root))).report;
    assert_eq!(report.foreign_owner.first[0].to_string(), "third");
    // The human is not in the group of `group`: changing its ACL would silently lose the bit.
    assert_eq!(report.lacking.first[0].why, Why::SetGroupId);
    assert_eq!(mode(&root.join("group")), 0o2775);
    call(HUMAN, &Call::Revert(job(&root), Vec::new()));
    assert_eq!(dump(&root), before);
    let refused = try_call(agentuser::model::Uid(0), &Call::Apply(job(&root)));
    assert_eq!(refused.error, None, "root may share what root owns");
    assert_eq!(refused.report.changed, 0);
}
