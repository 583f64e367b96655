//! Why a policy can't be met on a machine.

use super::network::GATES;
use crate::{
    model::{AbsPath, AccountName},
    presets::ExpandError,
};

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
    /// What is made of Linux's own means.
    #[error("agent `{agent}`: `{asked}` can't be given on macOS")]
    NotOnMac {
        /// The agent.
        agent: AccountName,
        /// What was asked for.
        asked: String,
    },
    /// What is made of macOS's own means.
    #[error(
        "agent `{0}`: `confine.seatbelt: true` is a means of macOS; here `confine` closes more without it"
    )]
    NoSeatbelt(AccountName),
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
