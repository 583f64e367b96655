//! Policy and facts to the desired state of one agent: every name resolved, every default filled in.

mod error;
mod ids;
mod mac;
mod network;
mod view;

pub use error::DesireError;
pub use network::firewall;

use crate::{
    host::places,
    model::{
        AbsPath, AccountName, Uid,
        desired::{Access, Desired, Firewall, Owner, SharedDir},
        facts::Facts,
    },
    policy,
    presets::Expansion,
};
use ids::ids;
use mac::{refuse_what_linux_has, shell};
use network::{firewall_of, gate, generation};
use view::{refuse_limits, view};

/// Names that directories of the state have.
const RESERVED: [&str; 2] = ["machine", "root"];

/// An agent's part of the policy in canonical form: what is kept as put in force, and compared at each launch.
pub fn own_part(name: &AccountName, agent: &policy::Agent) -> String {
    policy::render(&policy::Policy::new([(name.clone(), agent.clone())].into()))
}

/// The home of an agent on this system.
pub fn home(name: &AccountName) -> AbsPath {
    AbsPath::fixed(places::HOMES).join(name.as_str())
}

/// The desired state of one agent.
pub fn desire(policy: &policy::Policy, name: &AccountName, facts: &Facts) -> Result<Desired, DesireError> {
    let agent = policy.agents.get(name).ok_or_else(|| DesireError::NoAgent(name.clone()))?;
    if RESERVED.contains(&name.as_str()) {
        return Err(DesireError::Reserved(name.clone()));
    }
    let human = owner(agent.human.as_str(), name, facts)?;
    let (uid, gid, marker) = ids(name, &human.name, policy, facts)?;
    for group in &agent.groups {
        if !facts.groups.contains(group) {
            return Err(DesireError::NoGroup { agent: name.clone(), group: group.clone() });
        }
    }
    let view = view(name, agent, facts)?;
    let mut projects = Vec::new();
    let mut traverse = Vec::new();
    for project in &agent.projects {
        refuse_shared_twice(policy, name, &project.path)?;
        if let Some(why) = facts.mac.as_ref().and_then(|mac| mac.unfit_volumes.get(&project.path)) {
            return Err(DesireError::Project { path: project.path.clone(), why: why.clone() });
        }
        let mut way = Vec::new();
        parents(&project.path, &human, facts, &mut way)?;
        // Root shows what it maps; nobody has to find the way there.
        if !view.maps(&project.path) {
            traverse.append(&mut way);
        }
        let access = match project.access {
            policy::Access::ReadWrite => Access::ReadWrite,
            policy::Access::ReadOnly => Access::ReadOnly,
        };
        let deploy_key = match project.deploy_key {
            policy::DeployKey::None => None,
            policy::DeployKey::ReadOnly => Some(Access::ReadOnly),
            policy::DeployKey::ReadWrite => Some(Access::ReadWrite),
        };
        projects.push(SharedDir { path: project.path.clone(), access, deploy_key });
    }
    traverse.sort();
    traverse.dedup();
    let open = Expansion::of(&agent.network, name, &facts.catalog)
        .map_err(|source| DesireError::Network { agent: name.clone(), source })?;
    let ranges =
        [name.to_string(), uid.to_string()].into_iter().filter_map(|owner| facts.sub_uids.get(&owner));
    let sub_uids = ranges.flatten().copied().collect();
    let firewall = firewall_of(uid, sub_uids, &agent.network, &open, facts);
    let seatbelt = agent.confine.seatbelt == Some(true);
    if facts.mac.is_some() {
        refuse_what_linux_has(name, agent)?;
    } else if seatbelt {
        return Err(DesireError::NoSeatbelt(name.clone()));
    }
    let gate = gate(policy, name, facts)?;
    refuse_limits(name, &agent.limits, &view, facts)?;
    let generation = generation(&firewall, facts.agents.get(name));
    Ok(Desired {
        uid,
        gid,
        marker,
        home: AbsPath::fixed(if facts.mac.is_some() { places::mac::HOMES } else { places::HOMES })
            .join(name.as_str()),
        policy: own_part(name, agent),
        shell: shell(agent, facts),
        groups: agent.groups.clone(),
        human,
        projects,
        view,
        seatbelt,
        traverse,
        firewall: Firewall { gate, generation, ..firewall },
        name: name.clone(),
    })
}

fn owner(human: &str, agent: &AccountName, facts: &Facts) -> Result<Owner, DesireError> {
    let Some(person) = facts.humans.get(human) else {
        return Err(DesireError::NoHuman { agent: agent.clone(), human: human.into() });
    };
    let unfit = |why: String| DesireError::UnfitHuman { agent: agent.clone(), human: human.into(), why };
    if person.uid == Uid(0) {
        return Err(unfit(
            "root needs no agent to become; set it up for the account that you work with".into(),
        ));
    }
    let home = person.home.parse().map_err(|error| unfit(format!("its home: {error}")))?;
    Ok(Owner { name: person.name.clone(), uid: person.uid, gid: person.gid, home })
}

/// Two agents in one tree would each take the entries of the human with them that the other still needs.
fn refuse_shared_twice(
    policy: &policy::Policy,
    name: &AccountName,
    path: &AbsPath,
) -> Result<(), DesireError> {
    for (other, agent) in policy.agents.iter().filter(|(other, _)| *other != name) {
        let overlaps =
            |project: &&policy::Project| path.is_within(&project.path) || project.path.is_within(path);
        if let Some(project) = agent.projects.iter().find(overlaps) {
            let why = format!(
                "it overlaps with `{}` of agent `{other}`; a directory can have one agent",
                project.path
            );
            return Err(DesireError::Project { path: path.clone(), why });
        }
    }
    Ok(())
}

/// Adds those parents of a project that need an entry for the agent to pass: the human's own. A closed parent of somebody
/// else's is refused, for its owner did not ask for this.
fn parents(
    path: &AbsPath,
    human: &Owner,
    facts: &Facts,
    traverse: &mut Vec<AbsPath>,
) -> Result<(), DesireError> {
    let bad = |why: String| DesireError::Project { path: path.clone(), why };
    let fact = |dir: &AbsPath| {
        facts
            .dirs
            .get(dir)
            .copied()
            .flatten()
            .ok_or_else(|| bad(format!("`{dir}` is not a directory, or a symbolic link")))
    };
    if path.is_within(&human.home) && *path == human.home {
        return Err(bad("it is a home directory; share a directory inside it".into()));
    }
    let root = fact(path)?;
    if root.owner != human.uid {
        return Err(bad(format!("it belongs to uid {}, not to {}", root.owner, human.name)));
    }
    for dir in path.ancestors() {
        let parent = fact(&dir)?;
        if parent.owner == human.uid {
            traverse.push(dir);
        } else if parent.mode & 0o001 == 0 {
            return Err(bad(format!("`{dir}` belongs to uid {} and lets nobody else through", parent.owner)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Gid,
        desired::Names,
        facts::{KnownAgent, Person},
    };

    fn uids(facts: &Facts) -> Vec<u32> {
        let policy = "version: 1\nagents:\n  bot:\n    human: ann\n  two:\n    human: ann\n";
        let policy = policy::parse(policy, "p").unwrap();
        let uid = |name: &AccountName| desire(&policy, name, facts).unwrap().uid.0;
        policy.agents.keys().map(uid).collect()
    }

    fn facts() -> Facts {
        let ann = Person {
            name: "ann".into(),
            uid: Uid(1000),
            gid: Gid(1000),
            home: "/home/ann".into(),
            gecos: String::new(),
            shell: "/bin/sh".into(),
        };
        Facts { humans: [("ann".into(), ann)].into(), uids: [999].into(), ..Facts::default() }
    }

    #[test]
    fn agents_that_are_new_together_are_not_one() {
        assert_eq!(uids(&facts()), [998, 997]);
    }

    #[test]
    fn every_gate_has_a_port_of_its_own_and_keeps_it() {
        let policy = "version: 1\nagents:\n  bot: {human: ann, network: {dns: gate}}\n  eve: {human: ann}\n  \
                      two: {human: ann, network: {dns: gate}}\n";
        let policy = policy::parse(policy, "p").unwrap();
        let ports = |facts: &Facts| {
            let port = |name: &AccountName| desire(&policy, name, facts).unwrap().firewall.gate;
            policy.agents.keys().map(port).collect::<Vec<_>>()
        };
        let mut facts = Facts { service_ports: [1023].into(), nft: true, ..facts() };
        assert_eq!(ports(&facts), [Some(1022), None, Some(1021)]);
        let two: AccountName = "two".parse().unwrap();
        let firewall = Some(desire(&policy, &two, &facts).unwrap().firewall);
        facts
            .agents
            .insert(two, KnownAgent { uid: Uid(990), gid: Gid(990), marker: String::new(), firewall });
        // Its gate listens there now.
        facts.service_ports.insert(1021);
        assert_eq!(ports(&facts), [Some(1022), None, Some(1021)]);
    }

    #[test]
    fn other_names_are_another_generation() {
        let names = |name: &str| {
            let ports = "443".parse().into_iter().collect();
            Firewall {
                names: vec![Names { ports, names: vec![name.into()] }],
                ..firewall(Uid(9), vec![], &policy::Network::default())
            }
        };
        let old = Firewall { generation: 63, ..names("a.example") };
        let known = KnownAgent { uid: Uid(9), gid: Gid(9), marker: String::new(), firewall: Some(old) };
        assert_eq!(generation(&names("a.example"), Some(&known)), 63);
        assert_eq!(generation(&names("b.example"), Some(&known)), 0);
        assert_eq!(generation(&names("b.example"), None), 0);
    }

    #[test]
    fn every_agent_has_a_mark_of_its_own() {
        let mut facts = facts();
        let old =
            KnownAgent { uid: Uid(998 - 64), gid: Gid(998 - 64), marker: String::new(), firewall: None };
        facts.agents.insert("two".parse().unwrap(), old);
        assert_eq!(uids(&facts), [997, 934]);
    }
}
