//! What stays open on macOS, whatever the policy says. `status` names each, and SECURITY.md says more.

/// One way around the isolation that macOS leaves open.
pub struct Open {
    /// Its name in SECURITY.md.
    pub id: &'static str,
    /// What it is, in a line.
    pub what: &'static str,
}

/// All that are known.
pub const OPEN: [Open; 10] = [
    Open {
        id: "icmp",
        what: "ping leaves: pf can't tell the account of a packet that is neither TCP nor UDP",
    },
    Open {
        id: "mdnsresponder",
        what: "every name resolves, and names can carry data out: mDNSResponder asks for whoever calls it (confine.seatbelt closes it)",
    },
    Open {
        id: "mach-bootstrap",
        what: "services of your login session can be looked up (pasteboard, `open`, Apple events; confine.seatbelt closes these); each decides by itself",
    },
    Open {
        id: "tcc-responsibility",
        what: "macOS asks your terminal's privacy settings for the agent: don't give it Full Disk Access for long",
    },
    Open {
        id: "nsurlsessiond",
        what: "system services that fetch for whoever asks do so under their own account",
    },
    Open {
        id: "localaccounts",
        what: "files that are open to everyone or to localaccounts can be read, such as other homes' public parts (confine.seatbelt closes homes)",
    },
    Open {
        id: "processes",
        what: "ps shows the command lines of all accounts' processes: no secret belongs into one",
    },
    Open {
        id: "git",
        what: "the agent may write .git/config and hooks in projects: look at them before you run git",
    },
    Open {
        id: "loopback-own",
        what: "the agent's own loopback servers need their port in `loopback:`, and share it with other accounts'",
    },
    Open { id: "tmp", what: "/tmp and /var/tmp are shared with other accounts" },
];
