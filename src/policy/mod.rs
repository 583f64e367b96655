//! The policy file: who may become which agent, and what that agent reaches.
//!
//! The file is the only authority, so it is read strictly: each key, value and name is judged here, with its line, its
//! column and the mend, and what is let through is a value that the rest of the program need not doubt. Pure: text in,
//! values out.
//!
//! A key whose default depends on the machine is an `Option`: `None` says that the file leaves it open, so that what was
//! asked for by name and can't be had is refused while a plain policy works.

#![forbid(unsafe_code)]

mod confine;
pub mod edit;
mod environment;
mod error;
mod groups;
mod names;
mod network;
mod offer;
mod parse;
mod paths;
mod reader;
mod render;
mod setting;
mod splice;
mod target;
mod validate;
mod yaml;

pub use confine::{Confine, Line};
pub use edit::{EditError, add_agent, add_project, remove_agent, remove_project};
pub use environment::{EnvPattern, secret_name};
pub use error::{PolicyError, Problem, Refusal};
pub use names::{DomainName, HumanName, MemorySize, PRESETS, PresetName, Region};
pub use offer::{OFFER, Offer, Wish};
pub use parse::{parse, parse_offer};
pub use paths::toolchain;
pub use render::render;
pub use setting::Setting;
pub use validate::warnings;

use crate::model::{AbsPath, AccountName, PortSet};
use ipnet::IpNet;
use std::{collections::BTreeMap, fmt};

/// The version of the policy file that this program reads and writes.
pub const VERSION: u64 = 1;

/// The largest policy file that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// A whole policy file. Two are equal when they say the same, wherever in the file they say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The agents by account name; none after the last one was removed.
    pub agents: BTreeMap<AccountName, Agent>,
}

impl Policy {
    /// A policy that was not read from a file.
    pub fn new(agents: BTreeMap<AccountName, Agent>) -> Self {
        Self { agents }
    }
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Who may become it.
    pub human: HumanName,
    /// Its login shell.
    pub shell: AbsPath,
    /// Supplementary groups, beside its own.
    pub groups: Vec<String>,
    /// How projects are shared.
    pub sharing: Sharing,
    /// How much of the machine it sees; `None` is private where the kernel carries that, else plain.
    pub view: Option<View>,
    /// The directories that human and agent both work in, in the file's order.
    pub projects: Vec<Project>,
    /// What it reaches over the network.
    pub network: Network,
    /// Its environment.
    pub environment: Environment,
    /// Directories before the standard ones in its `PATH`.
    pub path: Vec<AbsPath>,
    /// Resource limits.
    pub limits: Limits,
    /// Confinement of its processes.
    pub confine: Confine,
}

impl Agent {
    /// An agent with every key left at its default.
    pub fn new(human: HumanName) -> Self {
        Self {
            human,
            shell: parse::default_shell(),
            groups: Vec::new(),
            sharing: Sharing::default(),
            view: None,
            projects: Vec::new(),
            network: Network::default(),
            environment: Environment::default(),
            path: Vec::new(),
            limits: Limits::default(),
            confine: Confine::default(),
        }
    }
}

/// A value of a key that takes one of a few words.
pub(crate) trait Choice: Copy + 'static {
    /// All values, in the order in which messages list them.
    const ALL: &'static [Self];

    /// The word in the file.
    fn word(self) -> &'static str;
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$about])* $variant),+
        }

        impl Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

choice! {
    /// How projects are shared.
    Sharing {
        /// Access control lists on the files themselves.
        #[default]
        Acl = "acl",
        /// Id-mapped mounts; nothing on disk changes.
        Mount = "mount",
    }
}
choice! {
    /// How much of the machine the agent sees.
    View {
        /// A mount namespace of its own.
        #[default]
        Private = "private",
        /// The machine as every account sees it.
        Plain = "plain",
    }
}
choice! {
    /// What the agent may do in a project.
    Access {
        /// Read and write.
        #[default]
        ReadWrite = "read-write",
        /// Read only.
        ReadOnly = "read-only",
    }
}
choice! {
    /// Protection of git's configuration and hooks.
    Git {
        /// The agent can't change them.
        #[default]
        Guard = "guard",
        /// Files like any other.
        Open = "open",
    }
}
choice! {
    /// A key of the agent's own for a project's repository, which its human adds at the forge.
    DeployKey {
        /// There is none.
        #[default]
        None = "none",
        /// It is to be added without the right to push. What it may do the forge decides.
        ReadOnly = "read-only",
        /// It is to be added with it.
        ReadWrite = "read-write",
    }
}
choice! {
    /// Connections from the agent that no rule names.
    Outbound {
        /// Refused.
        #[default]
        Deny = "deny",
        /// Let through.
        Allow = "allow",
    }
}
choice! {
    /// Where the agent's listening sockets may be reached from.
    Inbound {
        /// Nowhere.
        None = "none",
        /// This machine.
        #[default]
        Loopback = "loopback",
        /// Anywhere.
        Any = "any",
    }
}
choice! {
    /// How the agent resolves names.
    Dns {
        /// Through our gate, which answers for allowed names only.
        Gate = "gate",
        /// Through the system's resolvers, which is a channel to the outside.
        System = "system",
        /// Not at all.
        #[default]
        None = "none",
    }
}
choice! {
    /// What the audit log keeps.
    Log {
        /// Nothing.
        None = "none",
        /// Refused connections.
        #[default]
        Blocked = "blocked",
        /// Every connection.
        All = "all",
    }
}
choice! {
    /// What a line of confinement does with what it is about.
    Permit {
        /// Refused.
        #[default]
        Deny = "deny",
        /// Left as the kernel has it.
        Allow = "allow",
    }
}
choice! {
    /// A part of GitHub that publishes ranges of its own, by the key in GitHub's meta document.
    GithubPart {
        /// The site, and what it serves files from.
        #[default]
        Web = "web",
        /// The API.
        Api = "api",
        /// git over ssh and https.
        Git = "git",
        /// The package registries.
        Packages = "packages",
        /// Sites of GitHub Pages.
        Pages = "pages",
        /// Runners of GitHub Actions.
        Actions = "actions",
        /// Codespaces.
        Codespaces = "codespaces",
        /// Copilot.
        Copilot = "copilot",
    }
}

impl GithubPart {
    /// What `preset: github` opens by itself.
    pub const ALWAYS: [Self; 3] = [Self::Web, Self::Api, Self::Git];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

/// A directory that human and agent both work in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The directory.
    pub path: AbsPath,
    /// What the agent may do in it.
    pub access: Access,
    /// Protection of git's own files; `None` guards them where the view can.
    pub git: Option<Git>,
    /// The agent's key for its repository.
    pub deploy_key: DeployKey,
}

impl Project {
    /// A project with every key left at its default.
    pub fn new(path: AbsPath) -> Self {
        Self { path, access: Access::default(), git: None, deploy_key: DeployKey::default() }
    }
}

/// What an agent reaches over the network, and who reaches it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Connections that no rule names.
    pub outbound: Outbound,
    /// Who reaches the agent's listening sockets.
    pub inbound: Inbound,
    /// How names are resolved.
    pub dns: Dns,
    /// What is logged.
    pub log: Log,
    /// What is let through, in the file's order.
    pub allow: Vec<Allow>,
    /// What is refused whatever `allow` says.
    pub deny: Vec<Deny>,
}

/// A destination that is let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// A service by name, with its published addresses and domains.
    Preset {
        /// Its name.
        name: PresetName,
        /// How much of it.
        parts: Parts,
    },
    /// A domain.
    Domain {
        /// Its name, perhaps with a leading `*.`.
        name: DomainName,
        /// Its ports; TCP 443 where the file names none.
        ports: PortSet,
    },
    /// A network.
    Cidr {
        /// The network, without host bits.
        net: IpNet,
        /// Its ports; `None` is every port of every protocol.
        ports: Option<PortSet>,
    },
    /// Ports on this machine's loopback.
    Loopback(PortSet),
}

impl Allow {
    /// The network of a `cidr:`.
    pub fn net(&self) -> Option<IpNet> {
        if let Self::Cidr { net, .. } = self { Some(*net) } else { None }
    }
}

/// As the file has it, in one line.
impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render::allow_keys(self).join(", "))
    }
}

/// As the file has it, in one line.
impl fmt::Display for Deny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render::deny_keys(self).join(", "))
    }
}

/// How much of a preset is let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Parts {
    /// What the preset opens by itself.
    #[default]
    Whole,
    /// Of `github`: these beside [`GithubPart::ALWAYS`], in the file's order.
    Github(Vec<GithubPart>),
    /// Of `aws-s3`: these regions only, in the file's order.
    Regions(Vec<Region>),
}

/// A network that is refused whatever the allow list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deny {
    /// The network, without host bits.
    pub net: IpNet,
    /// Its ports; `None` is every port of every protocol.
    pub ports: Option<PortSet>,
}

/// The agent's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Variables taken from the human's environment.
    pub pass: Vec<EnvPattern>,
    /// Variables that the policy sets.
    pub set: BTreeMap<String, String>,
}

impl Default for Environment {
    fn default() -> Self {
        Self { pass: EnvPattern::defaults(), set: BTreeMap::new() }
    }
}

/// Resource limits; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all processes together.
    pub memory: Option<MemorySize>,
    /// Processors' worth of time.
    pub cpus: Option<u32>,
    /// Processes and threads at a time.
    pub processes: Option<u32>,
    /// Open files a process.
    pub open_files: Option<u32>,
}

impl Limits {
    /// Each limit in words.
    pub fn in_words(&self) -> Vec<String> {
        let memory = self.memory.map(|memory| format!("{memory} of memory"));
        let cpus = self.cpus.map(|cpus| format!("{cpus} processors"));
        let processes = self.processes.map(|count| format!("{count} processes"));
        let files = self.open_files.map(|count| format!("{count} open files"));
        [memory, cpus, processes, files].into_iter().flatten().collect()
    }
}
