//! Which files the agent reaches, whatever their modes say (landlock(7)): the system to read, its home and the projects to
//! write, the devices that programs use.
//!
//! Whoever may write somewhere gets the same rights everywhere that it may: a file can't be moved to where more could be
//! done with it. Networks are the firewall's business. mount(2) is refused by any of these rules, inside a user namespace
//! too.

use super::{Carried, Kernel, Orders};
use crate::{
    model::AbsPath,
    policy::{self, Access, Agent, Line},
};
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope,
    make_bitflags,
};
use rustix::fs::{Mode, OFlags, open};
use serde::{Deserialize, Serialize};
use std::{io, path::Path};

/// The system: programs, libraries, settings, state that is open to all.
const SYSTEM: [&str; 18] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/gnu",
    "/snap",
    "/home/linuxbrew/.linuxbrew",
    "/run",
    "/sys",
    "/var/cache",
    "/var/lib",
    "/var/db",
];

/// What everybody writes to. Of a view with its own, these are its own.
const TEMPORARY: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"];

/// Devices that programs use: terminals, sources of nothing and of chance, the GPU, sound, files in user space. The mode
/// of each decides as well.
const DEVICES: [&str; 17] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/kfd",
    "/dev/fuse",
    "/dev/nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/nvidia-uvm-tools",
    "/dev/nvidia-modeset",
    "/dev/nvidia0",
    "/dev/nvidia1",
    "/dev/nvidia2",
    "/dev/nvidia3",
];

/// The same, by the directory.
const DEVICE_DIRECTORIES: [&str; 3] = ["/dev/pts", "/dev/dri", "/dev/snd"];

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir});
const USE: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | Truncate | IoctlDev});
/// Its own process's files are written there: `oom_score_adj`, `comm`, `uid_map`.
const PROCESSES: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | Truncate});
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    Execute | ReadFile | ReadDir | WriteFile | Truncate | Refer | IoctlDev | RemoveDir | RemoveFile
        | MakeDir | MakeReg | MakeSock | MakeFifo | MakeSym
});

/// The places of an agent. Those of the system are found when the policy is put in force: a launch does not look for what
/// is not there, nor for links of a merged `/usr`, which need no rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Files {
    system: Vec<AbsPath>,
    read: Vec<AbsPath>,
    write: Vec<AbsPath>,
}

impl Files {
    /// The places of an agent: projects, toolchains, shell, home, and what `confine` names.
    pub(super) fn of(agent: &Agent, home: &AbsPath) -> Self {
        let shared = |access| agent.projects.iter().filter(move |project| project.access == access);
        let paths = |access| shared(access).map(|project| project.path.clone());
        let toolchains = agent.path.iter().cloned().chain(agent.path.iter().filter_map(policy::toolchain));
        let read = paths(Access::ReadOnly).chain(toolchains).chain([agent.shell.clone()]);
        let write = std::iter::once(home.clone()).chain(paths(Access::ReadWrite));
        let is_system = |path: &AbsPath| SYSTEM.iter().any(|dir| path.is_within(&AbsPath::fixed(dir)));
        let is_there = |path: &AbsPath| std::fs::symlink_metadata(path).is_ok_and(|is| is.is_dir());
        Self {
            system: SYSTEM.iter().map(|dir| AbsPath::fixed(dir)).filter(is_there).collect(),
            read: read.filter(|path| !is_system(path)).chain(agent.confine.read.iter().cloned()).collect(),
            write: write.chain(agent.confine.write.iter().cloned()).collect(),
        }
    }
}

/// Puts in force what the kernel carries.
pub(super) fn restrict(orders: &Orders, kernel: Kernel) -> io::Result<()> {
    let wanted = |line: Line| orders.wants(line) && !matches!(kernel.carries(line), Carried::No(_));
    let files = orders.files.as_ref().filter(|_| wanted(Line::Landlock));
    let mut scopes = BitFlags::<Scope>::EMPTY;
    if wanted(Line::AbstractSockets) {
        scopes |= Scope::AbstractUnixSocket;
    }
    if wanted(Line::Signals) {
        scopes |= Scope::Signal;
    }
    if files.is_none() && scopes.is_empty() {
        return Ok(());
    }
    let mut rules = Ruleset::default();
    if files.is_some() {
        rules = rules.handle_access(AccessFs::from_all(ABI::V5)).map_err(io::Error::other)?;
    }
    if !scopes.is_empty() {
        rules = rules.scope(scopes).map_err(io::Error::other)?;
    }
    let mut rules = rules.create().map_err(io::Error::other)?;
    if let Some(files) = files {
        let directories = files.system.iter().map(|path| (path.as_path(), READ));
        let directories = directories
            .chain(fixed(&["/proc"], PROCESSES))
            .chain(fixed(&["/dev"], AccessFs::ReadDir.into()))
            .chain(fixed(&DEVICE_DIRECTORIES, USE))
            .chain(fixed(&TEMPORARY, WRITE))
            .chain(fixed(&DEVICES, USE & AccessFs::from_file(ABI::V5)));
        let own = files.read.iter().map(|path| (path.as_path(), READ));
        let own = own.chain(files.write.iter().map(|path| (path.as_path(), WRITE)));
        // What the policy names may be a file.
        let own = own.map(|(path, access)| {
            let is_file = std::fs::metadata(path).is_ok_and(|is| !is.is_dir());
            (path, if is_file { access & AccessFs::from_file(ABI::V5) } else { access })
        });
        for (path, access) in directories.chain(own) {
            // What is not there needs no rule, nor what can't be reached anyway.
            if let Ok(place) = open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
                rules = rules.add_rule(PathBeneath::new(place, access)).map_err(io::Error::other)?;
            }
        }
    }
    rules.restrict_self().map(drop).map_err(io::Error::other)
}

fn fixed<'a>(
    paths: &'a [&'a str],
    access: BitFlags<AccessFs>,
) -> impl Iterator<Item = (&'a Path, BitFlags<AccessFs>)> {
    paths.iter().map(move |path| (Path::new(path), access))
}

/// Rights to files.
pub(super) type Rights = BitFlags<AccessFs>;
pub(super) const READ_ALONE: Rights = make_bitflags!(AccessFs::{ReadFile | ReadDir});
pub(super) const LIST_ALONE: Rights = make_bitflags!(AccessFs::{ReadDir});

/// Lets this process do this in these directories, and open nothing else.
pub(super) fn only(directories: &[AbsPath], access: Rights) -> io::Result<()> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    for directory in directories {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(place) = open(directory.as_path(), flags, Mode::empty()) {
            rules = rules.add_rule(PathBeneath::new(place, access)).map_err(io::Error::other)?;
        }
    }
    rules.restrict_self().map(drop).map_err(io::Error::other)
}
