//! Accounts, scratch trees, dumps by the system's own tools, and passes in child processes.

use agentuser::host::dir::{Account, Dir, remove_tree};
use agentuser::model::{AbsPath, Gid, Uid};
use agentuser::share::{self, Access, Job, Passage, PassageEnd, Prior, Report, ShareError, Sink};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io};

pub(crate) const AGENT: Uid = Uid(61001);
pub(crate) const HUMAN: Uid = Uid(61002);
pub(crate) const OTHER_AGENT: Uid = Uid(61003);
pub(crate) const THIRD: Uid = Uid(61004);

/// An account whose group has the same number.
pub(crate) fn account(uid: Uid) -> Account {
    Account { uid, gid: Gid(uid.0) }
}

const CALL: &str = "AGENTUSER_SHARE_CALL";
const MARK: &str = "@@answer:";

/// Whether privileged tests can run; where they were asked for and can't, that is a failure.
pub(crate) fn privileged() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || env::var_os("AGENTUSER_PRIVILEGED").is_none(), "AGENTUSER_PRIVILEGED=1 needs root");
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// A directory of its own, gone at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("agentuser-share.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        chmod(&path, 0o755);
        Self(path)
    }

    /// A directory of the human, with one level of files to start with.
    pub(crate) fn project(&self) -> PathBuf {
        let root = self.0.join("project");
        fs::create_dir(&root).unwrap();
        for (name, mode) in [("plain", 0o644), ("script", 0o755), ("secret", 0o600)] {
            fs::write(root.join(name), name).unwrap();
            chmod(&root.join(name), mode);
        }
        chown_all(&root, HUMAN);
        root
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let name = CString::new(self.0.file_name().unwrap().as_encoded_bytes()).unwrap();
        remove_tree(&Dir::open(self.0.parent().unwrap()).unwrap(), &name).unwrap();
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Gives a tree to an account; set-id bits are kept.
pub(crate) fn chown_all(path: &Path, uid: Uid) {
    let meta = fs::symlink_metadata(path).unwrap();
    lchown(path, Some(uid.0), Some(uid.0)).unwrap();
    if !meta.is_symlink() {
        chmod(path, meta.permissions().mode() & 0o7777);
    }
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            chown_all(&entry.unwrap().path(), uid);
        }
    }
}

/// Everything that getfacl(1) and find(1) know about a tree. Compare dumps of one and the same tree only, for the order
/// of a directory is its own.
pub(crate) fn dump(root: &Path) -> String {
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(root).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run("getfacl", &["-R", "-n", "-p", "."]) + &run("find", &[".", "-printf", "%P %m %y %U %G %l\n"])
}

/// The ACL of one object in getfacl(1)'s short form.
pub(crate) fn acl(path: &Path) -> String {
    let output = Command::new("getfacl").args(["-n", "-c", "-E", "-p"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(",")
}

pub(crate) fn setfacl(uid: Uid, args: &[&str], path: &Path) {
    let mut command = Command::new("setfacl");
    command.args(args).arg(path).current_dir("/").stderr(Stdio::null());
    as_user(&mut command, uid).status().unwrap();
}

/// Whether a shell command works for an account; `$1` is the path.
pub(crate) fn can(uid: Uid, script: &str, path: &Path) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(path).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    as_user(&mut command, uid).status().unwrap().success()
}

fn as_user(command: &mut Command, uid: Uid) -> &mut Command {
    if uid.0 == 0 { command } else { command.uid(uid.0).gid(uid.0) }
}

pub(crate) fn job(root: &Path) -> Job {
    Job {
        root: abs(root),
        agent: AGENT,
        human: HUMAN,
        access: Access::ReadWrite,
        threads: 2,
        break_links: false,
    }
}

pub(crate) fn abs(path: &Path) -> AbsPath {
    path.to_str().unwrap().parse().unwrap()
}

/// What a child process does as its account.
#[derive(Serialize, Deserialize)]
pub(crate) enum Call {
    Apply(Job),
    /// As `Apply`, with a sink that can't keep records.
    ApplyUnrecorded(Job),
    Check(Job),
    Revert(Job, Vec<Prior>),
    Pass(AbsPath, Uid),
    CanPass(AbsPath, Uid),
    EndPass(AbsPath, Uid, Option<Prior>),
    /// Applies and reverts so many times, whatever the outcome.
    Loop(Job, u32),
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) report: Report,
    pub(crate) priors: Vec<Prior>,
    pub(crate) passage: Option<Passage>,
    pub(crate) end: Option<PassageEnd>,
    pub(crate) error: Option<String>,
}

/// Makes the call as `uid`, which owns what it is about; it must succeed.
pub(crate) fn call(uid: Uid, call: &Call) -> Answer {
    let answer = try_call(uid, call);
    assert_eq!(answer.error, None);
    answer
}

pub(crate) fn try_call(uid: Uid, call: &Call) -> Answer {
    // By its magic link, for the account may not reach the directory of the program.
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "common::child", "--nocapture"]).current_dir("/");
    command.env(CALL, serde_json::to_string(call).unwrap());
    let output = as_user(&mut command, uid).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = text.lines().find_map(|line| line.split_once(MARK)).map(|(_, answer)| answer);
    serde_json::from_str(
        answer.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))),
    )
    .unwrap()
}

#[derive(Default)]
struct Keeper {
    priors: Mutex<Vec<Prior>>,
    broken: bool,
}

impl Sink for Keeper {
    fn prior(&self, priors: &[Prior]) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.priors.lock().unwrap().extend_from_slice(priors);
        Ok(())
    }
}

/// Not a test: the child's side of [`call`].
#[test]
fn child() {
    let Ok(call) = env::var(CALL) else { return };
    let call: Call = serde_json::from_str(&call).unwrap();
    let sink = Keeper { broken: matches!(call, Call::ApplyUnrecorded(_)), ..Keeper::default() };
    let mut answer = Answer::default();
    let error = make(call, &sink, &mut answer).err();
    answer.error = error.map(|error| format!("{error}: {error:?}"));
    answer.priors = sink.priors.into_inner().unwrap();
    println!("\n{MARK}{}", serde_json::to_string(&answer).unwrap());
}

fn make(call: Call, sink: &Keeper, answer: &mut Answer) -> Result<(), ShareError> {
    let me = Uid(rustix::process::geteuid().as_raw());
    match call {
        Call::Apply(job) | Call::ApplyUnrecorded(job) => answer.report = share::apply(&job, me, sink)?,
        Call::Check(job) => answer.report = share::check(&job, me)?,
        Call::Revert(job, priors) => {
            answer.report = share::revert(&job, Some(Gid(AGENT.0)), me, &priors.into_iter().collect(), sink)?;
        }
        Call::Pass(dir, agent) => answer.passage = Some(share::traverse_apply(&dir, agent, me, sink)?),
        Call::CanPass(dir, agent) => answer.passage = Some(share::traverse_check(&dir, agent, me)?),
        Call::EndPass(dir, agent, prior) => {
            answer.end = Some(share::traverse_revert(&dir, agent, me, prior.as_ref())?);
        }
        Call::Loop(job, times) => {
            for _ in 0..times {
                answer.report = share::apply(&job, me, sink)?;
                let priors = sink.priors.lock().unwrap().clone();
                share::revert(&job, Some(Gid(AGENT.0)), me, &priors.into_iter().collect(), sink)?;
            }
        }
    }
    Ok(())
}
