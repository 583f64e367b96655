//! The probes: each tries one way around, harmlessly, and tells what it saw. The same code runs as the human and as the agent.

use super::{Looks, bait::Bait, system};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    net::{SocketAddr, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// The variable that must not come along.
pub const VARIABLE: &str = "AGENTUSER_DOCTOR_TOKEN";

/// How long a server is waited for. It is on this machine.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a probe saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// It got through.
    Open(String),
    /// It was kept away.
    Closed(String),
    /// There is nothing to be tried here.
    Untold(String),
}

macro_rules! probes {
    ($($name:ident $bypass:literal $what:literal)*) => {
        /// One way around.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[expect(missing_docs, reason = "`what` has the words")]
        pub enum Probe { $($name),* }

        impl Probe {
            /// All of them, of every system.
            pub const ALL: [Self; [$($bypass),*].len()] = [$(Self::$name),*];

            /// The number in docs/bypasses.md.
            pub fn bypass(self) -> &'static str {
                match self { $(Self::$name => $bypass),* }
            }

            /// What is tried.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what),* }
            }
        }
    };
}

probes! {
    Beyond "B02" "send to another machine"
    Resolvers "B03" "ask a resolver service"
    Tcp4 "B04" "call a server of yours on 127.0.0.1"
    Tcp6 "B04" "call a server of yours on ::1"
    Udp "B04" "send to a server of yours by UDP"
    Descriptors "B07" "use a file that you had open"
    Families "B08" "open AF_VSOCK, AF_ALG or AF_PACKET sockets"
    IoUring "B08" "use io_uring"
    Terminal "B10" "type into a terminal (TIOCSTI)"
    Variables "B11" "read a variable of your environment"
    Sibling "B12" "read a file beside the projects that all may read"
    Temporary "B13" "read files of yours in /tmp and /dev/shm"
    Abstract "B14" "call an abstract socket of yours"
    Runtime "B14" "list your run-time directory"
    Processes "B15" "read the command line of your processes"
    Setuid "B16" "gain by setuid programs"
    Roots "B17" "call docker, libvirt, incus or the like"
    Git "B19" "write git's configuration in a project"
    Keyring "B29" "reach your session keyring"
    Ping "B09" "send a ping to another machine"
    YourTerminal "B10" "open the terminal that you sit at"
    Homes "B12" "list homes of people"
    SharedTemporary "B13" "read a file of yours in /tmp"
    OwnTemporary "B13" "list your own temporary directory (TMPDIR)"
    SshAgent "B14" "call your ssh-agent"
    Pasteboard "B14" "read your pasteboard"
    AppleEvents "B14" "tell the Finder of your session what to do"
    Open "B14" "have `open` show something in your session"
    Cron "B16" "have cron start something later"
    Sudo "B18" "use sudo without a password"
    Keychains "B29" "open your keychain, or have it listed"
    LoginSession "B29" "be in your login session (Mach bootstrap)"
}

impl Probe {
    /// What macOS leaves open, by its name in SECURITY.md, where that is what is tried.
    pub fn left_open_by_macos(self) -> Option<&'static str> {
        Some(match self {
            Self::Resolvers => "mdnsresponder",
            Self::Ping => "icmp",
            Self::Sibling | Self::Homes => "localaccounts",
            Self::SharedTemporary => "tmp",
            Self::Pasteboard | Self::AppleEvents | Self::Open | Self::LoginSession => "mach-bootstrap",
            Self::Processes => "processes",
            Self::Cron => "cron",
            Self::Git => "git",
            _ => return None,
        })
    }

    /// Whether a Seatbelt profile of ours closes what is tried.
    pub fn closed_by_seatbelt(self) -> bool {
        matches!(
            self,
            Self::Resolvers | Self::Sibling | Self::Homes | Self::Pasteboard | Self::AppleEvents | Self::Open
        )
    }
}

/// Tries all that there is to be tried on this system.
pub fn look(bait: &Bait) -> Looks {
    system::PROBES.iter().map(|probe| (*probe, system::attempt(*probe, bait))).collect()
}

/// What is tried in the same way everywhere; `None` for what a system tries by means of its own.
pub(super) fn common(probe: Probe, bait: &Bait) -> Option<Seen> {
    Some(match probe {
        Probe::Tcp4 => tcp(bait.tcp4),
        Probe::Tcp6 => tcp(bait.tcp6),
        Probe::Udp => udp(bait.udp),
        Probe::Variables => match std::env::var(VARIABLE) {
            Ok(value) if value == bait.word => Seen::Open(format!("{VARIABLE} came along")),
            _ => Seen::Closed("it did not come along".into()),
        },
        Probe::Sibling => read(bait.sibling.as_deref(), &bait.word),
        Probe::Temporary | Probe::SharedTemporary => {
            let seen = bait.temporary.iter().map(|path| read(Some(path), &bait.word));
            worst(seen, "there is no such directory")
        }
        Probe::Runtime | Probe::OwnTemporary => match &bait.runtime {
            None => Seen::Untold("you have none".into()),
            Some(path) => judged(fs::read_dir(path), &format!("{} can be listed", path.display())),
        },
        Probe::Git => {
            let open = |path: &std::path::PathBuf| {
                let opened = fs::OpenOptions::new().write(true).open(path);
                judged(opened, &format!("{} can be written", path.display()))
            };
            worst(bait.git.iter().map(open), "no project is a git repository")
        }
        _ => return None,
    })
}

pub(super) fn judged<T>(tried: io::Result<T>, open: &str) -> Seen {
    match tried {
        Ok(_) => Seen::Open(open.into()),
        Err(error) => Seen::Closed(error.to_string()),
    }
}

/// The first that got through, else the first of the others.
pub(super) fn worst(seen: impl Iterator<Item = Seen>, none: &str) -> Seen {
    let all: Vec<_> = seen.collect();
    let open = all.iter().find(|one| matches!(one, Seen::Open(_)));
    open.or(all.first()).cloned().unwrap_or_else(|| Seen::Untold(none.into()))
}

/// Sends a datagram to an address for documentation (RFC 5737): it arrives nowhere, if it leaves. `refusals` are the answers
/// that the rules give; any other error is told of a machine without a way out.
pub(super) fn beyond(refusals: &[Errno]) -> Seen {
    let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(&[], "192.0.2.1:9"));
    match sent {
        Ok(_) => Seen::Open("a packet left".into()),
        Err(error) if Errno::from_io_error(&error).is_some_and(|errno| refusals.contains(&errno)) => {
            Seen::Closed(error.to_string())
        }
        Err(error) => Seen::Untold(format!("there is no way out of this machine: {error}")),
    }
}

fn tcp(server: Option<SocketAddr>) -> Seen {
    let Some(server) = server else { return Seen::Untold("there is no such loopback".into()) };
    judged(TcpStream::connect_timeout(&server, PATIENCE), "it answered")
}

fn udp(server: Option<SocketAddr>) -> Seen {
    let Some(server) = server else { return Seen::Untold("there is no such server".into()) };
    let sent = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"?", server));
    judged(sent, "it was sent")
}

pub(super) fn read(path: Option<&Path>, word: &str) -> Seen {
    let Some(path) = path else { return Seen::Untold("the file could not be made".into()) };
    match fs::read_to_string(path) {
        Ok(text) if text == word => Seen::Open(format!("{} can be read", path.display())),
        Ok(_) => Seen::Closed("another file is there".into()),
        Err(error) => Seen::Closed(error.to_string()),
    }
}

/// Calls a socket of a service.
pub(super) fn call_socket(path: &Path) -> Seen {
    judged(UnixStream::connect(path), &format!("{} takes calls", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts() {
        let (open, closed) = (Seen::Open("o".into()), Seen::Closed("c".into()));
        assert_eq!(worst([closed.clone(), open.clone()].into_iter(), "n"), open);
        assert_eq!(worst([closed.clone()].into_iter(), "n"), closed);
        assert_eq!(worst(std::iter::empty(), "n"), Seen::Untold("n".into()));
    }

    #[test]
    fn the_order_is_that_of_the_numbers() {
        assert!(system::PROBES.is_sorted_by_key(|probe| probe.bypass()));
    }

    #[test]
    fn what_macos_leaves_open_has_its_entry() {
        let ids: Vec<_> = crate::host::mac_open::OPEN.iter().map(|open| open.id).collect();
        let left: Vec<_> = Probe::ALL.into_iter().filter_map(Probe::left_open_by_macos).collect();
        assert!(left.len() > 8 && left.iter().all(|id| ids.contains(id)), "{left:?}");
    }

    #[test]
    fn every_number_is_in_the_table() {
        let table = include_str!("../../docs/bypasses.md");
        for probe in Probe::ALL {
            assert!(table.contains(&format!("| {} |", probe.bypass())), "{probe:?}");
        }
    }
}
