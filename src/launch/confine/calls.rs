//! Which system calls are refused, by the error that a program best understands (seccomp(2)).
//!
//! Whole calls answer `ENOSYS`, as on a kernel without them: programs have other ways then. Arguments that are refused
//! answer `EPERM`, and sockets `EAFNOSUPPORT`.

use crate::policy::Line;
use seccompiler::{BackendError, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompRule};
use std::collections::{BTreeMap, BTreeSet};

/// Rules by the number of the call; a call without rules is refused always.
pub(super) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The families that programs use. Netlink's protocols are judged one by one.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Of netlink: interfaces and routes, sockets (`ss`), devices (udev).
const NETLINK: [libc::c_int; 3] =
    [libc::NETLINK_ROUTE, libc::NETLINK_SOCK_DIAG, libc::NETLINK_KOBJECT_UEVENT];

/// Of IPv4 and IPv6. Others, such as SMC, make sockets in the kernel that belong to nobody, unseen by the firewall.
const INTERNET: [libc::c_int; 6] = [
    libc::IPPROTO_IP,
    libc::IPPROTO_ICMP,
    libc::IPPROTO_TCP,
    libc::IPPROTO_UDP,
    libc::IPPROTO_ICMPV6,
    libc::IPPROTO_MPTCP,
];

/// Bits that make a program run as its owner or group.
const SET_ID: [libc::c_int; 2] = [0o4000, 0o2000];

fn number(value: libc::c_int) -> u64 {
    u64::from(value.unsigned_abs())
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, value)
}

fn none_of(
    argument: u8,
    values: &[libc::c_int],
) -> impl Iterator<Item = Result<SeccompCondition, BackendError>> {
    values.iter().map(move |value| SeccompCondition::new(argument, Dword, SeccompCmpOp::Ne, number(*value)))
}

fn has(argument: u8, bits: libc::c_int) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, SeccompCmpOp::MaskedEq(number(bits)), number(bits))
}

fn rule(
    conditions: impl IntoIterator<Item = Result<SeccompCondition, BackendError>>,
) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?)
}

/// Sockets that are refused.
pub(super) fn sockets(lines: &BTreeSet<Line>) -> Result<Rules, BackendError> {
    if !lines.contains(&Line::SocketFamilies) {
        return Ok(Rules::new());
    }
    let other_families = || rule(none_of(0, &FAMILIES));
    let netlink = rule([is(0, number(libc::AF_NETLINK))].into_iter().chain(none_of(2, &NETLINK)))?;
    // Of the families that are left when the first rule is through: IPv4 and IPv6.
    let internet = rule(none_of(0, &[libc::AF_UNIX, libc::AF_NETLINK]).chain(none_of(2, &INTERNET)))?;
    Ok([
        (libc::SYS_socket, vec![other_families()?, netlink, internet]),
        (libc::SYS_socketpair, vec![other_families()?]),
    ]
    .into())
}

/// Calls that are refused whatever their arguments.
pub(super) fn whole(lines: &BTreeSet<Line>, mounts: bool) -> Rules {
    let mut calls = Vec::new();
    let mut refuse =
        |refused: bool, numbers: &[libc::c_long]| calls.extend(numbers.iter().filter(|_| refused));
    let uring = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    // Files are opened by io_uring too, with a mode that no filter sees.
    refuse(lines.contains(&Line::IoUring) || mounts, &uring);
    refuse(lines.contains(&Line::Keyrings), &[libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl]);
    let kernel = [libc::SYS_bpf, libc::SYS_userfaultfd, libc::SYS_perf_event_open];
    refuse(lines.contains(&Line::KernelCalls), &kernel);
    // Their arguments lie behind a pointer, where no filter sees them. Everybody falls back to the older calls.
    refuse(lines.contains(&Line::UserNamespaces), &[libc::SYS_clone3]);
    refuse(mounts, &[libc::SYS_openat2]);
    calls.into_iter().map(|call| (call, vec![])).collect()
}

/// Calls that are refused with certain arguments.
pub(super) fn by_argument(lines: &BTreeSet<Line>, mounts: bool) -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    if lines.contains(&Line::TerminalInput) {
        let requests = [0x5412_u64, 0x541C];
        let requests = requests.into_iter().map(|request| rule([is(1, request)]));
        rules.insert(libc::SYS_ioctl, requests.collect::<Result<_, _>>()?);
    }
    if lines.contains(&Line::UserNamespaces) {
        for call in [libc::SYS_clone, libc::SYS_unshare] {
            rules.insert(call, vec![rule([has(0, libc::CLONE_NEWUSER)])?]);
        }
    }
    if mounts {
        for (call, mode) in MODES {
            rules.insert(
                *call,
                SET_ID.map(|bit| rule([has(*mode, bit)])).into_iter().collect::<Result<_, _>>()?,
            );
        }
        for (call, flags) in OPENS {
            let creating = [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY];
            let each = creating.into_iter().flat_map(|flag| SET_ID.map(|bit| (flag, bit)));
            let each = each.map(|(flag, bit)| rule([has(*flags, flag), has(flags + 1, bit)]));
            rules.insert(*call, each.collect::<Result<_, _>>()?);
        }
    }
    Ok(rules)
}

/// Calls that take a mode, and which argument it is.
const MODES: &[(libc::c_long, u8)] = &[
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    (libc::SYS_fchmodat2, 2),
    (libc::SYS_mknodat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1),
];

/// Calls that take a mode after flags, when these say that a file is made.
const OPENS: &[(libc::c_long, u8)] = &[
    (libc::SYS_openat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
];
