//! Gathers the facts of a Mac for the planner.

use super::{
    super::{Command, HostError, Observe, Program, catalog, known, users},
    volumes,
};
use crate::{
    formats::{dscl, sudoers},
    model::facts::{Facts, Mac},
    policy::Policy,
};
use std::{
    fs,
    io::{self, ErrorKind},
    net::{Ipv4Addr, TcpListener, UdpSocket},
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
        nonce: known::nonce()?,
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
                facts.dirs.entry(dir).or_insert_with_key(known::directory);
            }
            let why = volumes::why_unfit(&project.path);
            unfit.unfit_volumes.extend(why.map(|why| (project.path.clone(), why)));
        }
    }
    facts.mac = Some(unfit);
    facts.agents = known::agents(policy, machine)?;
    if known::wants_a_port(policy, &facts) {
        let in_use = (1..1024).filter(|port| {
            let is_taken =
                |bound: io::Result<()>| bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
            let at = (Ipv4Addr::LOCALHOST, *port);
            is_taken(UdpSocket::bind(at).map(drop)) || is_taken(TcpListener::bind(at).map(drop))
        });
        facts.service_ports = known::named_ports().into_iter().chain(in_use).collect();
    }
    Ok(facts)
}

fn list(path: &str, attribute: &str) -> Result<String, HostError> {
    let command = Command::new(Program::Dscl, [".", "-list", path, attribute]);
    let output = command.output()?;
    let output = command.expect_success(output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
