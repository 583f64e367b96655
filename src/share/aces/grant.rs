//! Giving a tree its entries.

use super::{
    AceJob, AcePrior, Aces, Object, PassJob, Tree, Walk, below, breaking, bytes, chmod,
    inspect::{self, objects, pass_entry, passage},
    is_inside, lists, names_inside,
    want::{self, Wanted},
};
use crate::{
    formats::mac_acl::{Ace, Bits, Line},
    host::{HostError, Seen},
    share::{Finding, Passage, Report, Why},
};
use std::collections::BTreeMap;

/// Opens a tree or a passage. What had an ACL before is kept first, each object before its first change.
pub fn open(job: &Aces, tree: &mut dyn Tree, known: &[AcePrior]) -> Result<Seen, HostError> {
    Ok(match job {
        Aces::Tree(job) => Seen::Tree(Box::new(grant(job, tree, known)?)),
        Aces::Root(_) => return super::look(job, tree),
        Aces::Pass(job) => Seen::Passage(pass(job, tree)?),
    })
}

/// Every entry of an account that allows, taken off at once: chmod(1) pays no heed to flags there, and drops an entry with its
/// last permission.
pub fn everything_of(account: &str) -> String {
    Ace::allow(account, Bits::ALL).text(false)
}

fn grant(job: &AceJob, tree: &mut dyn Tree, known: &[AcePrior]) -> Result<Report, HostError> {
    let mut report = Report::default();
    let names = names_inside(tree);
    let mut walk = Walk::new();
    // A directory before what is in it: what is made there from now on has the entries from its beginning.
    while let Some(dir) = walk.next() {
        let mut objects = objects(job, tree, &dir, &mut report)?;
        if breaking::replace_by_copies(job, tree, &dir, &objects, &names, &mut report)? {
            // Copies are other objects.
            objects = inspect::objects(job, tree, &dir, &mut Report::default())?;
        }
        let lists = lists(tree, &dir, &objects.iter().collect::<Vec<_>>())?;
        let mut tasks: BTreeMap<Wanted, Vec<&Object>> = BTreeMap::new();
        for object in &objects {
            let path = || bytes(&below(&dir, &object.name));
            let Some(lines) = lists.get(&object.inode) else { continue };
            let is_agents = object.owner == job.agent.uid;
            report.agent_owned += u64::from(is_agents);
            let mut wanted = want::wanted(job, object, lines);
            if !is_inside(object, &names) {
                report.linked_outside.push(path);
                // An entry that a name inside inherited holds for the names outside, too.
                let clear = want::has_agent(&job.agent.name, lines).then(|| job.agent.name.clone());
                wanted = Wanted { clear: clear.into_iter().collect(), add: vec![] };
            }
            if wanted.is_nothing() {
                report.already += 1;
            } else if object.owner == tree.account() {
                tasks.entry(wanted).or_default().push(object);
            } else if is_agents {
                report.agent_owned_lacking += 1;
            } else {
                report.human_owned += 1;
            }
        }
        for (wanted, objects) in tasks {
            keep(job, tree, &dir, &objects, &lists, known, &mut report)?;
            give(tree, &dir, &wanted, &objects, &mut report)?;
        }
        walk.enter(&dir, &objects);
    }
    Ok(report)
}

/// Keeps the ACLs of objects that have one which is not of our making.
fn keep(
    job: &AceJob,
    tree: &mut dyn Tree,
    dir: &str,
    objects: &[&Object],
    lists: &BTreeMap<u64, Vec<Line>>,
    known: &[AcePrior],
    report: &mut Report,
) -> Result<(), HostError> {
    let is_known = |object: &Object| known.iter().any(|prior| prior.inode == object.inode);
    let had = |object: &&&Object| {
        let lines = &lists[&object.inode];
        // An object that has an entry of the agent's was ours before: what else it has came later.
        !lines.is_empty() && !is_known(object) && !want::has_agent(&job.agent.name, lines)
    };
    let prior = |object: &&Object| AcePrior {
        path: bytes(&below(dir, &object.name)),
        inode: object.inode,
        lines: lists[&object.inode].iter().map(|line| line.text.clone()).collect(),
    };
    let priors: Vec<_> = objects.iter().filter(had).map(prior).collect();
    if priors.is_empty() {
        return Ok(());
    }
    report.recorded += priors.len() as u64;
    tree.keep(&priors)
}

fn give(
    tree: &mut dyn Tree,
    dir: &str,
    wanted: &Wanted,
    objects: &[&Object],
    report: &mut Report,
) -> Result<(), HostError> {
    let names: Vec<_> = objects.iter().map(|object| object.name.clone()).collect();
    let mut refused: BTreeMap<String, String> = BTreeMap::new();
    let clear = wanted.clear.iter().map(|account| ("-a", everything_of(account)));
    let add = wanted.add.iter().map(|entry| ("+a", entry.clone()));
    for (how, entry) in clear.chain(add) {
        for (batch, said) in chmod(tree, dir, &[how, &entry], &names, "")? {
            refused.extend(batch.into_iter().map(|name| (name, said.clone())));
        }
    }
    // One object that chmod refused fails its whole batch; which one it was shows in the entries.
    let refused: Vec<_> = if refused.is_empty() {
        vec![]
    } else {
        let lists = lists(tree, dir, objects)?;
        let is_whole = |object: &Object| {
            let lines = lists.get(&object.inode).map_or(&[][..], Vec::as_slice);
            wanted.add.iter().all(|entry| lines.iter().any(|line| line.text == *entry))
        };
        let lacking = objects.iter().filter(|object| !is_whole(object));
        lacking.filter_map(|object| Some((&object.name, refused.get(&object.name)?))).collect()
    };
    report.changed += (objects.len() - refused.len()) as u64;
    for (name, said) in refused {
        let why = Why::Refused(said.clone());
        report.lacking.push(|| Finding { path: bytes(&below(dir, name)), why });
    }
    Ok(())
}

fn pass(job: &PassJob, tree: &mut dyn Tree) -> Result<Passage, HostError> {
    let is = passage(job, tree)?;
    if is == Passage::Open {
        return Ok(is);
    }
    let failed = chmod(tree, "", &["+a", &pass_entry(job)], &[".".to_owned()], "")?;
    match failed.into_iter().next() {
        Some((_, said)) => {
            Err(HostError::Unexpected { path: job.dir.to_string(), is: format!("takes no entry: {said}") })
        }
        None => passage(job, tree),
    }
}
