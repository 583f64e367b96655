//! Confinement: which lines there are, what each closes, and what the policy says of it.

use super::{
    error::{Place, Refusal},
    paths,
    reader::{Fields, Reader},
    yaml::Node,
};
use crate::model::AbsPath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The keys below `confine`, in the order of [`Line::ALL`], with those that are no lines at the end.
pub(super) const KEYS: &[&str] = &[
    "no-new-privileges",
    "landlock",
    "abstract-sockets",
    "signals",
    "socket-families",
    "terminal-input",
    "io-uring",
    "keyrings",
    "kernel-calls",
    "user-namespaces",
    "private-tmp",
    "seatbelt",
    "read",
    "write",
];

/// One line of confinement. Each can be switched by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// `no_new_privs`, without which there is none of the others.
    NoNewPrivileges,
    /// File access, by Landlock.
    Landlock,
    /// Abstract sockets of processes outside the session, by Landlock.
    AbstractSockets,
    /// Signals to processes outside the session, by Landlock.
    Signals,
    /// Socket families and protocols that hardly a program uses.
    SocketFamilies,
    /// Putting input into a terminal.
    TerminalInput,
    /// `io_uring`.
    IoUring,
    /// The kernel's key service.
    Keyrings,
    /// bpf(2), userfaultfd(2), `perf_event_open(2)`.
    KernelCalls,
    /// User namespaces of the agent's own.
    UserNamespaces,
}

impl Line {
    /// All lines, in the order in which they are told.
    pub const ALL: [Self; 10] = [
        Self::NoNewPrivileges,
        Self::Landlock,
        Self::AbstractSockets,
        Self::Signals,
        Self::SocketFamilies,
        Self::TerminalInput,
        Self::IoUring,
        Self::Keyrings,
        Self::KernelCalls,
        Self::UserNamespaces,
    ];

    /// Its key in the policy.
    pub fn key(self) -> &'static str {
        KEYS[self as usize]
    }

    /// The word that puts it in force, or that leaves what it is about open.
    pub fn word(self, closed: bool) -> &'static str {
        match (self, closed) {
            (Self::NoNewPrivileges | Self::Landlock, true) => "true",
            (Self::NoNewPrivileges | Self::Landlock, false) => "false",
            (_, true) => "deny",
            (_, false) => "allow",
        }
    }

    /// What it closes and why, for a person.
    pub fn why(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => {
                "setuid programs give nothing: sudo, su and their faults are out of reach"
            }
            Self::Landlock => {
                "files outside the system, the home and the projects stay closed, also where their mode opens them to all"
            }
            Self::AbstractSockets => {
                "abstract sockets have no owner and no mode: a display server or debugger of yours takes calls there"
            }
            Self::Signals => {
                "a session can't end or stop processes of another one, nor what keeps files shared"
            }
            Self::SocketFamilies => {
                "AF_VSOCK, AF_PACKET, AF_ALG and others pass the firewall by, and have had many faults"
            }
            Self::TerminalInput => {
                "TIOCSTI and TIOCLINUX type commands into the terminal that started the session"
            }
            Self::IoUring => "io_uring opens sockets and files without the system calls that are watched",
            Self::Keyrings => "keys of the user, the session and Kerberos are reached by id, not by file",
            Self::KernelCalls => {
                "bpf, userfaultfd and perf_event_open serve attacks on the kernel more than builds"
            }
            Self::UserNamespaces => {
                "inside one the agent is root over parts of the kernel that see little testing; browsers and bwrap need them"
            }
        }
    }

    /// Whether it is in force where the policy is silent. User namespaces stay: browsers and other sandboxes need them,
    /// and the firewall sees through them.
    fn by_default(self) -> bool {
        self != Self::UserNamespaces
    }

    fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|line| line.key() == key)
    }
}

/// What the policy says of confinement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confine {
    /// The lines that it names, and whether each is to be in force.
    pub lines: BTreeMap<Line, bool>,
    /// Files and directories beside the usual ones that Landlock lets the agent read.
    pub read: Vec<AbsPath>,
    /// The same for writing.
    pub write: Vec<AbsPath>,
    /// Temporary directories of its own.
    pub private_tmp: Option<bool>,
    /// A Seatbelt profile, on macOS; where the policy is silent there is none.
    pub seatbelt: Option<bool>,
}

impl Confine {
    /// Whether a line is to be in force. Without `no_new_privs` there is none.
    pub fn wants(&self, line: Line) -> bool {
        let said = |line: Line| self.lines.get(&line).copied().unwrap_or(line.by_default());
        said(Line::NoNewPrivileges) && said(line)
    }

    /// Whether the policy asks for a line by name, so that nothing may start without it.
    pub fn demands(&self, line: Line) -> bool {
        self.lines.get(&line) == Some(&true)
    }
}

/// Reads `confine`.
pub(super) fn read<'t>(reader: &mut Reader<'t>, node: &Node<'t>) -> Confine {
    let Some(fields) = reader.fields(node, "`confine`", KEYS) else { return Confine::default() };
    let mut confine = Confine {
        private_tmp: fields.get("private-tmp").and_then(|node| reader.boolean(node, "`private-tmp`")),
        seatbelt: fields.get("seatbelt").and_then(|node| reader.boolean(node, "`seatbelt`")),
        read: path_list(reader, &fields, "read", paths::readable),
        write: path_list(reader, &fields, "write", paths::project),
        lines: BTreeMap::new(),
    };
    for (key, node) in fields.present() {
        let Some(line) = Line::of_key(&key.name) else { continue };
        if let Some(closed) = word(reader, line, node) {
            confine.lines.insert(line, closed);
        }
    }
    if confine.lines.get(&Line::NoNewPrivileges) == Some(&false) {
        let others = || fields.present().filter(|(key, _)| key.name != Line::NoNewPrivileges.key());
        let asked = |key: &str| Line::of_key(key).is_some_and(|line| confine.demands(line));
        let found: Vec<Place> = others().filter(|(key, _)| asked(&key.name)).map(|(key, _)| key.at).collect();
        for at in found {
            let message = "the kernel gives this only with `no-new-privileges: true`";
            reader.refuse(at, &Refusal::new(message, "remove one of the two"));
        }
    }
    confine
}

fn word<'t>(reader: &mut Reader<'t>, line: Line, node: &Node<'t>) -> Option<bool> {
    let key = format!("`{}`", line.key());
    if line.word(true) == "true" {
        return reader.boolean(node, &key);
    }
    reader.choice::<super::Permit>(node, &key).map(|permit| permit == super::Permit::Deny)
}

fn path_list<'t>(
    reader: &mut Reader<'t>,
    fields: &Fields<'_, 't>,
    key: &'static str,
    judge: fn(&AbsPath) -> Result<(), Refusal>,
) -> Vec<AbsPath> {
    let Some(node) = fields.get(key) else { return vec![] };
    let what = format!("`{key}`");
    let items = reader.list(node, &what, "a list such as `[/srv/models]`, or `[]` for none");
    let mut found = Vec::new();
    for item in items {
        let Some(text) = reader.scalar(item, "a path", "write one path an item") else { continue };
        let judged = paths::read(text).and_then(|path| judge(&path).map(|()| path));
        found.extend(reader.judge(item.at, judged));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_key() {
        for line in Line::ALL {
            assert_eq!(serde_json::to_string(&line).unwrap(), format!("\"{}\"", line.key()));
            assert_eq!(Line::of_key(line.key()), Some(line));
        }
    }

    #[test]
    fn without_no_new_privileges_there_is_nothing() {
        let off = Confine { lines: [(Line::NoNewPrivileges, false)].into(), ..Confine::default() };
        assert!(Line::ALL.into_iter().all(|line| !off.wants(line)));
        let wanted: Vec<_> = Line::ALL.into_iter().filter(|line| !Confine::default().wants(*line)).collect();
        assert_eq!(wanted, [Line::UserNamespaces]);
    }
}
