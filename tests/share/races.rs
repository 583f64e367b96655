//! Somebody who swaps a directory for a symbolic link all the time never leads a pass out of its tree.

use crate::common::*;
use agentuser::host::dir::{Dir, hand_over};
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
            changed += hand_over(&dir, account(from), account(to), &mut || {}).unwrap().changed;
        }
    });
    assert!(changed > 300);
    assert_eq!(dump(&victim), before);
}

/// Moves the name of a file which has another name outside all the time, and tells whether the agent ever got the file.
fn writable_outside(moves: impl Fn(&Path) + Sync) -> bool {
    let scratch = Scratch::new();
    let (root, store) = (scratch.project(), scratch.0.join("store"));
    fs::create_dir(&store).unwrap();
    for dir in ["1", "2"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    for n in 0..50 {
        fs::write(root.join(format!("f{n}")), "x").unwrap();
    }
    fs::write(store.join("shared"), "content").unwrap();
    fs::hard_link(store.join("shared"), root.join("1/outside")).unwrap();
    chown_all(&root, HUMAN);
    chown_all(&store, HUMAN);
    // Whoever moves names is root here; the agent can only once a first pass has let it in.
    call(HUMAN, &Call::Apply(job(&root)));
    let stop = AtomicBool::new(false);
    let mut open = false;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                moves(&root);
            }
        });
        for _ in 0..300 {
            call(HUMAN, &Call::Apply(job(&root)));
            open |= acl(&store.join("shared")).contains("user:61001:rw");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(acl(&store.join("shared")).contains("user:61001:r"), "no pass ever found it");
    open
}

#[test]
fn a_file_with_a_name_outside_that_takes_the_place_of_another() {
    if !privileged() {
        return;
    }
    let exchanged = |root: &Path| {
        renameat_with(CWD, root.join("plain"), CWD, root.join("1/outside"), RenameFlags::EXCHANGE).unwrap();
    };
    assert!(!writable_outside(exchanged));
}

#[test]
fn a_file_with_a_name_outside_whose_name_inside_is_met_twice() {
    if !privileged() {
        return;
    }
    let moved = |root: &Path| {
        fs::rename(root.join("1/outside"), root.join("2/outside")).unwrap();
        fs::rename(root.join("2/outside"), root.join("1/outside")).unwrap();
    };
    assert!(!writable_outside(moved));
    // The same by renaming the directory, which does not show on the file.
    let moved = |root: &Path| {
        fs::rename(root.join("1"), root.join("3")).unwrap();
        fs::rename(root.join("3"), root.join("1")).unwrap();
    };
    assert!(!writable_outside(moved));
}
