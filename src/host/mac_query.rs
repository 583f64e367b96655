//! Looks at macOS by its own programs; each is known to change nothing.

use super::{Command, Program};
use crate::{formats::pf, model::Uid};

/// A look at macOS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MacQuery {
    /// An account's record: `dscl -plist . -read /Users/NAME`.
    User(String),
    /// A group's record.
    Group(String),
    /// The groups of an account: `id -Gn NAME`.
    GroupsOf(String),
    /// Whether pf filters: `pfctl -s info`.
    PfInfo,
    /// Who holds tokens: `pfctl -s References`.
    PfReferences,
    /// The main ruleset: `pfctl -sr`.
    PfMain,
    /// The main rules of nat: `pfctl -sn`.
    PfNat,
    /// The rules of an agent's anchor.
    PfRules(Uid),
    /// The rules of translation of an agent's anchor.
    PfTurned(Uid),
    /// A table of an agent's anchor.
    PfTable(Uid, String),
    /// A job of ours: `launchctl print system/LABEL`.
    Job(String),
    /// Jobs that somebody switched off: `launchctl print-disabled system`.
    DisabledJobs,
}

impl MacQuery {
    /// The program that is run.
    pub fn command(&self) -> Command {
        let pfctl = |args: &[&str]| Command::new(Program::Pfctl, args.iter().copied());
        match self {
            Self::User(name) => {
                Command::new(Program::Dscl, ["-plist", ".", "-read", &format!("/Users/{name}")])
            }
            Self::Group(name) => {
                Command::new(Program::Dscl, ["-plist", ".", "-read", &format!("/Groups/{name}")])
            }
            Self::GroupsOf(name) => Command::new(Program::Id, ["-Gn", name]),
            Self::PfInfo => pfctl(&["-s", "info"]),
            Self::PfReferences => pfctl(&["-s", "References"]),
            Self::PfMain => pfctl(&["-sr"]),
            Self::PfNat => pfctl(&["-sn"]),
            Self::PfRules(uid) => pfctl(&["-a", &pf::anchor(*uid), "-sr"]),
            Self::PfTurned(uid) => pfctl(&["-a", &pf::anchor(*uid), "-sn"]),
            Self::PfTable(uid, table) => pfctl(&["-a", &pf::anchor(*uid), "-t", table, "-T", "show"]),
            Self::Job(label) => Command::new(Program::Launchctl, ["print", &format!("system/{label}")]),
            Self::DisabledJobs => Command::new(Program::Launchctl, ["print-disabled", "system"]),
        }
    }

    /// Whether only root gets an answer.
    pub fn needs_root(&self) -> bool {
        match self {
            Self::User(_) | Self::Group(_) | Self::GroupsOf(_) | Self::Job(_) | Self::DisabledJobs => false,
            Self::PfInfo
            | Self::PfReferences
            | Self::PfMain
            | Self::PfNat
            | Self::PfRules(_)
            | Self::PfTurned(_)
            | Self::PfTable(..) => true,
        }
    }
}
