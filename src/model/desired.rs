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

/// Names that share one list of ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The ports.
    pub ports: PortSet,
    /// The names, sorted, in lower case and without a final dot; one that begins with `*.` stands for all that lies below
    /// the rest, not for the rest itself.
    pub names: Vec<String>,
}

/// What is written to the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Log {
    /// Nothing.
    #[default]
    None,
    /// What was refused.
    Blocked,
    /// Each new flow, and what was refused.
    All,
}

impl Log {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn is_none(&self) -> bool {
        *self == Self::None
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
    /// Let out by name: what the DNS gate answered for these, for as long as the answer lives. Empty without a gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Names>,
    /// The port of the agent's DNS gate on 127.0.0.1 and `::1`, below 1024; all its DNS goes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<u16>,
    /// Which of 64 marks flows to names bear: another one whenever `names` changed, so that flows of before end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u8,
    /// Resolvers of the system that the agent may ask, at port 53.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<std::net::IpAddr>,
    /// What is written to the audit log.
    #[serde(default, skip_serializing_if = "Log::is_none")]
    pub log: Log,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u8) -> bool {
    *number == 0
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
    /// What the agent's own key for its repository is for, if there is one.
    pub deploy_key: Option<Access>,
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
    /// How the agent sees the machine.
    pub view: super::view::View,
    /// Whether its sessions run under a Seatbelt profile, on macOS.
    pub seatbelt: bool,
    /// Parents of projects that need a traverse entry.
    pub traverse: Vec<AbsPath>,
    /// Network policy.
    pub firewall: Firewall,
    /// The agent's part of the policy in canonical form.
    pub policy: String,
}
