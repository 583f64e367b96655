//! Kinds of things, how much each matters, and why.

use serde::{Deserialize, Serialize};

/// How much a change matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rank {
    /// Runs without a question, when the human enters, opens or asks for the state of the project.
    Red,
    /// Runs when the human builds, tests or starts something.
    Yellow,
    /// Everything else.
    Grey,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $rank:ident $why:literal,)+) => {
        /// What a watched thing is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// How much a change of it matters.
            pub fn rank(self) -> Rank {
                match self { $(Self::$kind => Rank::$rank,)+ }
            }

            /// What becomes of it.
            pub fn why(self) -> &'static str {
                match self { $(Self::$kind => $why,)+ }
            }
        }
    };
}

kinds! {
    /// A key of git's configuration that names a program, or leads elsewhere.
    GitCommand Red "git runs it, or reads more of its orders from there, on its next command",
    /// An executable hook.
    GitHook Red "git runs it",
    /// A repository, or a file that leads git to one.
    GitRepository Red "git takes its orders from the configuration and hooks in there",
    /// A key of git's configuration that nobody knows to be harmless.
    GitSetting Yellow "changes what git does",
    /// Attributes that are not tracked.
    GitAttributes Grey "chooses among filters that git's configuration defines",
    /// A set-user-id or set-group-id file.
    SetId Red "runs under its owner's or group's id",
    /// Runs when a directory is entered.
    ShellEntry Red "a shell with direnv, mise or the like runs it on entering",
    /// Settings that an editor acts on when it opens the project.
    Editor Red "an editor acts on it when it opens the project",
    /// Settings and servers of coding agents.
    AgentSettings Red "a coding agent of yours starts what it names",
    /// cargo's configuration, which language servers obey.
    Cargo Red "cargo, and an editor's language server with it, runs what it names",
    /// A symbolic link that leads out of the project.
    LinkOut Yellow "leads out of the project: what is written to it lands there",
    /// A file with a name outside of the project, or whose other names were not found in it.
    HardLink Yellow "has a name outside of the project: who writes by that one writes here, and the other way round",
    /// The same of what package managers, compilers and git made.
    StoreLink Grey "what tools made has names outside of the project, as a package manager's store and git's clones have",
    /// Of the agent's, where tools of the human's look by themselves.
    OutsideSettings Red "the agent's, where your shell, an editor or another tool looks by itself",
    /// A program, a socket or the like of the agent's, outside of its projects.
    OutsideProgram Yellow "the agent's, outside of its projects: runs or answers when you, or a tool of yours, turns to it",
    /// A symbolic link of the agent's, outside of its projects.
    OutsideLink Yellow "the agent's, outside of its projects: what is written to it lands where it leads",
    /// Anything else of the agent's, outside of its projects.
    Outside Grey "the agent's, outside of its projects",
    /// A bound was met.
    Unfinished Yellow "not all was looked at, and there may be more",
    /// What build tools run.
    Build Yellow "runs when you build",
    /// A script of a package.
    Script Yellow "runs when you install, build or test",
    /// Settings of package managers.
    Packages Yellow "steers where packages come from, and what runs on installing",
    /// What Python runs by itself.
    Python Yellow "Python or a test run executes it",
    /// What tools of git run.
    GitTools Yellow "a hook that you have installed runs it",
    /// Containers.
    Container Yellow "runs when you start the container",
    /// Orders in words to coding agents.
    AgentWords Yellow "a coding agent of yours takes it for instructions",
    /// Work of servers.
    Pipeline Grey "runs on the server after a push",
    /// Style.
    Style Grey "an editor's formatting",
}
