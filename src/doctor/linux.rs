//! What is tried on Linux, and what the human lays out for it there.

use super::{
    bait::Bait,
    probe::{Probe, Seen, beyond, call_socket, common, judged, worst},
};
use crate::host::{places, sys};
use rustix::{
    io::Errno,
    net::{AddressFamily, RawAddressFamily, SocketType},
};
use std::{
    fs, io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

/// In the order of their numbers.
pub(super) const PROBES: &[Probe] = &[
    Probe::Beyond,
    Probe::Resolvers,
    Probe::Tcp4,
    Probe::Tcp6,
    Probe::Udp,
    Probe::Descriptors,
    Probe::Families,
    Probe::IoUring,
    Probe::Terminal,
    Probe::Variables,
    Probe::Sibling,
    Probe::Temporary,
    Probe::Abstract,
    Probe::Runtime,
    Probe::Processes,
    Probe::Setuid,
    Probe::Roots,
    Probe::Git,
    Probe::Keyring,
];

/// Sockets of programs that do as root what they are told.
const ROOTS: [&str; 6] = [
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/libvirt/libvirt-sock",
    "/var/lib/incus/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
];

/// Directories for temporary files that all accounts share.
pub(super) const TEMPORARY: &[&str] = &["/tmp", "/dev/shm"];

/// Lays out what is there on Linux alone, and answers what has to be kept open.
pub(super) fn lay_out(bait: &mut Bait, _: &Path) -> io::Result<Option<UnixListener>> {
    let name = UnixAddr::from_abstract_name(&bait.word)?;
    let unix = UnixListener::bind_addr(&name).ok();
    bait.abstract_name = unix.is_some().then(|| bait.word.clone());
    let runtime = PathBuf::from(format!("/run/user/{}", rustix::process::getuid().as_raw()));
    bait.runtime = runtime.is_dir().then_some(runtime);
    bait.keyring = sys::session_keyring().ok();
    Ok(unix)
}

pub(super) fn attempt(probe: Probe, bait: &Bait) -> Seen {
    match probe {
        Probe::Beyond => beyond(&[Errno::PERM]),
        Probe::Resolvers => sockets(&places::NAME_SERVICES, "no resolver service takes calls here"),
        Probe::Descriptors => descriptors(bait),
        Probe::Families => families(),
        Probe::IoUring => call(&sys::io_uring_answer(), &[Errno::PERM, Errno::NOSYS, Errno::ACCESS]),
        Probe::Terminal => terminal(),
        Probe::Abstract => abstract_socket(bait),
        Probe::Processes => match fs::read(format!("/proc/{}/cmdline", bait.pid)) {
            Ok(line) if !line.is_empty() => Seen::Open("the doctor's own can be read".into()),
            Ok(_) => Seen::Closed("it is empty".into()),
            Err(error) => Seen::Closed(error.to_string()),
        },
        Probe::Setuid => setuid(),
        Probe::Roots => sockets(&ROOTS, "none of them takes calls here"),
        Probe::Keyring => keyring(bait),
        _ => common(probe, bait).unwrap_or_else(|| Seen::Untold("it is not tried on Linux".into())),
    }
}

/// Calls sockets of services, as far as this account sees them.
fn sockets(paths: &[&str], none: &str) -> Seen {
    worst(paths.iter().map(Path::new).filter(|path| path.exists()).map(call_socket), none)
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

fn abstract_socket(bait: &Bait) -> Seen {
    let address = bait.abstract_name.as_ref().and_then(|name| UnixAddr::from_abstract_name(name).ok());
    let Some(address) = address else { return Seen::Untold("it could not be made".into()) };
    judged(UnixStream::connect_addr(&address), "it answered")
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
