//! The whole target state, with every name resolved to an id and every default filled in.

use super::{AbsPath, Family, Gid, IdRange, PortSet, Protocol, Uid};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Networks that share one list of ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destinations {
    /// The ports; `None` is every port of every protocol.
    pub ports: Option<PortSet>,
    /// Networks, aggregated and sorted.
    pub nets: Vec<IpNet>,
}

impl Destinations {
    /// The networks of one family.
    pub fn of(&self, family: Family) -> impl Iterator<Item = &IpNet> {
        self.nets.iter().filter(move |net| Family::of(net) == family)
    }
}

/// Who may call the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inbound {
    /// Only the agent itself, on loopback.
    None,
    /// Every account of this machine.
    Loopback,
    /// Every host.
    Any,
}

/// The network policy of one uid, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// The account.
    pub uid: Uid,
    /// Its sub-uids, which other accounts of a user namespace appear as.
    pub sub_uids: Vec<IdRange>,
    /// Whether what no rule names leaves the machine.
    pub outbound_allowed: bool,
    /// Who may call the agent.
    pub inbound: Inbound,
    /// Refused before anything else.
    pub deny: Vec<Destinations>,
    /// Let out.
    pub allow: Vec<Destinations>,
    /// Loopback ports of other accounts that the agent may call.
    pub loopback: PortSet,
}

impl Firewall {
    /// Whether a rule lets packets to this destination out; deny rules are not asked.
    pub fn lets_out(&self, address: std::net::IpAddr, protocol: Protocol, port: u16) -> bool {
        self.outbound_allowed
            || self.allow.iter().any(|to| {
                to.ports
                    .as_ref()
                    .is_none_or(|set| set.of(protocol).any(|r| (r.first..=r.last).contains(&port)))
                    && to.nets.iter().any(|net| net.contains(&address))
            })
    }
}

/// What the agent may do in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read, write, create, delete.
    ReadWrite,
    /// Read and execute.
    ReadOnly,
}

/// A human of this machine, as the agent's owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: Uid,
    /// Primary group.
    pub gid: Gid,
    /// Home directory.
    pub home: AbsPath,
}

/// A shared directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedDir {
    /// Where it is.
    pub path: AbsPath,
    /// What the agent may do there.
    pub access: Access,
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Login name.
    pub name: super::AccountName,
    /// User id.
    pub uid: Uid,
    /// Group id.
    pub gid: Gid,
    /// Text in the comment field that makes the account ours.
    pub marker: String,
    /// Home directory.
    pub home: AbsPath,
    /// Login shell.
    pub shell: AbsPath,
    /// Supplementary groups.
    pub groups: Vec<String>,
    /// Whom it works for.
    pub human: Owner,
    /// Shared directories.
    pub projects: Vec<SharedDir>,
    /// Parents of projects that need a traverse entry.
    pub traverse: Vec<AbsPath>,
    /// Network policy.
    pub firewall: Firewall,
    /// The agent's part of the policy in canonical form.
    pub policy: String,
}
