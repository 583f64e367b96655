//! Somebody who swaps a directory for a symbolic link all the time never leads a pass out of its tree.

use crate::common::*;
use agentuser::host::dir::{Dir, hand_over};
use agentuser::model::Gid;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// A project with a directory `d`, a link `l` to a victim tree outside, and the victim's state.
fn stage(scratch: &Scratch, owner: agentuser::model::Uid) -> (PathBuf, PathBuf, String) {
    let (root, victim) = (scratch.project(), scratch.0.join("victim"));
    for dir in [root.join("a/d"), victim.clone()] {
        fs::create_dir_all(dir.join("sub")).unwrap();
        for n in 0..20 {
            fs::write(dir.join(format!("f{n}")), "x").unwrap();
            fs::write(dir.join(format!("sub/f{n}")), "x").unwrap();
        }
    }
    symlink(&victim, root.join("a/l")).unwrap();
    chown_all(&root, owner);
    chown_all(&victim, owner);
    let state = dump(&victim);
    (root, victim, state)
}

/// Swaps `d` and `l` until `work` is done.
fn while_swapping(root: &Path, work: impl FnOnce()) {
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, root.join("a/d"), CWD, root.join("a/l"), RenameFlags::EXCHANGE).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        work();
        stop.store(true, Ordering::Relaxed);
    });
    assert!(swaps.into_inner() > 1000, "hardly a race");
}

#[test]
fn apply_and_revert() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let (root, victim, before) = stage(&scratch, HUMAN);
    setfacl(HUMAN, &["-R", "-m", "u:61004:r--"], &root.join("a/d/sub"));
    while_swapping(&root, || {
        call(HUMAN, &Call::Loop(job(&root), 200));
    });
    assert_eq!(dump(&victim), before);
    // The open control: with nobody swapping, the same calls do reach the directory.
    let open = if root.join("a/d").is_symlink() { root.join("a/l") } else { root.join("a/d") };
    call(HUMAN, &Call::Apply(job(&root)));
    assert!(acl(&open.join("sub/f1")).contains("61001"));
    assert_eq!(dump(&victim), before);
}

#[test]
fn handing_over() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let (root, victim, before) = stage(&scratch, AGENT);
    let dir = Dir::open(&root).unwrap();
    let mut changed = 0;
    while_swapping(&root, || {
        for turn in 0..300 {
            let (from, to) = if turn % 2 == 0 { (AGENT, HUMAN) } else { (HUMAN, AGENT) };
            changed += hand_over(&dir, from, to, Gid(to.0)).unwrap().changed;
        }
    });
    assert!(changed > 300);
    assert_eq!(dump(&victim), before);
}
