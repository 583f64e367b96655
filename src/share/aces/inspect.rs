//! Comparing a tree with what it should have.

use super::{AceJob, Aces, Object, PassJob, Tree, Walk, below, bytes, is_inside, lists, names_inside, want};
use crate::{
    formats::mac_acl::{Ace, Bits},
    host::{HostError, Seen},
    share::{Finding, Passage, Report, Why},
};

/// How a tree, its root, or a passage is. Nothing is changed.
pub fn look(job: &Aces, tree: &dyn Tree) -> Result<Seen, HostError> {
    Ok(match job {
        Aces::Tree(job) => Seen::Tree(Box::new(check(job, tree)?)),
        Aces::Root(job) => Seen::Root(root_is_open(job, tree)?),
        Aces::Pass(job) => Seen::Passage(passage(job, tree)?),
    })
}

/// Whether the root has its entries.
pub(super) fn root_is_open(job: &AceJob, tree: &dyn Tree) -> Result<bool, HostError> {
    let root = tree.itself("")?;
    let lists = lists(tree, "", &[&root])?;
    Ok(lists.get(&root.inode).is_some_and(|lines| want::wanted(job, &root, lines).is_nothing()))
}

/// What `chmod +a` puts on a directory on the way to a project: to pass, not to list, and not inherited.
pub(super) fn pass_entry(job: &PassJob) -> String {
    Ace::allow(job.agent.as_str(), Bits::EXECUTE).text(true)
}

pub(super) fn passage(job: &PassJob, tree: &dyn Tree) -> Result<Passage, HostError> {
    let dir = tree.itself("")?;
    let lists = lists(tree, "", &[&dir])?;
    let who = format!("user:{}", job.agent);
    let lines = lists.get(&dir.inode).map_or(&[][..], Vec::as_slice);
    let passes = |ace: &&Ace| ace.who == who && ace.bits.has(Bits::EXECUTE);
    // The first entry that has the bit decides.
    let first = lines.iter().filter_map(|line| line.ace.as_ref()).find(passes);
    Ok(match first {
        Some(ace) if ace.allow => Passage::Open,
        Some(_) => Passage::Voided,
        None => Passage::Missing,
    })
}

/// All objects of one directory that may be judged: on the root's device, and the human's or the agent's.
pub(super) fn objects(
    job: &AceJob,
    tree: &dyn Tree,
    dir: &str,
    report: &mut Report,
) -> Result<Vec<Object>, HostError> {
    let mut objects = match tree.children(dir) {
        Ok(objects) => objects,
        Err(error) if error.is_permission() => {
            report.lacking.push(|| Finding { path: bytes(dir), why: Why::Unreadable });
            return Ok(vec![]);
        }
        // It went away.
        Err(HostError::Path { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            report.gone += 1;
            return Ok(vec![]);
        }
        Err(error) => return Err(error),
    };
    if dir.is_empty() {
        objects.insert(0, tree.itself("")?);
    }
    objects.retain(|object| {
        report.objects += 1;
        let path = || bytes(&below(dir, &object.name));
        let known = [job.human.uid, job.agent.uid].contains(&object.owner);
        if !object.same_device {
            report.other_device.push(path);
        } else if !known {
            report.foreign_owner.push(path);
        }
        object.same_device && known
    });
    Ok(objects)
}

/// What a pass over the whole tree finds lacking.
pub(super) fn check(job: &AceJob, tree: &dyn Tree) -> Result<Report, HostError> {
    let mut report = Report::default();
    let names = names_inside(tree);
    let mut walk = Walk::new();
    while let Some(dir) = walk.next() {
        let objects = objects(job, tree, &dir, &mut report)?;
        let lists = lists(tree, &dir, &objects.iter().collect::<Vec<_>>())?;
        for object in &objects {
            let path = || bytes(&below(&dir, &object.name));
            // Gone between the two looks.
            let Some(lines) = lists.get(&object.inode) else { continue };
            if !is_inside(object, &names) {
                report.linked_outside.push(path);
                if want::has_agent(&job.agent.name, lines) {
                    report.lacking.push(|| Finding { path: path(), why: Why::Differs });
                }
                continue;
            }
            let is_agents = object.owner == job.agent.uid;
            report.agent_owned += u64::from(is_agents);
            if want::wanted(job, object, lines).is_nothing() {
                report.already += 1;
            } else if is_agents {
                report.agent_owned_lacking += 1;
            } else {
                let why = if want::concerns(job, lines) { Why::Differs } else { Why::Missing };
                report.lacking.push(|| Finding { path: path(), why });
            }
        }
        walk.enter(&dir, &objects);
    }
    Ok(report)
}
