//! Control groups, version 2 (the kernel's `admin-guide/cgroup-v2.rst`): memory and processors of all sessions of an agent
//! together.
//!
//! Each agent that has such limits gets a group below one of agentuser's own at the root of the hierarchy, as container
//! engines without systemd's help do. It is made when a session needs it, for it is gone at the next boot.

use super::places::{self, CGROUPS};
use crate::model::{AbsPath, AccountName};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::{fs, io, path::Path};

/// The controllers that limits need.
const CONTROLLERS: [&str; 2] = ["memory", "cpu"];

/// The period of `cpu.max`, in microseconds: the kernel's own.
const PERIOD: u64 = 100_000;

/// Why there can be no limits here; none where there can.
pub fn why_not() -> Option<String> {
    let is_v2 = statfs(CGROUPS).is_ok_and(|is| is.filesystem_type() == CGROUP2_SUPER_MAGIC);
    if !is_v2 {
        return Some(format!("{CGROUPS} is no hierarchy of cgroup v2"));
    }
    let there = fs::read_to_string(format!("{CGROUPS}/cgroup.controllers")).unwrap_or_default();
    let lacks = CONTROLLERS.into_iter().find(|name| !there.split_ascii_whitespace().any(|has| has == *name));
    lacks.map(|name| format!("the kernel gives cgroup v2 no controller for {name}"))
}

/// Moves this process into the group of an agent, with these limits for the whole group: bytes of memory, and processors'
/// worth of time.
pub fn join(agent: &AccountName, memory: Option<u64>, cpus: Option<u32>) -> io::Result<()> {
    let (all, own) = (places::cgroup_of_all(), places::cgroup(agent));
    for (group, dir) in [(places::fixed(CGROUPS), &all), (all.clone(), &own)] {
        for controller in CONTROLLERS {
            write(&group, "cgroup.subtree_control", &format!("+{controller}"))?;
        }
        make(dir.as_path())?;
    }
    for (file, value) in settings(memory, cpus) {
        write(&own, file, &value)?;
    }
    write(&own, "cgroup.procs", "0")
}

/// Kills all processes of an agent's group at once, where it has one and the kernel can (Linux 5.14).
pub fn kill(agent: &AccountName) {
    // What this does not reach is killed one by one.
    let _ = write(&places::cgroup(agent), "cgroup.kill", "1");
}

/// What is written into which file of a group.
fn settings(memory: Option<u64>, cpus: Option<u32>) -> [(&'static str, String); 2] {
    let or_max = |value: Option<u64>| value.map_or_else(|| "max".into(), |value| value.to_string());
    let time = cpus.map(|cpus| u64::from(cpus) * PERIOD);
    [("memory.max", or_max(memory)), ("cpu.max", format!("{} {PERIOD}", or_max(time)))]
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn write(group: &AbsPath, file: &str, value: &str) -> io::Result<()> {
    let path = group.join(file);
    let written = fs::OpenOptions::new().write(true).open(path.as_path());
    let written = written.and_then(|mut to| io::Write::write_all(&mut to, value.as_bytes()));
    written.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_in_the_kernels_words() {
        let text = |memory, cpus| settings(memory, cpus).map(|(file, value)| format!("{file}={value}"));
        assert_eq!(text(Some(1 << 30), Some(2)), ["memory.max=1073741824", "cpu.max=200000 100000"]);
        assert_eq!(text(None, None), ["memory.max=max", "cpu.max=max 100000"]);
    }
}
