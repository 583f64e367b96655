//! What is tried on macOS, and what the human lays out for it there.

use super::{
    bait::Bait,
    probe::{Probe, Seen, beyond, call_socket, common, judged, worst},
    programs::{attempt as by, keychains},
};
use crate::host::{Program, places};
use rustix::{
    io::Errno,
    net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket},
};
use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::{
        fs::{MetadataExt, OpenOptionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Duration,
};

/// In the order of their numbers.
pub(super) const PROBES: &[Probe] = &[
    Probe::Beyond,
    Probe::Resolvers,
    Probe::Tcp4,
    Probe::Tcp6,
    Probe::Udp,
    Probe::Descriptors,
    Probe::Ping,
    Probe::YourTerminal,
    Probe::Variables,
    Probe::Sibling,
    Probe::Homes,
    Probe::SharedTemporary,
    Probe::OwnTemporary,
    Probe::SshAgent,
    Probe::Pasteboard,
    Probe::AppleEvents,
    Probe::Open,
    Probe::Processes,
    Probe::Cron,
    Probe::Roots,
    Probe::Sudo,
    Probe::Git,
    Probe::Keychains,
    Probe::LoginSession,
];

/// Directories for temporary files that all accounts share.
pub(super) const TEMPORARY: &[&str] = &["/tmp"];

/// Where mDNSResponder takes calls of whoever wants a name resolved.
const RESOLVER: &str = "/var/run/mDNSResponder";

/// Sockets of virtual machines with containers, which do as root what they are told: of all, and below a home.
const ROOTS: [&str; 1] = ["/var/run/docker.sock"];
const ROOTS_AT_HOME: [&str; 4] = [
    ".docker/run/docker.sock",
    ".colima/default/docker.sock",
    ".orbstack/run/docker.sock",
    ".rd/docker.sock",
];

/// Homes that belong to nobody.
const NO_HOMES: [&str; 2] = ["Shared", "Guest"];

/// Lays out what is there on macOS alone; nothing has to be kept open for it.
#[expect(clippy::unnecessary_wraps, reason = "on Linux it can fail")]
pub(super) fn lay_out(bait: &mut Bait, _: &Path) -> io::Result<Option<UnixListener>> {
    let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    bait.runtime = named("TMPDIR").filter(|path| path.is_dir());
    bait.ssh_agent = named("SSH_AUTH_SOCK");
    let streams = [nix::unistd::ttyname(io::stdin()), nix::unistd::ttyname(io::stderr())];
    bait.terminal = streams.into_iter().find_map(Result::ok);
    Ok(None)
}

pub(super) fn attempt(probe: Probe, bait: &Bait) -> Seen {
    match probe {
        Probe::Beyond => worst([beyond(&REFUSALS), call_beyond()].into_iter(), ""),
        Probe::Resolvers => call_socket(Path::new(RESOLVER)),
        Probe::Descriptors => descriptors(bait),
        Probe::Ping => ping(),
        Probe::YourTerminal => match &bait.terminal {
            None => Seen::Untold("you sit at none".into()),
            Some(path) => {
                let no_control = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap_or_default();
                let opened = File::options().read(true).write(true).custom_flags(no_control).open(path);
                judged(opened, &format!("{} can be opened", path.display()))
            }
        },
        Probe::Homes => homes(Path::new(places::HOMES), bait),
        Probe::SshAgent => match &bait.ssh_agent {
            None => Seen::Untold("you have none".into()),
            Some(path) => call_socket(path),
        },
        Probe::Pasteboard => by(Program::Pbpaste, &[], |program| {
            program.answers("`pbpaste` gives what is on it", "`pbpaste` gives nothing")
        }),
        Probe::AppleEvents => {
            by(Program::Osascript, &["-e", r#"tell application "Finder" to get name"#], |program| {
                program.succeeds("the Finder answered")
            })
        }
        Probe::Open => by(Program::Open, &["-g", "/"], |program| program.succeeds("`open -g /` was obeyed")),
        Probe::Processes => by(Program::Ps, &["-o", "command=", "-p", &bait.pid.to_string()], |program| {
            program.answers("`ps` shows the doctor's own", "`ps` shows nothing")
        }),
        Probe::Roots => {
            let at_home = ROOTS_AT_HOME.iter().map(|path| bait.home.join(path));
            let all = ROOTS.iter().map(PathBuf::from).chain(at_home);
            worst(all.map(|path| call_socket(&path)), "")
        }
        Probe::Cron => by(Program::Crontab, &["-l"], |program| {
            program.refuses("not allowed", "`crontab` takes orders from it")
        }),
        Probe::Sudo => {
            by(Program::Sudo, &["-n", "-l"], |program| program.succeeds("`sudo -n -l` has rules for it"))
        }
        Probe::Keychains => keychains(&bait.home),
        Probe::LoginSession => by(Program::Launchctl, &["managername"], |program| {
            program.tells("Aqua", "`launchctl managername` says Aqua")
        }),
        _ => common(probe, bait).unwrap_or_else(|| Seen::Untold("it is not tried on macOS".into())),
    }
}

/// What a packet is answered with that a rule of pf refused. A machine without a way out answers with one of them, too: then
/// the control finds no opening.
const REFUSALS: [Errno; 3] = [Errno::HOSTUNREACH, Errno::CONNREFUSED, Errno::PERM];

/// A connection to an address for documentation (RFC 5737): nobody is there to refuse it, so that a rule did.
fn call_beyond() -> Seen {
    let nowhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    match TcpStream::connect_timeout(&nowhere, Duration::from_millis(500)) {
        Ok(_) => Seen::Open("a call was taken".into()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Seen::Open("a call left".into()),
        Err(error) if Errno::from_io_error(&error).is_some_and(|errno| REFUSALS.contains(&errno)) => {
            Seen::Closed(error.to_string())
        }
        Err(error) => Seen::Untold(format!("there is no way out of this machine: {error}")),
    }
}

/// An echo request (RFC 792) by the kind of socket that everybody may have.
fn ping() -> Seen {
    const REQUEST: [u8; 8] = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let nowhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
    let sent = socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP))
        .and_then(|socket| sendto(&socket, &REQUEST, SendFlags::empty(), &nowhere));
    match sent {
        Ok(_) => Seen::Open("a packet left".into()),
        Err(errno) => Seen::Closed(io::Error::from(errno).to_string()),
    }
}

/// Whether the human's file came along, by its device and inode: to open `/dev/fd/N` is to have that descriptor once more.
fn descriptors(bait: &Bait) -> Seen {
    let Some(wanted) = bait.handed_on else { return Seen::Untold("the file could not be made".into()) };
    let Ok(open) = fs::read_dir("/dev/fd") else { return Seen::Untold("there is no /dev/fd".into()) };
    let is_it = |path: &PathBuf| {
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        number.is_some_and(|number| number > 2)
            && File::open(path)
                .and_then(|file| file.metadata())
                .is_ok_and(|is| (is.dev(), is.ino()) == wanted)
    };
    match open.flatten().map(|entry| entry.path()).find(is_it) {
        Some(path) => Seen::Open(format!("{} is it", path.display())),
        None => Seen::Closed("it did not come along".into()),
    }
}

/// Homes that can be listed, but for one of the looker's own; the human's counts for the human as well, as the control.
fn homes(of_all: &Path, bait: &Bait) -> Seen {
    let me = rustix::process::getuid().as_raw();
    let all = match fs::read_dir(of_all) {
        Ok(all) => all.flatten().map(|entry| entry.path()),
        Err(error) => return Seen::Closed(error.to_string()),
    };
    let is_others = |path: &PathBuf| {
        let named = path.file_name().and_then(|name| name.to_str()).unwrap_or(".");
        let owner = fs::symlink_metadata(path).map(|is| is.uid());
        !named.starts_with('.')
            && !NO_HOMES.contains(&named)
            && (*path == bait.home || owner.is_ok_and(|owner| owner != me))
    };
    let list = |path: PathBuf| {
        judged(
            fs::read_dir(&path),
            &format!("{} can be listed (its owner closes it by: chmod go-rx {0})", path.display()),
        )
    };
    worst(all.filter(is_others).map(list), "there is no home of anybody's")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(seen: &Seen) -> bool {
        matches!(seen, Seen::Open(_))
    }

    #[test]
    fn in_the_order_of_their_numbers_and_none_is_of_linux_alone() {
        assert!(PROBES.is_sorted_by_key(|probe| probe.bypass()));
        let bait = lay();
        let of_linux = [Probe::Families, Probe::IoUring, Probe::Setuid, Probe::Keyring, Probe::Abstract];
        for probe in of_linux {
            assert!(!PROBES.contains(&probe));
            assert_eq!(attempt(probe, &bait), Seen::Untold("it is not tried on macOS".into()));
        }
        assert_eq!(TEMPORARY, ["/tmp"]);
    }

    fn lay() -> Bait {
        let mut bait = Bait::default();
        assert!(lay_out(&mut bait, Path::new("/")).unwrap().is_none());
        bait
    }

    #[test]
    fn a_file_that_came_along_is_found_by_what_it_is() {
        let file = tempfile::tempfile().unwrap();
        let is = file.metadata().unwrap();
        let bait = Bait { handed_on: Some((is.dev(), is.ino())), ..lay() };
        assert!(is_open(&attempt(Probe::Descriptors, &bait)));
        drop(file);
        let other = Bait { handed_on: Some((is.dev(), is.ino() ^ 1)), ..lay() };
        assert!(matches!(attempt(Probe::Descriptors, &other), Seen::Closed(_)));
        assert!(matches!(attempt(Probe::Descriptors, &lay()), Seen::Untold(_)));
    }

    #[test]
    fn sockets_and_terminals_are_tried_where_the_human_has_them() {
        let temp = tempfile::tempdir().unwrap();
        let home = temp.path();
        let bait = Bait {
            home: home.to_owned(),
            ssh_agent: Some(home.join("agent")),
            terminal: Some(home.join("tty")),
            ..lay()
        };
        let seen = |probe| attempt(probe, &bait);
        for probe in [Probe::SshAgent, Probe::YourTerminal] {
            assert!(matches!(seen(probe), Seen::Closed(_)), "{probe:?}");
        }
        let docker = home.join(".docker/run");
        fs::create_dir_all(&docker).unwrap();
        let _docker = UnixListener::bind(docker.join("docker.sock")).unwrap();
        let _agent = UnixListener::bind(home.join("agent")).unwrap();
        fs::write(home.join("tty"), "").unwrap();
        for probe in [Probe::SshAgent, Probe::YourTerminal, Probe::Roots] {
            assert!(is_open(&seen(probe)), "{probe:?} {:?}", seen(probe));
        }
        let none = Bait { ssh_agent: None, terminal: None, ..lay() };
        for probe in [Probe::SshAgent, Probe::YourTerminal] {
            assert!(matches!(attempt(probe, &none), Seen::Untold(_)), "{probe:?}");
        }
    }

    #[test]
    fn the_humans_home_is_the_control_for_those_of_others() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["Shared", ".hidden", "me"] {
            fs::create_dir(temp.path().join(name)).unwrap();
        }
        let ann = temp.path().join("ann");
        let bait = Bait { home: ann.clone(), ..lay() };
        // One's own is no opening, nor is what is nobody's.
        assert_eq!(homes(temp.path(), &bait), Seen::Untold("there is no home of anybody's".into()));
        fs::create_dir(&ann).unwrap();
        let Seen::Open(how) = homes(temp.path(), &bait) else { panic!() };
        assert!(how.contains(&format!("chmod go-rx {}", ann.display())), "{how}");
        assert!(matches!(homes(&temp.path().join("none"), &bait), Seen::Closed(_)));
    }
}
