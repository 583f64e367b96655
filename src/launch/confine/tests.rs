use super::*;
use crate::policy::{Confine, View};
use std::collections::BTreeSet;

/// What a filter answers to a call: a small machine for the instructions that the compiler makes (bpf(4)).
fn judged(filter: &filter::Filter, architecture: u32, number: libc::c_long, arguments: &[u64]) -> u32 {
    let program = filter.program().unwrap();
    let mut data = [0_u8; 64];
    data[..4].copy_from_slice(&u32::try_from(number).unwrap().to_ne_bytes());
    data[4..8].copy_from_slice(&architecture.to_ne_bytes());
    for (i, argument) in arguments.iter().enumerate() {
        data[16 + 8 * i..24 + 8 * i].copy_from_slice(&argument.to_ne_bytes());
    }
    let (mut at, mut a) = (0_usize, 0_u32);
    loop {
        let one = &program[at];
        let jump = |taken: bool| usize::from(if taken { one.jt } else { one.jf });
        at += 1 + match one.code {
            0x20 => {
                let from = one.k as usize;
                a = u32::from_ne_bytes(data[from..from + 4].try_into().unwrap());
                0
            }
            0x54 => {
                a &= one.k;
                0
            }
            0x05 => one.k as usize,
            0x15 => jump(a == one.k),
            0x25 => jump(a > one.k),
            0x35 => jump(a >= one.k),
            0x06 => return one.k,
            code => panic!("an instruction {code:#x}"),
        };
    }
}

const ALLOW: u32 = 0x7FFF_0000;
/// `AUDIT_ARCH_I386`.
const I386: u32 = 0x4000_0003;
const KILL: u32 = 0x8000_0000;
#[cfg(target_arch = "x86_64")]
const THIS: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const THIS: u32 = 0xC000_00B7;

/// The answer to a call: an error number, or 0.
fn answer(lines: &[Line], mounts: bool, number: libc::c_long, arguments: &[u64]) -> i32 {
    let filter = filter::of(&lines.iter().copied().collect::<BTreeSet<_>>(), mounts);
    match filter.map_or(ALLOW, |filter| judged(&filter, THIS, number, arguments)) {
        ALLOW => 0,
        other => i32::try_from(other & 0xFFFF).unwrap(),
    }
}

fn default_lines() -> Vec<Line> {
    Line::ALL.into_iter().filter(|line| Confine::default().wants(*line)).collect()
}

#[test]
fn sockets_that_programs_use_open_and_no_others() {
    let with = default_lines();
    let socket = |family: libc::c_int, kind: libc::c_int, protocol: libc::c_int| {
        answer(&with, false, libc::SYS_socket, &[family, kind, protocol].map(|n| u64::from(n.unsigned_abs())))
    };
    for (family, protocol) in [
        (libc::AF_UNIX, 0),
        (libc::AF_INET, 0),
        (libc::AF_INET, libc::IPPROTO_TCP),
        (libc::AF_INET6, libc::IPPROTO_UDP),
        (libc::AF_INET6, libc::IPPROTO_ICMPV6),
        (libc::AF_INET, libc::IPPROTO_MPTCP),
        (libc::AF_NETLINK, libc::NETLINK_ROUTE),
        (libc::AF_NETLINK, libc::NETLINK_SOCK_DIAG),
    ] {
        assert_eq!(
            socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, protocol),
            0,
            "{family} {protocol}"
        );
    }
    for (family, protocol) in [
        (libc::AF_VSOCK, 0),
        (libc::AF_PACKET, 0),
        (libc::AF_ALG, 0),
        (libc::AF_XDP, 0),
        (libc::AF_CAN, 0),
        (libc::AF_BLUETOOTH, 0),
        (libc::AF_TIPC, 0),
        (43, 0),
        (libc::AF_NETLINK, libc::NETLINK_NETFILTER),
        (libc::AF_NETLINK, libc::NETLINK_XFRM),
        (libc::AF_INET, 256),
        (libc::AF_INET6, 256),
        (libc::AF_INET, libc::IPPROTO_SCTP),
    ] {
        assert_eq!(socket(family, libc::SOCK_STREAM, protocol), libc::EAFNOSUPPORT, "{family} {protocol}");
    }
    // The high half of a register is not the family.
    let hidden = [u64::from(libc::AF_VSOCK.unsigned_abs()) | 1 << 32, 1, 0];
    assert_eq!(answer(&with, false, libc::SYS_socket, &hidden), libc::EAFNOSUPPORT);
    assert_eq!(answer(&[], false, libc::SYS_socket, &[40, 1, 0]), 0);
}

#[test]
fn each_line_refuses_what_it_is_about_and_nothing_else() {
    let user = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    let about: [(Line, libc::c_long, &[u64], i32); 9] = [
        (Line::TerminalInput, libc::SYS_ioctl, &[0, 0x5412], libc::EPERM),
        (Line::TerminalInput, libc::SYS_ioctl, &[0, 0x541C], libc::EPERM),
        (Line::IoUring, libc::SYS_io_uring_setup, &[], libc::ENOSYS),
        (Line::Keyrings, libc::SYS_keyctl, &[], libc::ENOSYS),
        (Line::KernelCalls, libc::SYS_bpf, &[], libc::ENOSYS),
        (Line::KernelCalls, libc::SYS_perf_event_open, &[], libc::ENOSYS),
        (Line::UserNamespaces, libc::SYS_unshare, &[user + 0x2_0000], libc::EPERM),
        (Line::UserNamespaces, libc::SYS_clone, &[user + 17], libc::EPERM),
        (Line::UserNamespaces, libc::SYS_clone3, &[], libc::ENOSYS),
    ];
    for (line, number, arguments, errno) in about {
        assert_eq!(answer(&[line], false, number, arguments), errno, "{line:?}");
        let others: Vec<_> = Line::ALL.into_iter().filter(|other| *other != line).collect();
        assert_eq!(answer(&others, false, number, arguments), 0, "without {line:?}");
    }
    // TCGETS, fork(2), threads.
    assert_eq!(answer(&Line::ALL, false, libc::SYS_ioctl, &[0, 0x5401]), 0);
    assert_eq!(answer(&Line::ALL, false, libc::SYS_clone, &[17]), 0);
    assert_eq!(answer(&default_lines(), false, libc::SYS_clone3, &[]), 0);
}

#[test]
fn set_id_bits_are_refused_where_projects_are_id_mapped() {
    let create = u64::from((libc::O_CREAT | libc::O_WRONLY).unsigned_abs());
    let about: &[(libc::c_long, &[u64])] = &[
        (libc::SYS_fchmod, &[3, 0o4755]),
        (libc::SYS_fchmodat, &[3, 0, 0o2755]),
        (libc::SYS_fchmodat2, &[3, 0, 0o6755, 0]),
        (libc::SYS_mknodat, &[3, 0, 0o104_755]),
        (libc::SYS_openat, &[3, 0, create, 0o4755]),
        (libc::SYS_openat, &[3, 0, u64::from(libc::O_TMPFILE.unsigned_abs()), 0o2700]),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, &[0, 0o4755]),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, &[0, create, 0o4755]),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_creat, &[0, 0o4755]),
    ];
    for (number, arguments) in about {
        assert_eq!(answer(&[], true, *number, arguments), libc::EPERM, "{number} {arguments:x?}");
        assert_eq!(answer(&Line::ALL, false, *number, arguments), 0, "{number} {arguments:x?}");
    }
    assert_eq!(answer(&[], true, libc::SYS_openat2, &[]), libc::ENOSYS);
    assert_eq!(answer(&[], true, libc::SYS_io_uring_setup, &[]), libc::ENOSYS);
    assert_eq!(answer(&[], true, libc::SYS_fchmodat, &[3, 0, 0o1777]), 0);
    // Without a flag that makes a file the mode is whatever is in the register; a directory is opened with one of the bits
    // of `O_TMPFILE`.
    let directory = u64::from(libc::O_DIRECTORY.unsigned_abs());
    assert_eq!(answer(&[], true, libc::SYS_openat, &[3, 0, directory, 0o7777]), 0);
}

#[test]
fn other_processors_are_refused() {
    let filter = filter::of(&default_lines().into_iter().collect(), false).unwrap();
    assert_eq!(judged(&filter, I386, 102, &[]), KILL);
    assert_eq!(judged(&filter, I386, 1, &[]), KILL);
    #[cfg(target_arch = "x86_64")]
    {
        let answer = judged(&filter, THIS, 0x4000_0000 + 41, &[40]);
        assert_eq!(answer & 0xFFFF, libc::ENOSYS.unsigned_abs());
    }
}

/// All calls that there are: what has no rule is let through, within a few instructions.
#[test]
fn calls_without_a_rule_pass() {
    for mounts in [false, true] {
        let lines: BTreeSet<_> = Line::ALL.into();
        let filter = filter::of(&lines, mounts).unwrap();
        let whole = calls::whole(&lines, mounts);
        let ruled = |number| {
            whole.contains_key(&number)
                || calls::by_argument(&lines, mounts).unwrap().contains_key(&number)
                || calls::sockets(&lines).unwrap().contains_key(&number)
        };
        for number in 0..600 {
            match (whole.contains_key(&number), ruled(number)) {
                (true, _) => {
                    assert_eq!(judged(&filter, THIS, number, &[]) & 0xFFFF, libc::ENOSYS.unsigned_abs());
                }
                (_, false) => assert_eq!(judged(&filter, THIS, number, &[]), ALLOW, "{number}"),
                (_, true) => {}
            }
        }
        assert_eq!(judged(&filter, THIS, libc::SYS_socket, &[1, 1, 0]), ALLOW);
    }
}

#[test]
fn a_filter_that_could_not_be_made_is_not_loaded() {
    let filter: filter::Filter = serde_json::from_str("\"unmade\"").unwrap();
    assert!(filter.load().is_err());
}

fn orders(yaml: &str) -> Orders {
    let text = format!("version: 1\nagents:\n  bot:\n    human: ann\n{yaml}");
    let policy = crate::policy::parse(&text, "p").unwrap();
    let agent = policy.agents.values().next().unwrap();
    Orders::of(agent, &"/home/bot".parse().unwrap(), agent.view == Some(View::Private), false)
}

#[test]
fn what_a_kernel_lacks_stops_only_what_was_asked_for_by_name() {
    let old = Kernel { landlock: 0, seccomp: true };
    assert!(refuse_what_is_not_carried(&orders(""), old).is_ok());
    let by_name = orders("    confine: { landlock: true }\n");
    let error = refuse_what_is_not_carried(&by_name, old).unwrap_err();
    assert!(error.to_string().starts_with("the policy asks for `landlock`, and this kernel"), "{error}");
    assert!(refuse_what_is_not_carried(&by_name, Kernel { landlock: 7, seccomp: true }).is_ok());
}

#[test]
fn the_private_view_needs_no_rules_for_files_unless_asked() {
    assert!(orders("").wants(Line::Landlock));
    assert!(!orders("    view: private\n").wants(Line::Landlock));
    assert!(orders("    view: private\n").wants(Line::Signals));
    assert!(orders("    view: private\n    confine: { landlock: true }\n").wants(Line::Landlock));
    let none = orders("    confine: { no-new-privileges: false }\n");
    assert!(none.lines.is_empty() && none.filter.is_none() && none.files.is_none());
}

/// What reads for `review` reads there alone, and what lists reads nothing. Landlock binds a thread, so that each tries it in
/// one of its own.
#[test]
fn children_of_ours_that_read_or_list_alone() {
    if matches!(Kernel::landlock_alone().carries(Line::Landlock), Carried::No(_)) {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let (inside, other) = (temp.path().join("in"), temp.path().join("out"));
    for dir in [&inside, &other] {
        std::fs::create_dir(dir).unwrap();
        std::fs::write(dir.join("file"), "x").unwrap();
    }
    let path: AbsPath = inside.canonicalize().unwrap().to_str().unwrap().parse().unwrap();
    let tried = |confine: fn(&[AbsPath]) -> io::Result<()>| {
        let (path, inside, other) = (path.clone(), inside.clone(), other.clone());
        let tried = std::thread::spawn(move || {
            confine(&[path]).unwrap();
            [&inside, &other].map(|dir| {
                let written = std::fs::write(dir.join("new"), "x").is_ok();
                (std::fs::read(dir.join("file")).is_ok(), std::fs::read_dir(dir).is_ok(), written)
            })
        });
        tried.join().unwrap()
    };
    assert_eq!(tried(|_| Ok(())), [(true, true, true); 2]);
    assert_eq!(tried(only_read), [(true, true, false), (false, false, false)]);
    assert_eq!(tried(|_| only_list()), [(false, true, false); 2]);
}

/// A looker reads, and can neither write a file, start anything, nor call anybody. A filter binds a thread.
#[test]
fn a_process_that_looks_alone() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let tried = |confine: fn() -> io::Result<()>| {
        let (file, me) = (file.clone(), rustix::process::getpid());
        let tried = std::thread::spawn(move || {
            confine().unwrap();
            [
                std::fs::read_to_string(&file).is_ok()
                    && std::fs::read_dir("/proc").unwrap().flatten().count() > 0,
                std::fs::OpenOptions::new().append(true).open(&file).is_ok(),
                std::fs::File::create(file.with_extension("new")).is_ok(),
                std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
                rustix::process::chdir("/").is_ok(),
                rustix::process::kill_process(me, rustix::process::Signal::CONT).is_ok(),
                rustix::thread::set_name(c"other").is_ok(),
            ]
        });
        tried.join().unwrap()
    };
    assert_eq!(tried(|| Ok(())), [true; 7]);
    if filter::architecture().is_some() {
        let looks = [true, false, false, false, false, false, false];
        assert_eq!(tried(only_look), looks);
    }
}
