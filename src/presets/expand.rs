//! What the entries of a policy's `allow` come to on this machine, each with the entry that opens it.

use super::{listed, ranges};
use crate::{
    model::{
        AccountName, PortRange, PortSet, Protocol,
        catalog::{Catalog, Date, Publisher, ToolHost},
        desired::{Destinations, Names},
    },
    policy::{Allow, Dns, DomainName, GithubPart, Network, Outbound, Parts, PresetName},
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

/// Something that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The entry of `allow` that opens it, by its position.
    pub entry: usize,
    /// What it is.
    pub what: What,
    /// Its ports; `None` is every port of every protocol.
    pub ports: Option<PortSet>,
    /// Where the entry has it from.
    pub from: Origin,
}

/// What is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Networks.
    Nets(Vec<IpNet>),
    /// What a name stands for when it is asked for.
    Name(DomainName),
    /// Services of other accounts of this machine.
    Loopback,
}

/// Where an entry of `allow` has something from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The entry itself says it.
    Policy,
    /// The page of a vendor.
    Page(&'static str),
    /// Published ranges: of whom, the part or region, and their day.
    Ranges(Publisher, String, Date),
    /// The configuration of a tool, accepted by the human.
    Tool {
        /// The tool.
        tool: String,
        /// The setting.
        setting: String,
    },
    /// The addresses that a name had on a day.
    Resolved(DomainName, Date),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy => f.write_str("the policy"),
            Self::Page(page) => f.write_str(page),
            Self::Ranges(publisher, group, date) => {
                write!(f, "ranges `{group}` of {} of {date}", publisher.url())
            }
            Self::Tool { tool, setting } => write!(f, "`{setting}` of {tool}"),
            Self::Resolved(name, date) => write!(f, "{name} as it resolved on {date}"),
        }
    }
}

/// All that is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// What is open, in the order of the policy.
    pub opened: Vec<Opened>,
    /// What a person should know, one line each.
    pub notes: Vec<String>,
}

/// Why entries of `allow` can't be put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A name, and nothing that resolves names.
    #[error("`{entry}` is opened by name, and the policy resolves no names (`dns: none`)")]
    NoResolver {
        /// The entry.
        entry: String,
    },
    /// A region that has no ranges.
    #[error("`{entry}`: AWS publishes no ranges of S3 for the region `{region}`")]
    NoRegion {
        /// The entry.
        entry: String,
        /// The region.
        region: String,
        /// Regions that have ranges.
        known: Vec<String>,
    },
}

impl ExpandError {
    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            Self::NoResolver { .. } => {
                "write `dns: gate` below `network`, which answers for allowed names only; or open networks as `cidr:`"
                    .into()
            }
            Self::NoRegion { known, .. } => format!("the regions are {}", known.join(", ")),
        }
    }
}

/// The group of AWS's ranges that belongs to no region.
const GLOBAL: &str = "GLOBAL";

impl Expansion {
    /// What the policy itself says in numbers, without presets and names.
    pub fn of_numbers(network: &Network) -> Self {
        let mut found = Self::default();
        for (entry, allow) in network.allow.iter().enumerate() {
            found.numbers(entry, allow);
        }
        found
    }

    /// What the policy of an agent comes to.
    pub fn of(network: &Network, agent: &AccountName, catalog: &Catalog) -> Result<Self, ExpandError> {
        let mut found = Self::default();
        let all = All { network, agent, catalog };
        for (entry, allow) in network.allow.iter().enumerate() {
            match allow {
                Allow::Cidr { .. } | Allow::Loopback(_) => found.numbers(entry, allow),
                Allow::Domain { name, ports } => {
                    all.names(&mut found, entry, [(name.clone(), ports.clone(), Origin::Policy)].into())?;
                }
                Allow::Preset { name, parts } => all.preset(&mut found, entry, *name, parts)?,
            }
        }
        Ok(found)
    }

    fn numbers(&mut self, entry: usize, allow: &Allow) {
        let (what, ports) = match allow {
            Allow::Cidr { net, ports } => (What::Nets(vec![*net]), ports.clone()),
            Allow::Loopback(ports) => (What::Loopback, Some(ports.clone())),
            Allow::Preset { .. } | Allow::Domain { .. } => return,
        };
        self.opened.push(Opened { entry, what, ports, from: Origin::Policy });
    }

    /// Networks by their ports.
    pub fn nets(&self) -> Vec<Destinations> {
        let nets = self.opened.iter().filter_map(|opened| match &opened.what {
            What::Nets(nets) => Some((opened.ports.clone(), nets)),
            _ => None,
        });
        grouped(nets.flat_map(|(ports, nets)| nets.iter().map(move |net| (ports.clone(), *net))))
    }

    /// Names by their ports.
    pub fn names(&self) -> Vec<Names> {
        let mut lists: BTreeMap<PortSet, BTreeSet<String>> = BTreeMap::new();
        for opened in &self.opened {
            if let (What::Name(name), Some(ports)) = (&opened.what, &opened.ports) {
                lists.entry(ports.clone()).or_default().insert(name.as_str().into());
            }
        }
        lists.into_iter().map(|(ports, names)| Names { ports, names: names.into_iter().collect() }).collect()
    }

    /// Loopback ports.
    pub fn loopback(&self) -> PortSet {
        let ports = self.opened.iter().filter(|opened| opened.what == What::Loopback);
        ports.filter_map(|opened| opened.ports.as_ref()).flat_map(PortSet::ranges).copied().collect()
    }
}

/// Networks by their ports, aggregated and sorted.
pub fn grouped(entries: impl IntoIterator<Item = (Option<PortSet>, IpNet)>) -> Vec<Destinations> {
    let mut lists: BTreeMap<Option<PortSet>, Vec<IpNet>> = BTreeMap::new();
    for (ports, net) in entries {
        lists.entry(ports).or_default().push(net);
    }
    let sorted = |nets: Vec<IpNet>| {
        let mut nets = IpNet::aggregate(&nets);
        nets.sort();
        nets
    };
    lists.into_iter().map(|(ports, nets)| Destinations { ports, nets: sorted(nets) }).collect()
}

type Named = Vec<(DomainName, PortSet, Origin)>;

/// What an entry is read against.
struct All<'a> {
    network: &'a Network,
    agent: &'a AccountName,
    catalog: &'a Catalog,
}

impl All<'_> {
    fn preset(
        &self,
        found: &mut Expansion,
        entry: usize,
        name: PresetName,
        parts: &Parts,
    ) -> Result<(), ExpandError> {
        let Some(preset) = listed::listed(name) else { return self.tools(found, entry, name) };
        let groups = match preset.ranges {
            Some(publisher) => self.ranges(found, entry, publisher, parts, &preset.ports())?,
            None => vec![],
        };
        let mut names = Named::new();
        for hosts in &preset.hosts {
            let page = || Origin::Page(&hosts.source);
            let wanted = hosts.part.as_ref().is_none_or(|part| groups.contains(part));
            // What S3 is called in China has another end, and is on no page of the list.
            let regions = groups.iter().filter(|group| *group != GLOBAL && !group.starts_with("cn-"));
            let regions: Vec<&str> =
                if hosts.each_region { regions.map(String::as_str).collect() } else { vec![""] };
            for region in regions.into_iter().filter(|_| wanted) {
                names.extend(hosts.names_in(region).map(|name| (name, hosts.ports(), page())));
            }
        }
        // Where the ranges are open, names only have to resolve, which none of the two others needs.
        if preset.ranges.is_some() && self.network.dns != Dns::Gate {
            return Ok(());
        }
        self.names(found, entry, names)
    }

    /// Opens ranges, and answers which groups they were.
    fn ranges(
        &self,
        found: &mut Expansion,
        entry: usize,
        publisher: Publisher,
        parts: &Parts,
        on: &PortSet,
    ) -> Result<Vec<String>, ExpandError> {
        let Some(ranges) = self.catalog.ranges.get(&publisher) else {
            found.notes.push(format!("`{}`: no ranges are known", self.network.allow[entry]));
            return Ok(vec![]);
        };
        let wanted: Vec<String> = match parts {
            Parts::Github(more) => {
                let all: BTreeSet<&str> =
                    GithubPart::ALWAYS.iter().chain(more).map(|part| part.as_str()).collect();
                all.into_iter().map(str::to_owned).collect()
            }
            Parts::Regions(regions) => regions.iter().map(ToString::to_string).collect(),
            Parts::Whole if publisher == Publisher::Github => {
                GithubPart::ALWAYS.iter().map(|part| part.as_str().to_owned()).collect()
            }
            Parts::Whole => ranges.groups.keys().cloned().collect(),
        };
        for group in &wanted {
            if let Some(nets) = ranges.groups.get(group) {
                let what = What::Nets(nets.clone());
                let from = Origin::Ranges(publisher, group.clone(), ranges.date);
                found.opened.push(Opened { entry, what, ports: Some(on.clone()), from });
            } else if publisher == Publisher::Aws {
                let known = ranges.groups.keys().filter(|name| *name != GLOBAL).cloned().collect();
                let entry = self.network.allow[entry].to_string();
                return Err(ExpandError::NoRegion { entry, region: group.clone(), known });
            } else {
                found
                    .notes
                    .push(format!("`{}`: no ranges of `{group}` are known", self.network.allow[entry]));
            }
        }
        Ok(wanted)
    }

    /// Opens the hosts of a tool's configuration, as they were accepted.
    fn tools(&self, found: &mut Expansion, entry: usize, name: PresetName) -> Result<(), ExpandError> {
        let accepted = self.catalog.hosts.get(self.agent).and_then(|hosts| hosts.get(name.as_str()));
        let none = BTreeSet::new();
        let accepted = accepted.unwrap_or(&none);
        if accepted.is_empty() {
            found.notes.push(format!(
                "`{}` opens nothing yet: no host of it was accepted; `agentuser net refresh` looks again",
                self.network.allow[entry]
            ));
        }
        let mut names = Named::new();
        for ToolHost { host, port, tool, setting } in accepted {
            let ports =
                PortSet::from_iter([PortRange { protocol: Protocol::Tcp, first: *port, last: *port }]);
            let from = Origin::Tool { tool: tool.clone(), setting: setting.clone() };
            if let Ok(address) = host.parse::<IpAddr>() {
                let (what, ports) = (What::Nets(vec![address.into()]), Some(ports));
                found.opened.push(Opened { entry, what, ports, from });
            } else if let Ok(name) = host.parse() {
                names.push((name, ports, from));
            }
        }
        self.names(found, entry, names)
    }

    /// Opens names: by the gate, or as they resolved.
    fn names(&self, found: &mut Expansion, entry: usize, names: Named) -> Result<(), ExpandError> {
        match self.network.dns {
            Dns::None if names.is_empty() || self.network.outbound == Outbound::Allow => {}
            Dns::None => {
                return Err(ExpandError::NoResolver { entry: self.network.allow[entry].to_string() });
            }
            Dns::Gate => {
                for (name, ports, from) in names {
                    let what = What::Name(name.clone());
                    found.opened.push(Opened { entry, what, ports: Some(ports.clone()), from });
                    if self.catalog.beside_gate {
                        self.beside_gate(found, entry, name, ports);
                    }
                }
            }
            Dns::System => {
                for (name, ports, _) in names {
                    self.resolved(found, entry, name, ports);
                }
            }
        }
        Ok(())
    }

    /// Opens a name of the gate's as it resolved, too, for programs that have it resolved past the gate.
    fn beside_gate(&self, found: &mut Expansion, entry: usize, name: DomainName, ports: PortSet) {
        let known = || self.catalog.addresses.get(self.agent)?.get(name.as_str());
        if name.is_wildcard() {
            found.notes.push(format!(
                "`{name}` is open to programs that ask port 53 themselves: for others nobody can list what lies below it"
            ));
        } else if known().is_some() {
            self.resolved(found, entry, name, ports);
        }
    }

    fn resolved(&self, found: &mut Expansion, entry: usize, name: DomainName, ports: PortSet) {
        if name.is_wildcard() {
            found.notes.push(format!(
                "`{name}` opens nothing under `dns: system`: nobody can list what lies below it"
            ));
            return;
        }
        let known = self.catalog.addresses.get(self.agent).and_then(|names| names.get(name.as_str()));
        let Some(known) = known else {
            found.notes.push(format!("`{name}` opens nothing yet: `agentuser net refresh` resolves it"));
            return;
        };
        let named: Vec<IpNet> = self.network.allow.iter().filter_map(Allow::net).collect();
        let (good, bad): (Vec<IpAddr>, Vec<IpAddr>) =
            known.addresses.iter().partition(|address| ranges::may_resolve_to(**address, &named));
        for address in bad {
            found.notes.push(format!(
                "`{name}` resolves to {address}, which is not on the public internet: it stays closed \
                 unless a `cidr:` names it"
            ));
        }
        let what = What::Nets(good.into_iter().map(IpNet::from).collect());
        found.opened.push(Opened {
            entry,
            what,
            ports: Some(ports),
            from: Origin::Resolved(name, known.date),
        });
    }
}

/// Whether root resolves the names of an agent: with `dns: system`, and where programs have names resolved past the gate.
pub fn resolves(network: &Network, catalog: &Catalog) -> bool {
    network.dns == Dns::System || network.dns == Dns::Gate && catalog.beside_gate
}

/// The names that root has to resolve for an agent, without those below an asterisk.
pub fn to_resolve(network: &Network, agent: &AccountName, catalog: &Catalog) -> BTreeSet<String> {
    if !resolves(network, catalog) {
        return BTreeSet::new();
    }
    let by_gate = Network { dns: Dns::Gate, ..network.clone() };
    let names = Expansion::of(&by_gate, agent, catalog).unwrap_or_default().opened.into_iter();
    let needed = |opened: &Opened| match &network.allow[opened.entry] {
        // Their ranges are open.
        Allow::Preset { name, .. } => listed::listed(*name).is_none_or(|listed| listed.ranges.is_none()),
        _ => true,
    };
    let names = names.filter(needed).filter_map(|opened| match opened.what {
        What::Name(name) if !name.is_wildcard() => Some(name.as_str().to_owned()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
pub(in crate::presets) mod tests;
