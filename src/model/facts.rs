//! What is true of this machine, gathered once and handed to the planner, which looks at nothing else.

use super::{AbsPath, AccountName, Gid, IdRange, Uid, catalog::Catalog, desired::Firewall};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A line of passwd(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: Uid,
    /// Primary group.
    pub gid: Gid,
    /// The comment field.
    pub gecos: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// A line of group(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLine {
    /// Group name.
    pub name: String,
    /// Group id.
    pub gid: Gid,
    /// Supplementary members by name.
    pub members: Vec<String>,
}

/// What a directory on the way to a project is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirFact {
    /// Its owner.
    pub owner: Uid,
    /// Permission bits; under a POSIX ACL the middle three are its mask.
    pub mode: u32,
}

/// An agent that a receipt on this machine tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAgent {
    /// Its user id.
    pub uid: Uid,
    /// Its group id.
    pub gid: Gid,
    /// The ownership marker in its comment field.
    pub marker: String,
    /// Its firewall as it was last planned; none without the right to know.
    pub firewall: Option<Firewall>,
}

/// The comment field of an agent's account, which makes it ours: its name, its human's, and what nobody can guess.
pub fn marker(agent: &AccountName, human: &str, nonce: &str) -> String {
    // passwd(5) has its own use for some characters.
    let human: String = human.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
    format!("agentuser {agent} of {human} {nonce}")
}

/// How a service that starts programs at set times decides who may use it: crontab(1), at(1).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Denial {
    /// Nothing to do: it is not installed, or lets in only those that it names.
    #[default]
    Unneeded,
    /// A deny file is there, or may be made without opening the service to anybody.
    AddTo(AbsPath),
    /// An allow file names the account itself.
    Allowed(AbsPath),
}

impl Denial {
    /// The list to which the account is added.
    pub fn list(&self) -> Option<&AbsPath> {
        if let Self::AddTo(path) = self { Some(path) } else { None }
    }
}

/// What is true of this machine.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, read where it counts")]
pub struct Facts {
    /// Ids in use, in any database.
    pub uids: BTreeSet<u32>,
    /// Group ids in use.
    pub gids: BTreeSet<u32>,
    /// The range for system accounts of login.defs(5).
    pub system_ids: Option<IdRange>,
    /// The humans of the policy, by login name.
    pub humans: BTreeMap<String, Person>,
    /// Agents with a receipt.
    pub agents: BTreeMap<AccountName, KnownAgent>,
    /// Sub-uid ranges by login name, from subuid(5).
    pub sub_uids: BTreeMap<String, Vec<IdRange>>,
    /// Names of groups that exist.
    pub groups: BTreeSet<String>,
    /// Directories that were looked at; `None` where there is none, or something else.
    pub dirs: BTreeMap<AbsPath, Option<DirFact>>,
    /// systemd is the service manager.
    pub systemd: bool,
    /// nft(8) is installed.
    pub nft: bool,
    /// iptables(8) works on nftables, not on the legacy tables.
    pub iptables_is_nft: bool,
    /// A message bus reads drop-ins in `/etc/dbus-1/system.d`.
    pub dbus: bool,
    /// The kernel has IPv6.
    pub ipv6: bool,
    /// Ports below 1024 that somebody listens on, or that services(5) gives to a service; looked for where a DNS gate needs
    /// a port.
    pub service_ports: BTreeSet<u16>,
    /// crontab(1).
    pub cron: BTreeMap<AccountName, Denial>,
    /// at(1).
    pub at: BTreeMap<AccountName, Denial>,
    /// sshd is installed and reads `/etc/ssh/sshd_config.d/*.conf`; `None` where there is no sshd.
    pub sshd_reads_drop_ins: Option<bool>,
    /// sudoers(5) includes `/etc/sudoers.d`.
    pub sudo_reads_drop_ins: bool,
    /// Programs that are needed and missing, with the package of Debian that has each.
    pub missing: Vec<(&'static str, &'static str)>,
    /// Why the private view can't be had here; none where it can.
    pub no_private_view: Option<String>,
    /// Why memory and processors can't be limited here; none where they can.
    pub no_cgroup: Option<String>,
    /// Why projects can't be shared by id-mapped mounts here; those that can, and those that no policy asks it for, are not in it.
    pub not_mappable: BTreeMap<AbsPath, String>,
    /// Fresh random text for an ownership marker.
    pub nonce: String,
    /// What presets and names stand for.
    pub catalog: Catalog,
    /// What only macOS has; none on Linux.
    pub mac: Option<Mac>,
}

/// What is true of a Mac, beside the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mac {
    /// Projects on a volume that pays no heed to owners, or has no ACLs: why, and what to type.
    pub unfit_volumes: BTreeMap<AbsPath, String>,
}
