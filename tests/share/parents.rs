//! The way to a project through directories that are not shared.

use crate::common::*;
use agentuser::model::Uid;
use agentuser::share::{Passage, PassageEnd, Prior};
use std::fs;
use std::path::{Path, PathBuf};

fn parent(scratch: &Scratch, mode: u32, acl: Option<&str>) -> PathBuf {
    let dir = scratch.0.join("home");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("open"), "x").unwrap();
    chown_all(&dir, HUMAN);
    chmod(&dir, mode);
    if let Some(acl) = acl {
        setfacl(HUMAN, &["-n", "-m", acl], &dir);
    }
    dir
}

fn pass(dir: &Path, agent: Uid) -> Vec<Prior> {
    call(HUMAN, &Call::Pass(abs(dir), agent)).priors
}

fn passage(dir: &Path, agent: Uid) -> Passage {
    call(HUMAN, &Call::CanPass(abs(dir), agent)).passage.unwrap()
}

fn end(dir: &Path, agent: Uid, prior: Option<&Prior>) -> PassageEnd {
    call(HUMAN, &Call::EndPass(abs(dir), agent, prior.cloned())).end.unwrap()
}

#[test]
fn pass_but_not_list() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let dir = parent(&scratch, 0o700, None);
    let before = dump(&dir);
    assert!(!can(AGENT, "cat \"$1/open\"", &dir));
    assert_eq!(passage(&dir, AGENT), Passage::Missing);
    let priors = pass(&dir, AGENT);
    assert_eq!((priors.len(), pass(&dir, AGENT).len()), (1, 0));
    assert!(can(AGENT, "cat \"$1/open\"", &dir) && !can(AGENT, "ls \"$1\"", &dir));
    assert!(!can(THIRD, "cat \"$1/open\"", &dir));
    assert_eq!(acl(&dir), "user::rwx,user:61001:--x,group::---,mask::--x,other::---");

    chmod(&dir, 0o700);
    assert_eq!(passage(&dir, AGENT), Passage::Voided);
    assert!(!can(AGENT, "cat \"$1/open\"", &dir));
    assert_eq!(call(HUMAN, &Call::Pass(abs(&dir), AGENT)).passage, Some(Passage::Voided));
    assert_eq!(passage(&dir, AGENT), Passage::Open);
    assert_eq!(end(&dir, AGENT, priors.first()), PassageEnd::Restored);
    assert_eq!(dump(&dir), before);
    assert_eq!(end(&dir, AGENT, priors.first()), PassageEnd::Nothing);
}

#[test]
fn the_humans_chmod_is_kept() {
    if !privileged() {
        return;
    }
    for (recorded, set, left) in [
        (true, 0o700, 0o700),
        (false, 0o700, 0o700),
        (true, 0o750, 0o750),
        (false, 0o750, 0o750),
        (true, 0o755, 0o755),
        (true, 0o500, 0o500),
    ] {
        let scratch = Scratch::new();
        let dir = parent(&scratch, 0o710, None);
        let priors = pass(&dir, AGENT);
        chmod(&dir, set);
        let prior = priors.first().filter(|_| recorded);
        assert_eq!(end(&dir, AGENT, prior), PassageEnd::Altered, "{set:o}");
        assert_eq!(mode(&dir), left, "{set:o}");
        assert!(!acl(&dir).contains("mask"));
    }
}

/// Two agents pass one directory and leave in both orders; the end is the beginning, with the first agent's record alone.
#[test]
fn two_agents() {
    if !privileged() {
        return;
    }
    for (mode, acl) in [
        (0o700, None),
        (0o755, None),
        (0o750, Some("u:61004:rwx,m::rwx")),
        (0o750, Some("u:61004:rwx,g:61005:r-x,m::r--")),
        (0o750, Some("u:61001:r--,u:61004:r-x,m::r--")),
    ] {
        for [first, last] in [[AGENT, OTHER_AGENT], [OTHER_AGENT, AGENT]] {
            let scratch = Scratch::new();
            let dir = parent(&scratch, mode, acl);
            let before = dump(&dir);
            let mut priors = pass(&dir, OTHER_AGENT);
            priors.extend(pass(&dir, AGENT));
            assert_eq!((passage(&dir, AGENT), passage(&dir, OTHER_AGENT)), (Passage::Open, Passage::Open));
            end(&dir, first, priors.first());
            assert_eq!(passage(&dir, last), Passage::Open);
            assert!(can(last, "cat \"$1/open\"", &dir));
            end(&dir, last, priors.first());
            assert_eq!(dump(&dir), before, "{mode:o} {acl:?} {first} first");
        }
    }
}

/// Each with a record of its own, or none, where there was no ACL at first.
#[test]
fn two_agents_with_records_of_their_own() {
    if !privileged() {
        return;
    }
    for recorded in [true, false] {
        for first in [AGENT, OTHER_AGENT] {
            let scratch = Scratch::new();
            let dir = parent(&scratch, 0o750, None);
            let before = dump(&dir);
            let records = [(AGENT, pass(&dir, AGENT)), (OTHER_AGENT, pass(&dir, OTHER_AGENT))];
            let mut leaving: Vec<_> = records.iter().collect();
            leaving.sort_by_key(|(agent, _)| *agent != first);
            for (agent, priors) in leaving {
                assert_eq!(end(&dir, *agent, priors.first().filter(|_| recorded)), PassageEnd::Restored);
            }
            assert_eq!(dump(&dir), before);
        }
    }
}
