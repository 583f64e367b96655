//! What stays open on macOS, whatever the policy says. `status` names each, and SECURITY.md says more.

/// One way around the isolation that macOS leaves open.
pub struct Open {
    /// Its name in SECURITY.md.
    pub id: &'static str,
    /// What it is, in a line.
    pub what: &'static str,
}

/// All that are known.
pub const OPEN: [Open; 13] = [
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
        id: "setuid",
        what: "set-id programs start, as for any account: sudo has no rule for the agent, their faults are in reach",
    },
    Open {
        id: "cron",
        what: "cron starts what the agent asks for, later and outside of any session; the account's rules hold for it",
    },
    Open {
        id: "ssh",
        what: "where Remote Login is open to all accounts, a key that the agent puts into its home lets its owner in",
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
