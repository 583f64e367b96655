//! The system calls that a child without privilege may make (seccomp(2)): those that its work takes, and no others. A call
//! that is not listed fails with `EPERM`.

use super::{PARSERS, Work};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::{collections::BTreeMap, env, io};

/// What both children do: messages on open descriptors, memory, time, the end. Names of the C library's own choice (`open`
/// or `openat`, `readv` or `read`) are all there.
const WORK: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_sched_yield,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The same on processors that have older names.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[libc::SYS_poll, libc::SYS_epoll_wait];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// What asking other machines takes beside that: connections, and the list of resolvers.
const NETWORK: &[libc::c_long] = &[
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
];

#[cfg(target_arch = "x86_64")]
const NETWORK_OLDER: &[libc::c_long] = &[libc::SYS_open, libc::SYS_stat];
#[cfg(not(target_arch = "x86_64"))]
const NETWORK_OLDER: &[libc::c_long] = &[];

/// Makes sure that nothing leads back to a privilege.
pub(super) fn renounce() -> io::Result<()> {
    if nix::unistd::getresuid()?.saved.as_raw() != PARSERS {
        return Err(io::Error::other("the saved uid is another one"));
    }
    rustix::thread::set_no_new_privs(true)?;
    // It writes no file, and what it says goes to none.
    setrlimit(Resource::Fsize, Rlimit { current: Some(0), maximum: Some(0) })?;
    // Nobody but root looks into it or stops it.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Allows this process the calls of its work, for good. A processor for which no filter can be made has none.
pub(crate) fn seal(work: Work) -> io::Result<()> {
    let Ok(architecture) = TargetArch::try_from(env::consts::ARCH) else { return Ok(()) };
    let asks = work == Work::Asks;
    let more = NETWORK.iter().chain(NETWORK_OLDER).filter(|_| asks);
    let calls = WORK.iter().chain(OLDER).chain(more);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.map(|call| (*call, vec![])).collect();
    if asks {
        let families = [libc::AF_INET, libc::AF_INET6].into_iter().map(family).collect::<Result<_, _>>();
        rules.insert(libc::SYS_socket, families.map_err(io::Error::other)?);
    }
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let program = SeccompFilter::new(rules, denied, SeccompAction::Allow, architecture)
        .and_then(seccompiler::BpfProgram::try_from)
        .map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// socket(2) of this family.
fn family(family: libc::c_int) -> Result<SeccompRule, seccompiler::BackendError> {
    let wanted = u64::from(family.unsigned_abs());
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, wanted)?;
    SeccompRule::new(vec![condition])
}
