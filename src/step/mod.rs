//! A step is the unit of change: it can describe, check, capture, apply and revert itself.
//!
//! `--dry-run` describes and checks, `status` checks, `setup` captures and applies what a check found missing, `teardown`
//! reverts. Steps are plain data: the list of them, with what each captured, is the receipt.

mod account;
mod carried;
mod deploy_key;
mod directory;
mod file;
mod filter_table;
mod group;
mod home;
mod line;
mod list;
mod mac;
mod netfilter;
mod nft_table;
mod private_tmp;
mod service;
mod share_acl;
mod share_mount;
mod sockets;

pub use account::Account;
pub use deploy_key::DeployKey;
pub use directory::Directory;
pub use file::{After, Content, File};
pub use filter_table::{FilterTable, OutputChain};
pub use group::Group;
pub use home::Home;
pub use line::Line;
pub use list::List;
pub use mac::{Daemon, DsAccount, DsGroup, PassAces, PfAnchor, PfEnabled, ShareAces};
pub use netfilter::Netfilter;
pub use nft_table::NftTable;
pub use private_tmp::PrivateTmp;
pub use service::Service;
pub use share_acl::{ShareAcl, Traverse};
pub use share_mount::ShareMount;
pub use sockets::Sockets;

use crate::host::{Act, DirState, FileState, HostError, Observe};
use serde::{Deserialize, Serialize};

/// What a step is about; plans are shown in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The program and its policy.
    Program,
    /// The account and its home.
    Account,
    /// Firewall and boot.
    Network,
    /// Project directories.
    Sharing,
    /// The way in.
    Launch,
}

impl Layer {
    /// The layer's heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Program => "Program and policy",
            Self::Account => "Account",
            Self::Network => "Network",
            Self::Sharing => "Projects",
            Self::Launch => "Launch",
        }
    }
}

/// A step in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// What it is about.
    pub layer: Layer,
    /// One line for a person.
    pub title: String,
    /// Why it is done.
    pub why: &'static str,
    /// The exact change: commands, or what is written where.
    pub change: Vec<String>,
}

/// How the system compares with a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It is so.
    Satisfied,
    /// Nothing of it is there.
    Missing,
    /// It is there and differs.
    Drifted(Vec<String>),
    /// Something that agentuser did not make stands in its place.
    Foreign(String),
    /// It could not be read, and counts as not in force.
    Unknown(String),
}

impl Check {
    /// Drifted where there are differences, else satisfied.
    pub fn of(differences: Vec<String>) -> Self {
        if differences.is_empty() { Self::Satisfied } else { Self::Drifted(differences) }
    }
}

/// What was there before a step, for its way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// Nothing was there.
    Nothing,
    /// A file was there.
    File(FileState),
    /// A directory was there.
    Directory(DirState),
    /// A unit was enabled.
    Enabled,
}

/// Why a step could not be checked, applied or reverted.
#[derive(Debug, thiserror::Error)]
#[error("{title}: {source}")]
pub struct StepError {
    /// The step's title.
    pub title: String,
    /// What the machine said.
    pub source: HostError,
}

/// The verbs of a step. All may be repeated: a step that was interrupted at any instant is applied or reverted again.
pub trait Step {
    /// A stable name made from its content, such as `file:/etc/agentuser/policy.yaml`.
    fn id(&self) -> String;
    /// In words. Pure.
    fn describe(&self) -> Description;
    /// Compares the system with the step.
    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError>;
    /// Remembers what is there now.
    fn capture(&self, machine: &dyn Observe) -> Result<Undo, HostError>;
    /// Asks whether the system would let this be done or undone, before anything is changed.
    fn preflight(&self, _: &mut dyn Act) -> Result<(), HostError> {
        Ok(())
    }
    /// Makes it so; what a person should know of it is in the answer.
    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError>;
    /// Takes it back; what somebody else changed since is left, and named in the answer.
    fn revert(&self, undo: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError>;
    /// Compares once more after [`Step::apply`]; a cheaper look will do where applying itself looked at everything.
    fn verify(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        self.check(machine)
    }
    /// Whether no other step's check looks at what this one changes: then what was found of them before still holds.
    fn stands_alone(&self) -> bool {
        false
    }
    /// What a check means where no receipt says that the step is ours: by default, what differs is somebody else's.
    fn unclaimed(&self, check: Check) -> Check {
        match check {
            Check::Drifted(differences) => Check::Foreign(differences.join("; ")),
            other => other,
        }
    }
}

macro_rules! any_step {
    ($($kind:ident),* $(,)?) => {
        /// Every kind of step.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        #[expect(missing_docs, reason = "each is the step of its name")]
        pub enum AnyStep {
            $($kind($kind)),*
        }

        $(impl From<$kind> for AnyStep {
            fn from(step: $kind) -> Self {
                Self::$kind(step)
            }
        })*

        impl std::ops::Deref for AnyStep {
            type Target = dyn Step;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$kind(step) => step),*
                }
            }
        }
    };
}

any_step!(
    Account,
    Daemon,
    DeployKey,
    Directory,
    DsAccount,
    DsGroup,
    File,
    FilterTable,
    Group,
    Home,
    Line,
    List,
    Netfilter,
    NftTable,
    OutputChain,
    PassAces,
    PfAnchor,
    PfEnabled,
    PrivateTmp,
    Service,
    ShareAces,
    ShareAcl,
    ShareMount,
    Sockets,
    Traverse
);
