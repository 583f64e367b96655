//! The probes: each tries one way around, harmlessly, and tells what it saw. The same code runs as the human and as the agent.

use super::{Looks, bait::Bait};
use crate::host::{places, sys};
use rustix::{
    io::Errno,
    net::{AddressFamily, RawAddressFamily, SocketType},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    net::{SocketAddr, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddr, UnixStream},
    },
    path::Path,
    time::Duration,
};

/// The variable that must not come along.
pub const VARIABLE: &str = "AGENTUSER_DOCTOR_TOKEN";

/// How long a server is waited for. It is on this machine.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sockets of programs that do as root what they are told.
const ROOTS: [&str; 6] = [
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/libvirt/libvirt-sock",
    "/var/lib/incus/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
];

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
            /// All of them, in the order of their numbers.
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
}

/// Tries all of them.
pub fn look(bait: &Bait) -> Looks {
    Probe::ALL.into_iter().map(|probe| (probe, one(probe, bait))).collect()
}

fn one(probe: Probe, bait: &Bait) -> Seen {
    match probe {
        Probe::Beyond => beyond(),
        Probe::Resolvers => sockets(&places::NAME_SERVICES, "no resolver service takes calls here"),
        Probe::Tcp4 => tcp(bait.tcp4),
        Probe::Tcp6 => tcp(bait.tcp6),
        Probe::Udp => udp(bait.udp),
        Probe::Descriptors => descriptors(bait),
        Probe::Families => families(),
        Probe::IoUring => call(&sys::io_uring_answer(), &[Errno::PERM, Errno::NOSYS, Errno::ACCESS]),
        Probe::Terminal => terminal(),
        Probe::Variables => match std::env::var(VARIABLE) {
            Ok(value) if value == bait.word => Seen::Open(format!("{VARIABLE} came along")),
            _ => Seen::Closed("it did not come along".into()),
        },
        Probe::Sibling => read(bait.sibling.as_deref(), &bait.word),
        Probe::Temporary => {
            let seen = bait.temporary.iter().map(|path| read(Some(path), &bait.word));
            worst(seen, "there is neither directory")
        }
        Probe::Abstract => abstract_socket(bait),
        Probe::Runtime => match &bait.runtime {
            None => Seen::Untold("you have none".into()),
            Some(path) => judged(fs::read_dir(path), &format!("{} can be listed", path.display())),
        },
        Probe::Processes => match fs::read(format!("/proc/{}/cmdline", bait.pid)) {
            Ok(line) if !line.is_empty() => Seen::Open("the doctor's own can be read".into()),
            Ok(_) => Seen::Closed("it is empty".into()),
            Err(error) => Seen::Closed(error.to_string()),
        },
        Probe::Setuid => setuid(),
        Probe::Roots => sockets(&ROOTS, "none of them takes calls here"),
        Probe::Git => {
            let open = |path: &std::path::PathBuf| {
                let opened = fs::OpenOptions::new().write(true).open(path);
                judged(opened, &format!("{} can be written", path.display()))
            };
            worst(bait.git.iter().map(open), "no project is a git repository")
        }
        Probe::Keyring => keyring(bait),
    }
}

fn judged<T>(tried: io::Result<T>, open: &str) -> Seen {
    match tried {
        Ok(_) => Seen::Open(open.into()),
        Err(error) => Seen::Closed(error.to_string()),
    }
}

/// The first that got through, else the first of the others.
fn worst(seen: impl Iterator<Item = Seen>, none: &str) -> Seen {
    let all: Vec<_> = seen.collect();
    let open = all.iter().find(|one| matches!(one, Seen::Open(_)));
    open.or(all.first()).cloned().unwrap_or_else(|| Seen::Untold(none.into()))
}

/// An address for documentation (RFC 5737): the packet arrives nowhere, if it leaves.
fn beyond() -> Seen {
    let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(&[], "192.0.2.1:9"));
    match sent {
        Ok(_) => Seen::Open("a packet left".into()),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::PERM) => Seen::Closed(error.to_string()),
            _ => Seen::Untold(format!("there is no way out of this machine: {error}")),
        },
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

fn descriptors(bait: &Bait) -> Seen {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return Seen::Untold("there is no /proc".into()) };
    let leads = |link: &Path| bait.temporary.iter().any(|path| link == path);
    let mut links = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    match links.find(|link| leads(link)) {
        Some(link) => Seen::Open(format!("{} is open", link.display())),
        None => Seen::Closed("it did not come along".into()),
    }
}

fn families() -> Seen {
    const NAMES: [(RawAddressFamily, &str); 3] = [(40, "AF_VSOCK"), (38, "AF_ALG"), (17, "AF_PACKET")];
    let open = |family| {
        let kinds = [SocketType::STREAM, SocketType::SEQPACKET, SocketType::DGRAM];
        let socket = |kind| rustix::net::socket(AddressFamily::from_raw(family), kind, None).is_ok();
        kinds.into_iter().any(socket)
    };
    let names: Vec<_> = NAMES.iter().filter(|(family, _)| open(*family)).map(|(_, name)| *name).collect();
    if names.is_empty() {
        Seen::Closed("none of them can be opened".into())
    } else {
        Seen::Open(format!("{} can be opened", names.join(", ")))
    }
}

/// What the kernel answers to a call that asks for nothing: one of `refusals` where it is not even looked at.
fn call(answer: &io::Error, refusals: &[Errno]) -> Seen {
    let refused = Errno::from_io_error(answer).is_some_and(|errno| refusals.contains(&errno));
    if refused {
        Seen::Closed(answer.to_string())
    } else {
        Seen::Open(format!("the kernel takes it ({answer})"))
    }
}

/// On a file that is no terminal, so that nothing is typed: whoever is let through is told so.
fn terminal() -> Seen {
    match fs::File::open("/dev/null") {
        Ok(null) => call(&sys::terminal_input_answer(&null), &[Errno::PERM, Errno::ACCESS]),
        Err(error) => Seen::Untold(error.to_string()),
    }
}

fn read(path: Option<&Path>, word: &str) -> Seen {
    let Some(path) = path else { return Seen::Untold("the file could not be made".into()) };
    match fs::read_to_string(path) {
        Ok(text) if text == word => Seen::Open(format!("{} can be read", path.display())),
        Ok(_) => Seen::Closed("another file is there".into()),
        Err(error) => Seen::Closed(error.to_string()),
    }
}

fn abstract_socket(bait: &Bait) -> Seen {
    let address = bait.abstract_name.as_ref().and_then(|name| UnixAddr::from_abstract_name(name).ok());
    let Some(address) = address else { return Seen::Untold("it could not be made".into()) };
    judged(UnixStream::connect_addr(&address), "it answered")
}

fn sockets(paths: &[&str], none: &str) -> Seen {
    let there = paths.iter().filter(|path| Path::new(path).exists());
    let call = |path: &&str| judged(UnixStream::connect(path), &format!("{path} takes calls"));
    worst(there.map(call), none)
}

fn setuid() -> Seen {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"));
    match line.map(str::trim) {
        Some("1") => Seen::Closed("no_new_privs is set".into()),
        Some(_) => Seen::Open("no_new_privs is not set".into()),
        None => Seen::Untold("the kernel does not tell".into()),
    }
}

fn keyring(bait: &Bait) -> Seen {
    let Some(theirs) = bait.keyring else { return Seen::Untold("you have none".into()) };
    match sys::session_keyring() {
        Ok(own) if own == theirs => Seen::Open("it is this session's, too".into()),
        Ok(_) => Seen::Closed("this session has its own".into()),
        Err(error) => Seen::Closed(error.to_string()),
    }
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
    fn every_number_is_in_the_table() {
        let table = include_str!("../../docs/bypasses.md");
        for probe in Probe::ALL {
            assert!(table.contains(&format!("| {} |", probe.bypass())), "{probe:?}");
        }
    }
}
