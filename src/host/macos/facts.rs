//! Gathers the facts of a Mac for the planner.

use super::{
    super::{Command, HostError, Observe, Program, catalog, places, users},
    volumes,
};
use crate::{
    engine::{Receipt, Scope},
    formats::{dscl, sudoers},
    model::{
        AbsPath, AccountName, Uid,
        facts::{DirFact, Facts, KnownAgent, Mac, marker},
    },
    policy::Policy,
    step::AnyStep,
};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
};

/// Programs without which nothing works; all are part of macOS.
const NEEDED: [Program; 8] = [
    Program::Dscl,
    Program::Dseditgroup,
    Program::Chmod,
    Program::Ls,
    Program::Pfctl,
    Program::Launchctl,
    Program::Sudo,
    Program::Visudo,
];

/// The facts that a policy asks for. Without root's rights the agents are told by their accounts, not by receipts.
pub fn facts(policy: &Policy, machine: &dyn Observe) -> Result<Facts, HostError> {
    let users = list("/Users", "UniqueID")?;
    let groups = list("/Groups", "PrimaryGroupID")?;
    let ids = |text: &str| dscl::numbers(text).filter_map(|(_, id)| u32::try_from(id).ok()).collect();
    let sudoers = fs::read_to_string("/etc/sudoers").unwrap_or_default();
    let mut facts = Facts {
        uids: ids(&users),
        gids: ids(&groups),
        groups: dscl::numbers(&groups).map(|(name, _)| name.to_owned()).collect(),
        ipv6: true,
        // Only root reads it.
        sudo_reads_drop_ins: sudoers.is_empty()
            || sudoers::includes_drop_ins(&sudoers)
            || sudoers::includes_drop_ins(&sudoers.replace(" /private/etc/", " /etc/")),
        missing: NEEDED
            .iter()
            .filter(|program| program.path().is_none())
            .map(|p| (p.name(), "macOS"))
            .collect(),
        no_private_view: Some("macOS has no private mounts".into()),
        no_cgroup: Some("macOS has no control groups".into()),
        nonce: nonce()?,
        catalog: catalog::catalog(policy, machine)?,
        mac: Some(Mac::default()),
        ..Facts::default()
    };
    let mut unfit = Mac::default();
    for agent in policy.agents.values() {
        let human = agent.human.as_str();
        if let Some(person) = users::person(human)? {
            facts.humans.insert(human.to_owned(), person);
        }
        for project in &agent.projects {
            for dir in std::iter::once(project.path.clone()).chain(project.path.ancestors()) {
                facts.dirs.entry(dir).or_insert_with_key(look);
            }
            let why = volumes::why_unfit(&project.path);
            unfit.unfit_volumes.extend(why.map(|why| (project.path.clone(), why)));
        }
    }
    facts.mac = Some(unfit);
    for name in known_names(machine, policy)? {
        let human = policy.agents.get(&name).map_or("", |agent| agent.human.as_str());
        if let Some(known) = known(&name, human, machine)? {
            facts.agents.insert(name, known);
        }
    }
    Ok(facts)
}

fn list(path: &str, attribute: &str) -> Result<String, HostError> {
    let command = Command::new(Program::Dscl, [".", "-list", path, attribute]);
    let output = command.output()?;
    let output = command.expect_success(output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a directory on the way to a project is; links are not followed.
fn look(path: &AbsPath) -> Option<DirFact> {
    let is = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir)?;
    Some(DirFact { owner: Uid(is.uid()), mode: is.mode() & 0o7777 })
}

/// Names of agents that have a state directory, and those of the policy.
fn known_names(machine: &dyn Observe, policy: &Policy) -> Result<BTreeSet<AccountName>, HostError> {
    let there = machine.names(&places::fixed(places::STATE))?;
    let there = there.iter().filter(|name| *name != places::machine_state().name());
    Ok(policy.agents.keys().cloned().chain(there.filter_map(|name| name.parse().ok())).collect())
}

/// What a receipt, or without the right to read it the account itself, tells of an agent.
fn known(name: &AccountName, human: &str, machine: &dyn Observe) -> Result<Option<KnownAgent>, HostError> {
    match Receipt::load(&Scope::Agent(name.clone()), machine) {
        Ok(receipt) => {
            let steps = || receipt.entries.iter().map(|entry| &entry.step);
            let firewall = steps().find_map(|step| match step {
                AnyStep::PfAnchor(step) => Some(step.firewall.clone()),
                _ => None,
            });
            let account = receipt.account().map(|step| (step.uid, step.gid, step.marker.clone()));
            // Interrupted after the home and before the account: the id is ours, no marker was used yet.
            let home = steps().find_map(|step| match step {
                AnyStep::Home(home) => Some((home.uid, home.gid)),
                _ => None,
            });
            let fresh = marker(name, human, &nonce()?);
            let known = account.or_else(|| home.map(|(uid, gid)| (uid, gid, fresh)));
            Ok(known.map(|(uid, gid, marker)| KnownAgent { uid, gid, marker, firewall }))
        }
        Err(error) if error.is_permission() => {
            let person = users::person(name.as_str())?;
            let ours = |gecos: &str| gecos.starts_with(&format!("agentuser {name} of "));
            Ok(person.filter(|person| ours(&person.gecos)).map(|person| KnownAgent {
                uid: person.uid,
                gid: person.gid,
                marker: person.gecos,
                firewall: None,
            }))
        }
        Err(error) => Err(error),
    }
}

/// Sixteen hexadecimal digits that nobody can guess.
fn nonce() -> Result<String, HostError> {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| HostError::path("can't read", "/dev/urandom", error))?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}
