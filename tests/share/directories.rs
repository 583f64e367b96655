//! Directory handles: removing, copying, handing over, and trees deeper than paths can be.

use crate::common::*;
use agentuser::host::dir::{Dir, copy_skeleton, hand_over, remove_tree};
use agentuser::model::{Gid, Uid};
use rustix::fs::Mode;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// A chain of directories with two in each, so that there is always another one to come back to.
fn deep(root: &Path, levels: u32, uid: Uid) {
    let mut dir = Dir::open(root).unwrap();
    let owner = (Some(rustix::fs::Uid::from_raw(uid.0)), Some(rustix::fs::Gid::from_raw(uid.0)));
    for _ in 0..levels {
        for name in [c"a", c"b"] {
            rustix::fs::mkdirat(&dir, name, Mode::RWXU).unwrap();
            rustix::fs::chownat(&dir, name, owner.0, owner.1, rustix::fs::AtFlags::empty()).unwrap();
        }
        dir = dir.open_child(c"b").unwrap();
    }
}

#[test]
fn ten_thousand_levels() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.project();
    deep(&root, 10_000, HUMAN);
    let first = call(HUMAN, &Call::Apply(job(&root))).report;
    assert_eq!((first.objects, first.changed), (20_004, 20_004));
    assert_eq!(call(HUMAN, &Call::Revert(job(&root), Vec::new())).report.changed, 20_004);
    let report = hand_over(&Dir::open(&root).unwrap(), account(HUMAN), account(AGENT), &mut || {}).unwrap();
    assert_eq!(report.changed, 20_004);
    remove_tree(&Dir::open(&scratch.0).unwrap(), c"project").unwrap();
    assert!(!root.exists());
}

#[test]
fn removing_follows_nothing() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.project();
    let victim = scratch.0.join("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("file"), "x").unwrap();
    let before = dump(&victim);
    symlink(&victim, root.join("link")).unwrap();
    symlink(victim.join("file"), root.join("file-link")).unwrap();
    symlink(&victim, scratch.0.join("top")).unwrap();
    let dir = Dir::open(&scratch.0).unwrap();
    for name in [c"project", c"top", c"not there"] {
        remove_tree(&dir, name).unwrap();
    }
    assert_eq!(dump(&victim), before);
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
}

#[test]
fn skeleton() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let (from, into) = (scratch.0.join("skel"), scratch.0.join("home"));
    fs::create_dir_all(from.join(".config/x")).unwrap();
    fs::create_dir(&into).unwrap();
    fs::write(from.join(".profile"), "hello").unwrap();
    fs::write(from.join(".config/x/run"), "x").unwrap();
    chmod(&from.join(".config/x/run"), 0o4755);
    chmod(&from.join(".config"), 0o750);
    symlink("/etc/passwd", from.join("link")).unwrap();
    for _ in 0..2 {
        copy_skeleton(&from, &Dir::open(&into).unwrap(), AGENT, Gid(AGENT.0)).unwrap();
    }
    let meta = |name: &str| fs::symlink_metadata(into.join(name)).unwrap();
    for name in [".profile", ".config", ".config/x", ".config/x/run", "link"] {
        assert_eq!((meta(name).uid(), meta(name).gid()), (AGENT.0, AGENT.0), "{name}");
    }
    assert_eq!(fs::read_link(into.join("link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::read(into.join(".profile")).unwrap(), b"hello");
    assert_eq!(meta(".config").permissions().mode() & 0o7777, 0o750);
    assert_eq!(meta(".config/x/run").permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata("/etc/passwd").unwrap().uid(), 0);
}

#[test]
fn hand_over_takes_only_what_is_meant() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.project();
    let elsewhere = scratch.0.join("elsewhere");
    chown_all(&root, AGENT);
    for (name, uid) in [("humans", HUMAN), ("thirds", THIRD), ("roots", Uid(0))] {
        fs::write(root.join(name), "x").unwrap();
        chown_all(&root.join(name), uid);
    }
    fs::hard_link(root.join("plain"), &elsewhere).unwrap();
    chmod(&root.join("script"), 0o4755);
    symlink("/etc/passwd", root.join("link")).unwrap();
    std::os::unix::fs::lchown(root.join("link"), Some(AGENT.0), None).unwrap();
    let report = hand_over(&Dir::open(&root).unwrap(), account(AGENT), account(HUMAN), &mut || {}).unwrap();
    let owner = |name: &str| fs::symlink_metadata(root.join(name)).unwrap().uid();
    assert_eq!(report.changed, 5, "plain, script, secret, link and the directory itself");
    let owners = ["humans", "thirds", "roots", "plain", "script", "link", "."].map(owner);
    assert_eq!(owners, [HUMAN.0, THIRD.0, 0, HUMAN.0, HUMAN.0, HUMAN.0, HUMAN.0]);
    assert_eq!(mode(&root.join("script")), 0o755, "no set-user-id program of the human");
    assert_eq!(fs::metadata("/etc/passwd").unwrap().uid(), 0);
}
