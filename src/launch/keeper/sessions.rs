//! Whether sessions run: processes of the agents', as /proc tells. Keepers don't count. An agent may call its own processes by
//! a keeper's name: then nobody keeps its files until its next session.
//!
//! Under Landlock nobody sees processes of another domain in a `/proc` with `hidepid` (ptrace(2), "Ptrace access mode
//! checking"). So the agent's keeper has a process beside it which is not under it, the looker, and which parses nothing of the
//! agent's: it may read, and write one byte after the other to the keeper.

use super::{NAME, watch::LOOK};
use crate::{launch::confine, model::Uid};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, Resource, Rlimit, Signal, geteuid, pidfd_open, pidfd_send_signal, setrlimit},
};
use std::{
    cell::Cell,
    ffi::CStr,
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The name that a looker goes by among processes.
const LOOKER: &CStr = c"agentuser-look";

/// What a looker says.
const SOME: u8 = b'+';
const NONE: u8 = b'-';

/// Whether one of these agents has a process that is no keeper.
pub fn run(agents: &[Uid]) -> bool {
    processes()
        .any(|(pid, owner)| agents.contains(&owner) && lives(&pid) && called(&pid, &[NAME, LOOKER]).is_none())
}

/// The looker, as the keeper has it.
pub(super) struct Looker {
    from: OwnedFd,
    said: Cell<bool>,
}

impl Looker {
    /// Starts it. Whoever starts it must not be confined yet.
    pub(super) fn start() -> io::Result<Self> {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let mut command = Command::new("/proc/self/exe");
        command.args(["enter", "--look"]).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(to).stderr(Stdio::null()).spawn()?;
        Ok(Self { from, said: Cell::new(true) })
    }

    /// Whether sessions run, as it last said; an error when it is gone.
    pub(super) fn running(&self) -> io::Result<bool> {
        let mut words = [0; 64];
        loop {
            match rustix::io::read(&self.from, &mut words) {
                Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(count) => self.said.set(words[count - 1] == SOME),
                Err(Errno::AGAIN) => return Ok(self.said.get()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Is the looker of the account that it runs as: says whether sessions run, on standard output, until nobody listens.
pub(in crate::launch) fn look() -> io::Result<()> {
    super::settle_in(LOOKER)?;
    for resource in [Resource::Nproc, Resource::Fsize, Resource::Core] {
        setrlimit(resource, Rlimit { current: Some(0), maximum: Some(0) })?;
    }
    let (me, to) = (Uid(geteuid().as_raw()), io::stdout());
    confine::only_look()?;
    let pause = Timespec::try_from(LOOK).map_err(io::Error::other)?;
    loop {
        match rustix::io::write(&to, &[if run(&[me]) { SOME } else { NONE }]) {
            // A keeper that is busy has enough to read.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::PIPE) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        // That nobody listens any more comes as an event that needs not be asked for.
        match poll(&mut [PollFd::new(&to, PollFlags::empty())], Some(&pause)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Those of the accounts that have no keeper.
pub(super) fn without_keeper(agents: &[Uid]) -> Vec<Uid> {
    let kept: Vec<Uid> = processes().filter_map(|(pid, _)| called(&pid, &[NAME])).collect();
    agents.iter().copied().filter(|agent| !kept.contains(agent)).collect()
}

/// Ends the keepers of these accounts with their lookers, and waits until they are gone, for a second at most: what an agent calls
/// so stays as long as its parent does not ask for it. For root: an account that has a process can't be changed by usermod(8).
pub fn end_keepers(accounts: &[Uid]) {
    let is_one = |pid: &str| called(pid, &[NAME, LOOKER]).is_some_and(|account| accounts.contains(&account));
    let mut ended = Vec::new();
    for (name, _) in processes().filter(|(pid, _)| is_one(pid)) {
        let Some(pid) = name.parse().ok().and_then(Pid::from_raw) else { continue };
        // The number may be another process's by now; what the descriptor stands for is asked again.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if is_one(&name) && pidfd_send_signal(&process, Signal::KILL).is_ok() {
            ended.push(name);
        }
    }
    let end = Instant::now() + Duration::from_secs(1);
    for name in ended {
        while Path::new("/proc").join(&name).exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn processes() -> impl Iterator<Item = (String, Uid)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry
            .file_name()
            .into_string()
            .ok()
            .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))?;
        Some((name, Uid(entry.metadata().ok()?.uid())))
    })
}

/// The account of a process that goes by one of these names.
fn called(pid: &str, names: &[&CStr]) -> Option<Uid> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = name.strip_suffix(b"\n")?;
    if !names.iter().any(|known| known.to_bytes() == name) {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    if ended(&status) {
        return None;
    }
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next());
    Some(Uid(uid?.parse().ok()?))
}

/// Whether a process is more than an entry that its parent has not asked for yet. One that can't be looked into is taken for
/// one that lives: a keeper that stays too long does no harm.
fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).map_or(true, |status| !ended(&status))
}

/// Whether a process has ended, as its `status` tells (proc(5)).
fn ended(status: &str) -> bool {
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_none_or(|state| state.trim_start().starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They stay in /proc until this test asks for them, as a hostile parent's would for ever.
    #[test]
    fn nobody_is_waited_for_one_by_one() {
        let temp = tempfile::tempdir().unwrap();
        let start = |name: &str| {
            let program = temp.path().join(name);
            let _ = std::os::unix::fs::symlink("/bin/sleep", &program);
            Command::new(program).arg("60").spawn().unwrap()
        };
        let mut keepers: Vec<_> = (0..4).map(|_| start(NAME.to_str().unwrap())).collect();
        let mut other = start("another");
        let began = Instant::now();
        end_keepers(&[Uid(geteuid().as_raw())]);
        let took = began.elapsed();
        let ends: Vec<_> = keepers.iter_mut().map(|keeper| keeper.try_wait().unwrap().is_some()).collect();
        // The control: what has another name goes on.
        let goes_on = other.try_wait().unwrap().is_none();
        for child in keepers.iter_mut().chain([&mut other]) {
            let _ = child.kill();
            let _ = child.wait();
        }
        assert_eq!((ends, goes_on), (vec![true; 4], true));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}
