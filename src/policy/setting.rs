//! Keys of `network` that take one word.

use super::{Choice, Dns, Inbound, Log, Network, Outbound};
use std::fmt;

/// A key of `network` with its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Connections that no rule names.
    Outbound(Outbound),
    /// Who reaches the agent's listening sockets.
    Inbound(Inbound),
    /// How names are resolved.
    Dns(Dns),
    /// What is logged.
    Log(Log),
}

impl Setting {
    /// The key in the file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Outbound(_) => "outbound",
            Self::Inbound(_) => "inbound",
            Self::Dns(_) => "dns",
            Self::Log(_) => "log",
        }
    }

    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Outbound(word) => word.word(),
            Self::Inbound(word) => word.word(),
            Self::Dns(word) => word.word(),
            Self::Log(word) => word.word(),
        }
    }

    /// The same key as a network has it.
    #[must_use]
    pub fn of(self, network: &Network) -> Self {
        match self {
            Self::Outbound(_) => Self::Outbound(network.outbound),
            Self::Inbound(_) => Self::Inbound(network.inbound),
            Self::Dns(_) => Self::Dns(network.dns),
            Self::Log(_) => Self::Log(network.log),
        }
    }

    pub(super) fn put(self, network: &mut Network) {
        match self {
            Self::Outbound(word) => network.outbound = word,
            Self::Inbound(word) => network.inbound = word,
            Self::Dns(word) => network.dns = word,
            Self::Log(word) => network.log = word,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key(), self.word())
    }
}
