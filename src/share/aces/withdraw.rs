//! Taking the entries off, and putting back what was there before.

use super::{
    AceJob, AcePrior, Aces, Object, PassJob, Tree, Walk, below, bytes, chmod, grant::everything_of,
    inspect::objects, lists, want,
};
use crate::{
    formats::mac_acl::Line,
    host::{HostError, Seen},
    share::{Finding, PassageEnd, Report, Why},
};
use std::collections::{BTreeMap, BTreeSet};

/// Closes a tree or a passage. Files of the agent were handed over before.
pub fn close(job: &Aces, tree: &mut dyn Tree, priors: &[AcePrior]) -> Result<Seen, HostError> {
    Ok(match job {
        Aces::Tree(job) => Seen::Tree(Box::new(revert(job, tree, priors)?)),
        Aces::Root(_) => return super::look(job, tree),
        Aces::Pass(job) => Seen::Closed(shut(job, tree)?),
    })
}

fn revert(job: &AceJob, tree: &mut dyn Tree, priors: &[AcePrior]) -> Result<Report, HostError> {
    let priors: BTreeMap<u64, &AcePrior> = priors.iter().rev().map(|prior| (prior.inode, prior)).collect();
    let mut used = BTreeSet::new();
    let mut report = Report::default();
    let mut walk = Walk::new();
    while let Some(dir) = walk.next() {
        let objects = objects(job, tree, &dir, &mut report)?;
        let lists = lists(tree, &dir, &objects.iter().collect::<Vec<_>>())?;
        let mut both = Vec::new();
        for object in &objects {
            let Some(lines) = lists.get(&object.inode) else { continue };
            report.agent_owned += u64::from(object.owner == job.agent.uid);
            if object.owner != tree.account() {
                continue;
            }
            match priors.get(&object.inode) {
                Some(prior) => {
                    used.insert(object.inode);
                    restore(job, tree, &dir, object, lines, prior, &mut report)?;
                }
                // Without a record nothing was here before ours. The agent's entry comes first and goes last: where it is
                // not, an entry of the human's is the human's own.
                None if want::has_agent(&job.agent.name, lines) => both.push((object, lines)),
                None => report.already += 1,
            }
        }
        for party in [&job.human, &job.agent] {
            let who = format!("user:{}", party.name);
            let has = |lines: &&Vec<Line>| {
                lines.iter().filter_map(|line| line.ace.as_ref()).any(|ace| ace.who == who)
            };
            let names: Vec<_> =
                both.iter().filter(|(_, lines)| has(lines)).map(|(object, _)| object.name.clone()).collect();
            for (batch, said) in chmod(tree, &dir, &["-a", &everything_of(&party.name)], &names, "")? {
                lacking(&dir, &batch, &said, &mut report);
            }
        }
        report.changed += both.len() as u64;
        walk.enter(&dir, &objects);
    }
    let unused =
        priors.iter().filter(|(inode, _)| !used.contains(inode)).map(|(_, prior)| prior.path.clone());
    unused.for_each(|path| report.record_unused.push(|| path));
    Ok(report)
}

fn lacking(dir: &str, names: &[String], said: &str, report: &mut Report) {
    for name in names {
        let why = Why::Refused(said.to_owned());
        report.lacking.push(|| Finding { path: bytes(&below(dir, name)), why });
    }
}

/// Puts back the ACL of before, or, where somebody changed it since, takes off only what is the agent's.
fn restore(
    job: &AceJob,
    tree: &mut dyn Tree,
    dir: &str,
    object: &Object,
    lines: &[Line],
    prior: &AcePrior,
    report: &mut Report,
) -> Result<(), HostError> {
    let name = [object.name.clone()];
    // chmod merges our entry of the human's into one that was there, so the human's own lines tell nothing.
    let who = [&job.agent, &job.human].map(|party| format!("user:{}", party.name));
    let of_others = |text: &&str| {
        !who.iter().any(|who| text.strip_prefix(who.as_str()).is_some_and(|rest| rest.starts_with(' ')))
    };
    let now: Vec<&str> = lines.iter().map(|line| line.text.as_str()).filter(of_others).collect();
    let was: Vec<&str> = prior.lines.iter().map(String::as_str).filter(of_others).collect();
    let failed = if now == was {
        let text: String = prior.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        chmod(tree, dir, &["-E"], &name, &text)?
    } else {
        report.altered.push(|| bytes(&below(dir, &object.name)));
        if !want::has_agent(&job.agent.name, lines) {
            return Ok(());
        }
        chmod(tree, dir, &["-a", &everything_of(&job.agent.name)], &name, "")?
    };
    for (batch, said) in failed {
        lacking(dir, &batch, &said, report);
    }
    report.changed += 1;
    Ok(())
}

/// The account is younger than whatever else is on the directory, so its entries are ours, and nothing else is.
fn shut(job: &PassJob, tree: &mut dyn Tree) -> Result<PassageEnd, HostError> {
    let dir = tree.itself("")?;
    let lists = lists(tree, "", &[&dir])?;
    if !lists.get(&dir.inode).is_some_and(|lines| want::has_agent(job.agent.as_str(), lines)) {
        return Ok(PassageEnd::Nothing);
    }
    let failed = chmod(tree, "", &["-a", &everything_of(job.agent.as_str())], &[".".to_owned()], "")?;
    match failed.into_iter().next() {
        Some((_, said)) => {
            Err(HostError::Unexpected { path: job.dir.to_string(), is: format!("keeps the entry: {said}") })
        }
        None => Ok(PassageEnd::Restored),
    }
}
