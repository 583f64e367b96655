//! The machine, behind two traits: [`Observe`] reads and can't change anything, [`Act`] changes. All else in the program
//! that touches the system goes through them, so that the engine runs on a machine in memory just as on the real one.

pub(crate) mod bounded;
pub mod caller;
pub mod catalog;
#[cfg(target_os = "linux")]
pub mod cgroup;
pub(crate) mod child;
pub mod child_event;
mod command;
pub mod dir;
pub mod errand;
mod files;
#[cfg(target_os = "linux")]
pub(crate) mod fsids;
#[cfg(target_os = "linux")]
pub mod gather;
#[cfg(target_os = "linux")]
mod homes;
mod known;
mod lock;
pub mod mac_open;
mod mac_query;
#[cfg(target_os = "macos")]
pub mod macos;
mod modes;
mod only;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
pub(crate) mod role;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod sockets;
pub mod sys;
#[cfg(target_os = "linux")]
mod system;
#[cfg(target_os = "linux")]
mod tools;
pub mod trust;
pub mod users;
#[cfg(target_os = "linux")]
pub mod worker;

#[cfg(target_os = "macos")]
pub use child_event::Waiting;
pub use command::{Command, CommandError, Program, SYSTEM_PATH};
pub use lock::{Lock, LockError};
pub use mac_query::MacQuery;
#[cfg(target_os = "macos")]
pub(crate) use macos::role;
#[cfg(target_os = "macos")]
pub use macos::{System, descendant};
#[cfg(target_os = "linux")]
pub use processes::descendant;
#[cfg(target_os = "linux")]
pub use signals::Waiting;
#[cfg(target_os = "linux")]
pub use system::System;

use crate::{
    formats::sudoers,
    model::{
        AbsPath, AccountName, Family, Gid, IdRange, Uid,
        desired::Owner,
        facts::{GroupLine, Person},
    },
    share,
};
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    process::{Output, Stdio},
};

/// The program that is running now, to be started again: on Linux whatever its file is called by now.
#[cfg(not(target_os = "macos"))]
pub fn itself() -> PathBuf {
    "/proc/self/exe".into()
}

/// The program that is running now, to be started again.
#[cfg(target_os = "macos")]
pub fn itself() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| places::PROGRAM.into())
}

/// Gives a program that is started an environment of our own making, and no directory of anybody's.
pub fn by_itself(command: &mut std::process::Command) -> &mut std::process::Command {
    command.env_clear().env("PATH", SYSTEM_PATH).env("LC_ALL", "C").current_dir("/")
}

/// Starts a look for names, and for published ranges where that is said, as a process of its own: `helper renew`.
pub fn start_renewal(ranges: bool) -> std::io::Result<std::process::Child> {
    let mut command = std::process::Command::new(places::PROGRAM);
    command.args(["helper", "renew"]).args(ranges.then_some("--ranges"));
    // launchd ends what is left of a job's process group when the job ends.
    #[cfg(target_os = "macos")]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    by_itself(&mut command).stdin(Stdio::null()).stdout(Stdio::null()).spawn()
}

/// Whether names are resolved by a service of the system that no rule ties to the agent: mDNSResponder.
const RESOLVES_BESIDE_GATE: bool = cfg!(target_os = "macos");

/// The number of a network interface. Files of sysfs(5) are there for who may ask the kernel nothing else.
#[cfg(not(target_os = "macos"))]
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok()
}

/// The number of a network interface.
#[cfg(target_os = "macos")]
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

/// Keeps processes of the same account from looking into this one (prctl(2), `PR_SET_DUMPABLE`).
#[cfg(not(target_os = "macos"))]
pub fn keep_tracers_away() -> std::io::Result<()> {
    let not = rustix::process::DumpableBehavior::NotDumpable;
    Ok(rustix::process::set_dumpable_behavior(not)?)
}

/// Keeps processes of the same account from looking into this one.
#[cfg(target_os = "macos")]
pub use sys::keep_tracers_away;

/// A regular file as a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// Content.
    #[serde(with = "bytes_as_text")]
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
}

/// File content in a receipt: text where it is text, else a list of numbers.
mod bytes_as_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Content {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.serialize(to),
            Err(_) => bytes.serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(match Content::deserialize(from)? {
            Content::Text(text) => text.into_bytes(),
            Content::Bytes(bytes) => bytes,
        })
    }
}

/// A directory as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirState {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
}

/// The installed program, compared with the one that is running now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Whether it is the same build.
    pub same: bool,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
}

/// Who must agree with a file's content before it takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validator {
    /// Nobody.
    Nobody,
    /// `visudo -cf`.
    Visudo,
    /// `sshd -t -f`.
    Sshd,
}

/// A look at the system by one of its programs; each is known to change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// `iptables-save -t filter`.
    FilterTable(Family),
    /// `ipset save`.
    Sets,
    /// `nft list table FAMILY NAME`.
    NftTable(&'static str, String),
    /// `systemctl is-enabled UNIT`.
    UnitEnabled(String),
    /// `systemctl is-active UNIT`.
    UnitActive(String),
    /// A look at macOS.
    Mac(MacQuery),
}

/// Why the machine could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A system call failed on a path.
    #[error("{what} `{path}`: {source}")]
    Path {
        /// What was attempted, such as "can't read".
        what: &'static str,
        /// On which path.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A path is not what it should be.
    #[error("`{path}` {is}")]
    Unexpected {
        /// The path.
        path: String,
        /// What is wrong with it.
        is: String,
    },
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Sharing failed.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Share(#[from] share::ShareError),
    /// A directory could not be opened, emptied or handed over.
    #[error(transparent)]
    Directory(#[from] dir::DirError),
    /// A child that works as another account failed.
    #[error("{0}")]
    Worker(String),
    /// Only root can look.
    #[error("{0} can only be read by root")]
    NeedsRoot(String),
    /// A step of another system.
    #[error("{0} is not done on this system")]
    Elsewhere(&'static str),
}

impl HostError {
    /// An error of a system call on a path.
    pub fn path(what: &'static str, path: impl std::fmt::Display, source: impl Into<std::io::Error>) -> Self {
        Self::Path { what, path: path.to_string(), source: source.into() }
    }

    /// Whether a reader without root's rights would see this.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Path { source, .. } => source.kind() == std::io::ErrorKind::PermissionDenied,
            Self::NeedsRoot(_) => true,
            _ => false,
        }
    }
}

/// Work on files that belong to a human or to the agent, done by a child that has become that account for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "on")]
pub enum Shared {
    /// A project tree.
    Tree(share::Job),
    /// The root of a project tree alone.
    Root(share::Job),
    /// One directory on the way to a project.
    Traverse {
        /// The directory.
        dir: AbsPath,
        /// Who may pass.
        agent: Uid,
        /// Whose directory it is.
        owner: Uid,
    },
}

/// What became of shared files, or how they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// A project tree.
    Tree(Box<share::Report>),
    /// Whether a project's root has the entries.
    Root(bool),
    /// Whether the agent can pass a directory.
    Passage(share::Passage),
    /// What taking a passage away came to.
    Closed(share::PassageEnd),
    /// The directory is gone.
    Gone,
}

/// What can be seen of the machine; several looks may be taken at once.
pub trait Observe: Sync {
    /// A regular file, or `None` where there is nothing; anything else is an error. Links are not followed.
    fn file(&self, path: &AbsPath) -> Result<Option<FileState>, HostError>;
    /// A directory, or `None` where there is nothing; anything else is an error. Links are not followed.
    fn directory(&self, path: &AbsPath) -> Result<Option<DirState>, HostError>;
    /// Names in a directory; none where there is no such directory.
    fn names(&self, path: &AbsPath) -> Result<Vec<String>, HostError>;
    /// The program that is running now: what is installed.
    fn program(&self) -> Result<Vec<u8>, HostError>;
    /// How a file compares with the program that is running now; `None` where there is nothing.
    fn installed(&self, path: &AbsPath) -> Result<Option<Installed>, HostError>;
    /// An account by name.
    fn person(&self, name: &str) -> Result<Option<Person>, HostError>;
    /// A group by name.
    fn group(&self, name: &str) -> Result<Option<GroupLine>, HostError>;
    /// Runs a program that only looks.
    fn query(&self, query: &Query) -> Result<Output, HostError>;
    /// Whether nftables has a table `filter` of this family, and in it this chain.
    fn has_filter_table(&self, family: Family, chain: Option<&str>) -> Result<bool, HostError> {
        let output = self.query(&Query::NftTable(family.nft(), "filter".into()))?;
        let listing = String::from_utf8_lossy(&output.stdout);
        let has = |chain| listing.lines().any(|line| line.trim() == format!("chain {chain} {{"));
        Ok(output.status.success() && chain.is_none_or(has))
    }
    /// The rules of OUTPUT in the filter table, in their order, each without `-A OUTPUT`.
    fn output_chain(&self, family: Family) -> Result<Vec<String>, HostError>;
    /// Whether a unix socket is closed to an account; none where there is none.
    fn socket_is_closed(&self, path: &AbsPath, uid: Uid) -> Result<Option<bool>, HostError>;
    /// Looks at shared files, as their owner.
    fn look_at(&self, shared: &Shared) -> Result<Seen, HostError>;
    /// The same for files that are shared by ACL entries of macOS.
    fn look_at_aces(&self, _: &share::Aces) -> Result<Seen, HostError> {
        Err(HostError::Elsewhere("sharing by ACL entries of macOS"))
    }
}

/// A change of one rule of the OUTPUT chain; positions count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jump {
    /// Adds a rule at a position.
    Insert(u32, String),
    /// Removes the rule at a position.
    Remove(u32),
}

/// What can be done to the machine.
pub trait Act: Observe {
    /// The same machine, for reading only.
    fn observe(&self) -> &dyn Observe;
    /// Writes a file: into a temporary one beside it, checked, synced, renamed.
    fn write(&mut self, path: &AbsPath, file: &FileState, validator: Validator) -> Result<(), HostError>;
    /// Removes a file, and what an interrupted [`Act::write`] left beside it.
    fn remove(&mut self, path: &AbsPath) -> Result<(), HostError>;
    /// Makes a directory owned by root, or sets the mode of one that is there.
    fn make_dir(&mut self, path: &AbsPath, mode: u32) -> Result<(), HostError>;
    /// Removes a directory if it is empty.
    fn remove_dir(&mut self, path: &AbsPath) -> Result<(), HostError>;
    /// Runs a program, and answers how it ended and what it said.
    fn try_run(&mut self, command: &Command) -> Result<Output, HostError>;
    /// Runs a program that must succeed.
    fn run(&mut self, command: &Command) -> Result<(), HostError> {
        let output = self.try_run(command)?;
        command.expect_success(output)?;
        Ok(())
    }
    /// Ends the states of pf that rules of agents made: flows that older rules let out.
    fn clear_states(&mut self) -> Result<(), HostError> {
        Err(HostError::Elsewhere("pf"))
    }
    /// Makes table `filter` of this family.
    fn make_filter_table(&mut self, family: Family) -> Result<(), HostError> {
        self.run(&Command::new(Program::Nft, ["add", "table", family.nft(), "filter"]))
    }
    /// Deletes a table of nftables, of family `inet`, with all that is in it; there being none is fine. It needs no nft(8).
    fn delete_nft_table(&mut self, _table: &str) -> Result<(), HostError> {
        Err(HostError::Elsewhere("nftables"))
    }
    /// Changes a rule of OUTPUT.
    fn jump(&mut self, family: Family, change: &Jump) -> Result<(), HostError>;
    /// Makes a home from a skeleton, closed until it is whole, then given to its owner.
    fn make_home(&mut self, path: &AbsPath, uid: Uid, gid: Gid) -> Result<(), HostError>;
    /// Removes a home and what the account left in temporary directories, mail and cron spools; answers what had to stay
    /// in these.
    fn remove_home(&mut self, path: &AbsPath, uid: Uid, name: &str) -> Result<Vec<String>, HostError>;
    /// Removes a directory of root's with all that accounts may have put into it, by descriptors.
    fn remove_tree(&mut self, path: &AbsPath) -> Result<(), HostError>;
    /// Closes a unix socket to an account.
    fn close_socket(&mut self, path: &AbsPath, uid: Uid) -> Result<(), HostError>;
    /// Takes that back.
    fn open_socket(&mut self, path: &AbsPath, uid: Uid) -> Result<(), HostError>;
    /// Kills every process with one of these uids, and answers how many there were.
    fn end_processes(&mut self, uid: Uid, sub_uids: &[IdRange]) -> Result<usize, HostError>;
    /// Opens shared files to the agent, as their owner; what was there before goes into `record` first.
    fn open_to_agent(&mut self, shared: &Shared, record: &AbsPath) -> Result<Seen, HostError>;
    /// Takes the agent's access back, as their owner; files of the agent are handed over first.
    fn close_to_agent(&mut self, shared: &Shared, human: &Owner, record: &AbsPath)
    -> Result<Seen, HostError>;
    /// [`Act::open_to_agent`] by ACL entries of macOS.
    fn open_aces(&mut self, _: &share::Aces, _record: &AbsPath) -> Result<Seen, HostError> {
        Err(HostError::Elsewhere("sharing by ACL entries of macOS"))
    }
    /// [`Act::close_to_agent`] by ACL entries of macOS.
    fn close_aces(&mut self, _: &share::Aces, _record: &AbsPath) -> Result<Seen, HostError> {
        Err(HostError::Elsewhere("sharing by ACL entries of macOS"))
    }
}

/// Where the program, its policy and its state live.
pub mod places {
    use super::{AbsPath, AccountName, sudoers};

    /// The root-owned copy that sudoers and the service name.
    #[cfg(not(target_os = "macos"))]
    pub const PROGRAM: &str = "/usr/local/bin/agentuser";
    /// The root-owned copy that sudoers and the service name.
    #[cfg(target_os = "macos")]
    pub const PROGRAM: &str = mac::PROGRAM;
    /// The policy.
    pub const POLICY: &str = "/etc/agentuser/policy.yaml";
    /// Receipts and records.
    #[cfg(not(target_os = "macos"))]
    pub const STATE: &str = "/var/lib/agentuser";
    /// Receipts and records.
    #[cfg(target_os = "macos")]
    pub const STATE: &str = "/var/db/agentuser";
    /// Where homes are.
    #[cfg(not(target_os = "macos"))]
    pub const HOMES: &str = "/home";
    /// Where homes are.
    #[cfg(target_os = "macos")]
    pub const HOMES: &str = mac::HOMES;
    /// Where processes in a role of their own are started for those that may not become another account.
    pub const CHILDREN: &str = "/run/agentuser/child";
    /// Audit logs.
    pub const LOGS: &str = "/var/log/agentuser";
    /// Sockets at which a service resolves names for anybody: systemd-resolved's varlink, nscd, Avahi.
    pub const NAME_SERVICES: [&str; 3] =
        ["/run/systemd/resolve/io.systemd.Resolve", "/run/nscd/socket", "/run/avahi-daemon/socket"];
    /// What is gone at the next boot.
    #[cfg(not(target_os = "macos"))]
    pub const RUNTIME: &str = "/run/agentuser";
    /// What is gone at the next boot.
    #[cfg(target_os = "macos")]
    pub const RUNTIME: &str = "/var/run/agentuser";

    /// The state of one agent.
    pub fn state(agent: &AccountName) -> AbsPath {
        fixed(STATE).join(agent.as_str())
    }

    /// The state that all agents share. An agent can't take the name: it is a reserved word of the policy.
    pub fn machine_state() -> AbsPath {
        fixed(STATE).join("machine")
    }

    /// One agent's part of the policy as it was put in force.
    pub fn in_force(agent: &AccountName) -> AbsPath {
        state(agent).join("policy.yaml")
    }

    /// Where control groups of version 2 are.
    pub const CGROUPS: &str = "/sys/fs/cgroup";

    /// The control group of all agents that have limits of memory or processors.
    pub fn cgroup_of_all() -> AbsPath {
        fixed(CGROUPS).join("agentuser")
    }

    /// The control group of one agent.
    pub fn cgroup(agent: &AccountName) -> AbsPath {
        cgroup_of_all().join(agent.as_str())
    }

    /// What was loaded into one agent's anchor of pf, on macOS.
    pub fn pf_record(agent: &AccountName) -> AbsPath {
        state(agent).join("pf.json")
    }

    /// How the DNS gates are, as they say themselves, on macOS.
    pub fn gates() -> AbsPath {
        fixed(RUNTIME).join("guard-gates.json")
    }

    /// One agent's tokens.
    pub fn secrets(agent: &AccountName) -> AbsPath {
        state(agent).join("secrets.json")
    }

    /// The private half of one agent's key for a project's repository. The public one has `.pub` behind its name, and what
    /// git is told of it `.gitconfig`.
    pub fn deploy_key(agent: &AccountName, project: &AbsPath) -> AbsPath {
        let digest = crate::formats::digest::fnv1a(project.as_str().bytes());
        state(agent).join(&format!("deploy-{digest:016x}"))
    }

    /// Keys of hosts that one agent's human knows, for the agent's deploy keys.
    pub fn known_hosts(agent: &AccountName) -> AbsPath {
        state(agent).join("known_hosts")
    }

    /// How one agent sees the machine, as it was settled.
    pub fn view(agent: &AccountName) -> AbsPath {
        state(agent).join("view.json")
    }

    /// The system-wide configuration of git in one agent's sessions.
    pub fn gitconfig(agent: &AccountName) -> AbsPath {
        state(agent).join("gitconfig")
    }

    /// What stands in for `/tmp` and `/var/tmp` in one agent's private view: closed to all but root, which shows its
    /// directories `tmp` and `var-tmp` to the agent's sessions.
    pub fn private_tmp(agent: &AccountName) -> AbsPath {
        state(agent).join("private")
    }

    /// The Seatbelt profile of one agent, on macOS.
    pub fn seatbelt(agent: &AccountName) -> AbsPath {
        state(agent).join("seatbelt.sb")
    }

    /// Hosts of discovered presets that one agent's human accepted.
    pub fn hosts(agent: &AccountName) -> AbsPath {
        state(agent).join("hosts.json")
    }

    /// The addresses that one agent's names had.
    pub fn addresses(agent: &AccountName) -> AbsPath {
        state(agent).join("names.json")
    }

    /// The beginning of the names of files with what one agent's projects held before it, in its state's directory.
    pub const REVIEW: &str = "review-";

    /// What a project held when its human last looked: the human's own file in the agent's state.
    pub fn review(agent: &AccountName, project: &AbsPath) -> AbsPath {
        let digest = crate::formats::digest::fnv1a(project.as_str().bytes());
        state(agent).join(&format!("{REVIEW}{digest:016x}.json"))
    }

    /// What was the agent's outside of its projects when its human last looked: the human's own file, too.
    pub fn review_outside(agent: &AccountName) -> AbsPath {
        state(agent).join(&format!("{REVIEW}outside.json"))
    }

    /// Published ranges that were fetched.
    pub fn ranges() -> AbsPath {
        machine_state().join("ranges")
    }

    /// The sudoers drop-in of one agent. Of the rules that match the last one counts (sudoers(5)), and drop-ins are read in
    /// the order of their names: one of `alice ALL=(ALL) ALL` before it does not bring the password back.
    pub fn sudoers(agent: &AccountName) -> AbsPath {
        fixed(sudoers::DIRECTORY).join(&format!("zz-agentuser-{agent}"))
    }

    /// Says for which boot and network namespace an agent's rules were put in force.
    pub fn stamp(agent: &AccountName) -> AbsPath {
        fixed(RUNTIME).join(&format!("{agent}.loaded"))
    }

    /// Places of macOS, for plans that are made anywhere.
    pub mod mac {
        /// Where homes are.
        pub const HOMES: &str = "/Users";
        /// Programs that root runs for somebody.
        pub const TOOLS: &str = "/Library/PrivilegedHelperTools";
        /// The directory of the program. `/usr/local` is often Homebrew's, which is the human's.
        pub const DIRECTORY: &str = "/Library/PrivilegedHelperTools/org.agentuser";
        /// The program.
        pub const PROGRAM: &str = "/Library/PrivilegedHelperTools/org.agentuser/agentuser";
        /// A directory of `path_helper(8)`, which login shells ask for `PATH`.
        pub const PATHS: &str = "/etc/paths.d/agentuser";
    }

    /// One of the fixed paths as a path.
    pub fn fixed(path: &'static str) -> AbsPath {
        AbsPath::fixed(path)
    }
}
