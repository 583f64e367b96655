//! Policy and facts to the desired state of one agent: every name resolved, every default filled in.

use crate::{
    formats::iptables::mark,
    host::places,
    model::{
        AbsPath, AccountName, Gid, Uid,
        desired::{Access, Desired, Firewall, Inbound, Log, Owner, SharedDir},
        facts::{Facts, KnownAgent, marker},
        view,
    },
    policy,
    presets::{ExpandError, Expansion, expand::grouped, listed},
};
use std::{collections::BTreeSet, ops::RangeInclusive};

/// Addresses at which clouds give out credentials of the machine; refused whatever a policy allows.
const METADATA: [&str; 4] =
    ["169.254.169.254/32", "168.63.129.16/32", "100.100.100.200/32", "fd00:ec2::254/128"];

/// Ports for DNS gates: only root may listen there, so that no agent takes the place of its gate.
const GATES: RangeInclusive<u16> = 600..=1023;

/// Ids of agents on macOS.
const MAC_IDS: crate::model::IdRange = crate::model::IdRange { first: 600, last: 999 };

/// Directories for temporary files, of which the private view has its own.
const PRIVATE_PLACES: [&str; 2] = ["/tmp", "/var/tmp"];

/// Names that directories of the state have.
const RESERVED: [&str; 2] = ["machine", "root"];

/// Why a policy can't be met on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesireError {
    /// The policy names no such agent.
    #[error("the policy has no agent `{0}`")]
    NoAgent(AccountName),
    /// A name that agentuser needs for itself.
    #[error("an agent can't be called `{0}`")]
    Reserved(AccountName),
    /// No account of the human's name.
    #[error("`{human}`, the human of agent `{agent}`, has no account on this machine")]
    NoHuman {
        /// The agent.
        agent: AccountName,
        /// The name.
        human: String,
    },
    /// The human is root, or a home that can't be used.
    #[error("`{human}` can't be the human of agent `{agent}`: {why}")]
    UnfitHuman {
        /// The agent.
        agent: AccountName,
        /// The name.
        human: String,
        /// What is wrong.
        why: String,
    },
    /// The range of system accounts is used up.
    #[error(
        "no free uid is left in the range {0} of system accounts (SYS_UID_MIN and SYS_UID_MAX of /etc/login.defs)"
    )]
    NoFreeId(String),
    /// The gate's redirection is in the table of nftables.
    #[error("`dns: gate` needs nft(8): install nftables, or write `dns: system`")]
    GateNeedsNft,
    /// Names are resolved by a service of the system that pf does not see.
    #[error(
        "`dns: gate` can't be given on macOS: names are resolved by mDNSResponder, which no rule of pf ties to the agent; \
         write `dns: system`"
    )]
    NoGate,
    /// What is made of Linux's own means.
    #[error("agent `{agent}`: `{asked}` can't be given on macOS")]
    NotOnMac {
        /// The agent.
        agent: AccountName,
        /// What was asked for.
        asked: String,
    },
    /// Every port for a DNS gate is taken.
    #[error("no port from {} to {} is free for a DNS gate", GATES.start(), GATES.end())]
    NoFreePort,
    /// A group of the policy does not exist.
    #[error("group `{group}` of agent `{agent}` does not exist on this machine")]
    NoGroup {
        /// The agent.
        agent: AccountName,
        /// The group.
        group: String,
    },
    /// A project can't be shared.
    #[error("project `{path}`: {why}")]
    Project {
        /// The project.
        path: AbsPath,
        /// What is wrong with it.
        why: String,
    },
    /// What the network policy opens can't be put in force.
    #[error("agent `{agent}`: {source}")]
    Network {
        /// The agent.
        agent: AccountName,
        /// The entry and what is wrong with it.
        source: ExpandError,
    },
    /// What was asked for by name needs a private view or a control group, which the kernel does not carry.
    #[error("agent `{agent}`: `{asked}` can't be given here: {why}")]
    NoPrivateView {
        /// The agent.
        agent: AccountName,
        /// What was asked for.
        asked: &'static str,
        /// Why not.
        why: String,
    },
    /// The service that starts programs at set times names the agent among those whom it lets in.
    #[error("`{0}` lists `{1}`: take it out, then set up again")]
    AllowedElsewhere(AbsPath, AccountName),
}

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
    if facts.mac.is_some() {
        refuse_what_linux_has(name, agent)?;
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
        traverse,
        firewall: Firewall { gate, generation, ..firewall },
        name: name.clone(),
    })
}

/// The shell that the policy names. Where it names none, a Mac gives what it gives to everybody: its bash is of 2007.
fn shell(agent: &policy::Agent, facts: &Facts) -> AbsPath {
    let is_default = agent.shell == policy::Agent::new(agent.human.clone()).shell;
    if facts.mac.is_some() && is_default { AbsPath::fixed("/bin/zsh") } else { agent.shell.clone() }
}

/// What is made of Linux's own means, or not made on macOS yet, is refused where it is asked for by name: confinement, limits
/// that `enter` would set, and domains and the hosts of tools, whose addresses nobody looks up here.
fn refuse_what_linux_has(name: &AccountName, agent: &policy::Agent) -> Result<(), DesireError> {
    let (confine, limits) = (&agent.confine, &agent.limits);
    let set = [("limits.processes", limits.processes), ("limits.open-files", limits.open_files)];
    let set = set.into_iter().filter(|(_, limit)| limit.is_some()).map(|(key, _)| key.to_owned());
    let by_name = |entry: &policy::Allow| match entry {
        policy::Allow::Domain { name, .. } => Some(format!("domain: {name}")),
        // Its hosts are names in the configuration of a tool.
        policy::Allow::Preset { name, .. } if listed::tool(*name).is_some() => {
            Some(format!("preset: {name}"))
        }
        _ => None,
    };
    let lists = [("read", &confine.read), ("write", &confine.write)];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(key, _)| key);
    let lines = policy::Line::ALL.into_iter().filter(|line| confine.demands(*line)).map(policy::Line::key);
    let confined = lines.chain(lists).map(|key| format!("confine.{key}"));
    match confined.chain(set).chain(agent.network.allow.iter().filter_map(by_name)).next() {
        Some(asked) => Err(DesireError::NotOnMac { agent: name.clone(), asked }),
        None => Ok(()),
    }
}

/// Limits that root has to put in force need a control group, and root's half of a launch to join it.
fn refuse_limits(
    name: &AccountName,
    limits: &policy::Limits,
    view: &view::View,
    facts: &Facts,
) -> Result<(), DesireError> {
    let asked = match (limits.memory, limits.cpus) {
        (None, None) => return Ok(()),
        (Some(_), _) => "limits.memory",
        (None, Some(_)) => "limits.cpus",
    };
    let why = match (&view.private, &facts.no_cgroup) {
        (Some(_), None) => return Ok(()),
        (Some(_), Some(why)) => why.clone(),
        (None, _) => "it needs `view: private`".into(),
    };
    Err(DesireError::NoPrivateView { agent: name.clone(), asked, why })
}

/// The view that the policy asks for, or else the best that the kernel carries. What only a private view can give is refused
/// where it is asked for by name and can't be had.
fn view(name: &AccountName, agent: &policy::Agent, facts: &Facts) -> Result<view::View, DesireError> {
    let no = |asked, why: &str| DesireError::NoPrivateView { agent: name.clone(), asked, why: why.into() };
    let why = match (agent.view, &facts.no_private_view) {
        (Some(policy::View::Plain), _) => Some("it needs `view: private`"),
        (Some(policy::View::Private), Some(why)) => return Err(no("view: private", why)),
        (None, Some(why)) => Some(why.as_str()),
        (_, None) => None,
    };
    if let Some(why) = why {
        if agent.confine.private_tmp == Some(true) {
            return Err(no("confine.private-tmp: true", why));
        }
        if agent.projects.iter().any(|project| project.git == Some(policy::Git::Guard)) {
            return Err(no("git: guard", why));
        }
        let wants_mount = agent.sharing == policy::Sharing::Mount;
        if wants_mount && agent.view.is_some() {
            return Err(no("sharing: mount", why));
        }
        let not_mapped = |project: &policy::Project| (project.path.clone(), why.to_owned());
        return Ok(view::View {
            version: 1,
            private: None,
            why: agent.view.is_none().then(|| why.to_owned()),
            not_mapped: agent.projects.iter().filter(|_| wants_mount).map(not_mapped).collect(),
        });
    }
    let tmp = agent.confine.private_tmp != Some(false);
    let seen = |project: &policy::Project| {
        let writable = project.access == policy::Access::ReadWrite;
        let guarded = writable && project.git != Some(policy::Git::Open);
        let mapped =
            agent.sharing == policy::Sharing::Mount && !facts.not_mappable.contains_key(&project.path);
        view::Seen { path: project.path.clone(), writable, guarded, mapped }
    };
    let projects: Vec<_> = agent.projects.iter().map(seen).collect();
    for project in &projects {
        let hidden = PRIVATE_PLACES.iter().find(|place| project.path.is_within(&AbsPath::fixed(place)));
        if let Some(place) = hidden.filter(|_| tmp) {
            let why = format!(
                "each account has a {place} of its own in the private view; move it, or write \
                 `private-tmp: false` under `confine`"
            );
            return Err(DesireError::Project { path: project.path.clone(), why });
        }
    }
    let not_mapped = projects.iter().filter_map(|seen| facts.not_mappable.get_key_value(&seen.path));
    let not_mapped = not_mapped.map(|(path, why)| (path.clone(), why.clone())).collect();
    let private = view::Private { groups: agent.groups.clone(), tmp, projects };
    Ok(view::View { version: 1, private: Some(private), why: None, not_mapped })
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

/// The ids and the marker of an agent that is set up already, or new ones: the highest id that is free as both uid and
/// gid, as useradd(8) picks for system accounts, and that gives the agent a connection mark of its own. Agents of one
/// policy that are new together are served in the order of their names.
fn ids(
    name: &AccountName,
    human: &str,
    policy: &policy::Policy,
    facts: &Facts,
) -> Result<(Uid, Gid, String), DesireError> {
    if let Some(known) = facts.agents.get(name) {
        return Ok((known.uid, known.gid, known.marker.clone()));
    }
    if facts.mac.is_some() {
        let id = mac_id(name, policy, facts).ok_or_else(|| DesireError::NoFreeId(MAC_IDS.to_string()))?;
        return Ok((Uid(id), Gid(id), marker(name, human, &facts.nonce)));
    }
    let range = facts.system_ids.unwrap_or(crate::model::IdRange { first: 101, last: 999 });
    let mut taken: BTreeSet<u32> = facts.uids.union(&facts.gids).copied().collect();
    taken.extend(facts.agents.values().flat_map(|agent| [agent.uid.0, agent.gid.0]));
    let mut marks: BTreeSet<u32> = facts.agents.values().map(|agent| mark(agent.uid)).collect();
    let mut next = || {
        let free = |id: &u32| !taken.contains(id);
        let of_its_own = |id: &u32| free(id) && !marks.contains(&mark(Uid(*id)));
        let mut ids = (range.first..=range.last).rev();
        let id = ids.clone().find(of_its_own).or_else(|| ids.find(free))?;
        taken.insert(id);
        marks.insert(mark(Uid(id)));
        Some(id)
    };
    let earlier = policy.agents.keys().take_while(|other| *other != name);
    for _ in earlier.filter(|other| !facts.agents.contains_key(*other)) {
        next();
    }
    let id = next().ok_or_else(|| DesireError::NoFreeId(range.to_string()))?;
    Ok((Uid(id), Gid(id), marker(name, human, &facts.nonce)))
}

/// On macOS the lowest id from 600 that is free as both: people begin at 501, and what is below 500 is Apple's. Agents of one
/// policy that are new together are served in the order of their names.
fn mac_id(name: &AccountName, policy: &policy::Policy, facts: &Facts) -> Option<u32> {
    let known = facts.agents.values().flat_map(|agent| [agent.uid.0, agent.gid.0]);
    let taken: BTreeSet<u32> = facts.uids.union(&facts.gids).copied().chain(known).collect();
    let earlier = policy.agents.keys().take_while(|other| *other != name);
    let earlier = earlier.filter(|other| !facts.agents.contains_key(*other)).count();
    (MAC_IDS.first..=MAC_IDS.last).filter(|id| !taken.contains(id)).nth(earlier)
}

/// The port of an agent's DNS gate, where it has one: that which it had, or the highest below 1024 that nobody else has.
/// Agents of one policy that are new together are served in the order of their names.
fn gate(policy: &policy::Policy, name: &AccountName, facts: &Facts) -> Result<Option<u16>, DesireError> {
    let had = |name: &AccountName| facts.agents.get(name)?.firewall.as_ref()?.gate;
    let of_others = facts.agents.keys().filter(|other| *other != name).filter_map(had);
    let mut taken: BTreeSet<u16> = of_others.collect();
    let gated = policy.agents.iter().filter(|(_, agent)| agent.network.dns == policy::Dns::Gate);
    if facts.mac.is_some() && policy.agents[name].network.dns == policy::Dns::Gate {
        return Err(DesireError::NoGate);
    }
    if !facts.nft && policy.agents[name].network.dns == policy::Dns::Gate {
        return Err(DesireError::GateNeedsNft);
    }
    for (agent, _) in gated.take_while(|(agent, _)| *agent <= name) {
        let free = |port: &u16| !taken.contains(port) && !facts.service_ports.contains(port);
        let port = had(agent).or_else(|| GATES.rev().find(free)).ok_or(DesireError::NoFreePort)?;
        if agent == name {
            return Ok(Some(port));
        }
        taken.insert(port);
    }
    Ok(None)
}

/// The mark of flows to names: that of before for the same names, else the next.
fn generation(firewall: &Firewall, known: Option<&KnownAgent>) -> u8 {
    match known.and_then(|known| known.firewall.as_ref()) {
        Some(old) if old.names == firewall.names => old.generation,
        Some(old) => (old.generation + 1) % 64,
        None => 0,
    }
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

/// The network policy in numbers, as far as the policy itself says it: without presets and names.
pub fn firewall(uid: Uid, sub_uids: Vec<crate::model::IdRange>, network: &policy::Network) -> Firewall {
    firewall_of(uid, sub_uids, network, &Expansion::of_numbers(network), &Facts::default())
}

/// The network policy in numbers. Entries with the same ports become one list.
fn firewall_of(
    uid: Uid,
    sub_uids: Vec<crate::model::IdRange>,
    network: &policy::Network,
    open: &Expansion,
    facts: &Facts,
) -> Firewall {
    let metadata = METADATA.iter().filter_map(|net| net.parse().ok()).map(|net| (None, net));
    let denied = network.deny.iter().map(|deny| (deny.ports.clone(), deny.net));
    let resolvers = if network.dns == policy::Dns::System { facts.catalog.resolvers.clone() } else { vec![] };
    Firewall {
        uid,
        sub_uids,
        outbound_allowed: network.outbound == policy::Outbound::Allow,
        inbound: match network.inbound {
            policy::Inbound::None => Inbound::None,
            policy::Inbound::Loopback => Inbound::Loopback,
            policy::Inbound::Any => Inbound::Any,
        },
        deny: grouped(metadata.chain(denied)),
        allow: open.nets(),
        loopback: open.loopback(),
        names: open.names(),
        gate: None,
        generation: 0,
        resolvers,
        log: match network.log {
            policy::Log::None => Log::None,
            policy::Log::Blocked => Log::Blocked,
            policy::Log::All => Log::All,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{desired::Names, facts::Person};

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
