//! A launch is transparent: what a person or a script sees of `agentuser run -- X` is what it sees of X.
//!
//! Each row is run both ways and compared; then what a launch must refuse, and what must not come along.

mod arguments;
mod deploy_keys;
mod ends;
mod helpers;
mod hostile;
mod limits;
mod plain;
mod refusals;
mod sealed;
mod secrets;
mod signals;
mod streams;
mod sudoers;
mod terminal;

use crate::common::{Machine, Outcome, finish};
use std::ffi::OsStr;

/// How a command is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By the human, directly.
    Plain,
    /// Through the agent.
    Agent,
}

impl Way {
    const BOTH: [Self; 2] = [Self::Plain, Self::Agent];

    fn before(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::Agent => &["agentuser", "run", "--"],
        }
    }

    /// The command line that starts `argv` this way.
    fn argv<S: AsRef<OsStr>>(self, argv: &[S]) -> Vec<&OsStr> {
        self.before().iter().map(OsStr::new).chain(argv.iter().map(AsRef::as_ref)).collect()
    }

    #[track_caller]
    fn run<S: AsRef<OsStr>>(self, machine: &Machine, argv: &[S], input: &[u8]) -> Outcome {
        finish(machine.human().command(&self.argv(argv)), input)
    }

    /// Runs `line` of sh(1), in which `"$@"` begins a command of this way.
    #[track_caller]
    fn sh(self, machine: &Machine, line: &str) -> Outcome {
        machine.human().sh(line, if self == Self::Plain { &["env"] } else { self.before() })
    }
}

/// Runs a command both ways; the outcomes must be equal, and are answered.
#[track_caller]
fn same<S: AsRef<OsStr> + std::fmt::Debug>(machine: &Machine, argv: &[S], input: &[u8]) -> Outcome {
    let [plain, agent] = Way::BOTH.map(|way| way.run(machine, argv, input));
    assert_eq!(plain.end(), agent.end(), "{argv:?}\nplain: {plain:?}\nagent: {agent:?}");
    assert!(plain.stdout == agent.stdout, "{argv:?}\nplain: {plain:?}\nagent: {agent:?}");
    assert!(plain.stderr == agent.stderr, "{argv:?}\nplain: {plain:?}\nagent: {agent:?}");
    plain
}
