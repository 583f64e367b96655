//! What whoever calls a program hands on to it unasked, beside arguments and variables: limits, a directory, a mask of modes,
//! signals that are ignored or held back, priority, descriptors. sudo passes most of it on, and root's half lets it go before
//! its first step: a limit would cut a change off in the middle or be inherited by the guard, and whoever could stop root's half
//! with a key of the terminal would keep everybody else waiting for the lock.

use super::sys;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, chdir, getrlimit, nice, setrlimit, umask},
};
use std::io;

/// Resources, the least that root's half and what it starts should have (none for as much as there is), and without how much
/// nothing is begun: without room for its files, and for a file as large as one of ours.
const LIMITS: [(Resource, Option<u64>, u64); 8] = [
    (Resource::Fsize, None, 64 << 20),
    (Resource::As, None, 0),
    (Resource::Data, None, 0),
    (Resource::Cpu, None, 0),
    (Resource::Rss, None, 0),
    (Resource::Nproc, Some(4096), 0),
    (Resource::Nofile, Some(1024), 64),
    (Resource::Stack, Some(8 << 20), 0),
];

/// Keys of the terminal stop nobody who ignores these.
const STOPS: [Signal; 3] = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];
/// What a shell may have ignored for its jobs, or somebody else for us.
const RESTORED: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGALRM,
    Signal::SIGCHLD,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGXFSZ,
];

/// Lets it all go; root alone can. What can't be let go of ends the call before anything is done.
pub fn let_go() -> io::Result<()> {
    for (resource, least, needed) in LIMITS {
        lift(resource, least, needed)?;
    }
    chdir("/")?;
    umask(Mode::from(0o022));
    for signal in STOPS {
        sys::ignore(signal as i32)?;
    }
    for signal in RESTORED {
        sys::restore_default_action(signal as i32)?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    let slower = nice(0)?;
    if slower > 0 {
        nice(-slower)?;
    }
    #[cfg(target_os = "linux")]
    match sys::close_on_exec_from(3) {
        // Before Linux 5.11 sudo's own closing must have done it.
        Err(error)
            if error.raw_os_error() != Some(libc::ENOSYS) && error.raw_os_error() != Some(libc::EINVAL) =>
        {
            return Err(error);
        }
        _ => {}
    }
    Ok(())
}

/// Root of a container may not be the one who lifts what is a limit for root, too: then as far as it goes.
fn lift(resource: Resource, least: Option<u64>, needed: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    if !is_below(now.current, least) && !is_below(now.maximum, least) {
        return Ok(());
    }
    let maximum = if is_below(now.maximum, least) { least } else { now.maximum };
    if setrlimit(resource, Rlimit { current: least, maximum }).is_ok() {
        return Ok(());
    }
    if is_below(now.maximum, Some(needed)) {
        let limit = now.maximum.unwrap_or_default();
        return Err(io::Error::other(format!("the limit {resource:?} is {limit}, which is too low")));
    }
    Ok(setrlimit(resource, Rlimit { current: now.maximum, maximum: now.maximum })?)
}

fn is_below(value: Option<u64>, least: Option<u64>) -> bool {
    match (value, least) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(value), Some(least)) => value < least,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_above_all() {
        assert!(is_below(Some(u64::MAX), None) && is_below(Some(1), Some(2)));
        assert!(!is_below(None, None) && !is_below(None, Some(1)) && !is_below(Some(2), Some(2)));
    }
}
