//! Replaces a file by a copy of its own, so that its other names no longer share it.
//!
//! It goes by names, by the system's own programs: what runs here is the owner, and while a tree that is open is changed no
//! process of the agent runs.

use super::{AceJob, Kind, Object, Tree, argument, below, bytes, is_inside};
use crate::{
    host::{Command, HostError, Program},
    share::{Finding, Report, Why},
};
use std::collections::BTreeMap;

/// Gives files of this account in a directory that have names outside a copy in their place, with content, mode, entries,
/// attributes and times. Answers whether there was one; what can't be copied is reported.
pub(super) fn replace_by_copies(
    job: &AceJob,
    tree: &mut dyn Tree,
    dir: &str,
    objects: &[Object],
    names: &BTreeMap<u64, (u64, u64)>,
    report: &mut Report,
) -> Result<bool, HostError> {
    let is_one = |object: &&Object| {
        job.break_links
            && object.kind == Kind::File
            && object.owner == tree.account()
            && !is_inside(object, names)
    };
    let linked: Vec<_> = objects.iter().filter(is_one).collect();
    for object in &linked {
        match copy(tree, dir, object)? {
            Ok(()) => report.copied += 1,
            Err(why) => {
                report.lacking.push(|| Finding { path: bytes(&below(dir, &object.name)), why });
            }
        }
    }
    Ok(!linked.is_empty())
}

fn copy(tree: &mut dyn Tree, dir: &str, file: &Object) -> Result<Result<(), Why>, HostError> {
    let there = tree.children(dir)?;
    let is_free = |name: &String| there.iter().all(|object| object.name != *name);
    let Some(copy) = (0..1000).map(|n| format!(".agentuser-copy.{n}")).find(is_free) else {
        return Ok(Err(Why::Refused("no name is free for a copy".into())));
    };
    let (from, to) = (argument(&file.name), argument(&copy));
    // cp(1): -n never over another file, -p with mode, times, ACL and extended attributes.
    let mut done = run(tree, dir, Program::Cp, &["-n", "-p", "--", &from, &to])?;
    if done.is_ok() {
        let now = tree.children(dir)?;
        let is =
            |name: &str, inode: u64| now.iter().any(|object| object.name == name && object.inode == inode);
        let copied = now.iter().find(|object| object.name == copy);
        done = if copied.is_some_and(|copied| copied.links == 1) && is(&file.name, file.inode) {
            run(tree, dir, Program::Mv, &["-f", "--", &to, &from])?
        } else {
            Err(Why::Replaced)
        };
    }
    if done.is_err() {
        // As far as it goes; the first failure tells more.
        let _ = run(tree, dir, Program::Rm, &["-f", "--", &to])?;
    }
    Ok(done)
}

fn run(
    tree: &mut dyn Tree,
    dir: &str,
    program: Program,
    args: &[&str],
) -> Result<Result<(), Why>, HostError> {
    let output = tree.change(dir, &Command::new(program, args.iter().map(|arg| (*arg).to_owned())))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().escape_debug().to_string();
    Ok(if output.status.success() { Ok(()) } else { Err(Why::Refused(said)) })
}
