//! The machine, held by one test at a time, with a network namespace of its own and its humans.

use super::{
    Human, Outcome, Snapshot, finish,
    human::PATH,
    outcome::{attempt, end_processes, system},
};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use std::{
    ffi::OsStr,
    fs,
    os::fd::OwnedFd,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// The agent that most tests set up, for the first human.
pub(crate) const AGENT: &str = "t_pv_bot";

/// Another one.
pub(crate) const SECOND_AGENT: &str = "t_pv_two";

/// The program where it is installed.
pub(crate) const PROGRAM: &str = "/usr/local/bin/agentuser";

/// The build under test.
const BUILT: &str = env!("CARGO_BIN_EXE_agentuser");

/// Whoever touches accounts, sudoers and the program on this machine holds it.
const LOCK: &str = "/tmp/agentuser-machine.lock";

/// The humans of the tests.
const HUMANS: [&str; 2] = ["t_pv_ann", "t_pv_bob"];

/// Files of others that agents are added to; put back if a test failed before the program did so.
const LISTS: [&str; 4] = ["/etc/cron.deny", "/etc/at.deny", "/etc/subuid", "/etc/subgid"];

/// How much of the machine the agent sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Private,
    Plain,
}

impl View {
    pub(crate) const BOTH: [Self; 2] = [Self::Private, Self::Plain];

    pub(crate) fn word(self) -> &'static str {
        if self == Self::Private { "private" } else { "plain" }
    }

    /// The command line by which `run` goes in, up to the arguments of `enter`.
    pub(crate) fn way_in(self) -> Vec<&'static str> {
        match self {
            Self::Private => vec!["sudo", "-n", PROGRAM, "helper", "session", AGENT, "--"],
            Self::Plain => vec!["sudo", "-n", "-u", AGENT, PROGRAM, "enter"],
        }
    }
}

/// Held as long as it lives; the file is as long-lived as the machine.
struct Lock(#[expect(dead_code, reason = "holds the lock")] OwnedFd);

impl Lock {
    fn take() -> Self {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(LOCK, flags, Mode::from(0o600)).expect("the lock file");
        flock(&file, FlockOperation::LockExclusive).expect("the lock");
        Self(file)
    }
}

/// A network namespace with loopback up, removed when it is dropped.
struct Netns(String);

impl Netns {
    /// The one of the test that holds the lock; those of tests that were killed go.
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        for left in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            let left = left.file_name().to_string_lossy().into_owned();
            if left.starts_with("t_pv_") {
                drop(Self(left));
            }
        }
        let name = format!("t_pv_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        system(&["ip", "netns", "add", &name]);
        let netns = Self(name);
        system(&["ip", "-n", &netns.0, "link", "set", "lo", "up"]);
        netns
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        attempt(&["ip", "netns", "delete", &self.0]);
    }
}

/// The machine. What was made on it goes in the order of the fields, the lock last.
pub(crate) struct Machine {
    /// The humans; the agent is the first one's.
    pub(crate) humans: Vec<Human>,
    lists: Vec<(&'static str, Option<Vec<u8>>)>,
    netns: Netns,
    _lock: Lock,
}

impl Machine {
    /// Takes the machine, with one human and nothing set up; `None` where the test is to be skipped.
    pub(crate) fn take() -> Option<Self> {
        Self::with_humans(1)
    }

    /// Takes the machine with that many humans.
    pub(crate) fn with_humans(count: usize) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(
                std::env::var_os("AGENTUSER_PRIVILEGED").is_none_or(|asked| asked != "1"),
                "AGENTUSER_PRIVILEGED=1 asks for these tests, and only root can run them"
            );
            eprintln!("skipped: only root can run this test");
            return None;
        }
        let lock = Lock::take();
        clear_what_is_ours();
        assert!(!Path::new("/etc/agentuser").exists(), "an agentuser is set up on this machine already");
        let netns = Netns::new();
        let lists = LISTS.map(|path| (path, fs::read(path).ok())).into();
        let mut machine = Self { humans: vec![], lists, netns, _lock: lock };
        for name in &HUMANS[..count] {
            let human = Human::new(name, &machine.netns.0);
            machine.humans.push(human);
        }
        Some(machine)
    }

    /// The machine with an agent set up for the first human, who shares one project with it.
    pub(crate) fn set_up() -> Option<Self> {
        let machine = Self::take()?;
        machine.set_up_agent(0, AGENT);
        Some(machine)
    }

    /// The same with a view that the policy names.
    pub(crate) fn set_up_with(view: View) -> Option<Self> {
        let machine = Self::take()?;
        machine.set_up_policy(&format!("    view: {}\n", view.word()));
        Some(machine)
    }

    /// Sets up the agent from a policy with the first human's project and these lines of the agent's own.
    #[track_caller]
    pub(crate) fn set_up_policy(&self, lines: &str) {
        self.agentuser(&["setup", "--yes", "--policy", &self.policy_file(lines)]).ok();
    }

    /// Writes such a policy, and answers its path.
    pub(crate) fn policy_file(&self, lines: &str) -> String {
        let human = self.human();
        let text = format!(
            "version: 1\nagents:\n  {AGENT}:\n    human: {}\n    projects:\n      - path: {}\n{lines}",
            human.name,
            human.project().display()
        );
        human.write("policy.yaml", &text).to_str().expect("text").to_owned()
    }

    /// Sets up an agent for a human, with the human's project.
    #[track_caller]
    pub(crate) fn set_up_agent(&self, human: usize, agent: &str) {
        let human = &self.humans[human];
        let project = human.project();
        let project = project.to_str().expect("text");
        self.agentuser(&["setup", "--yes", "--human", &human.name, "--agent", agent, "--project", project])
            .ok();
    }

    /// The first human.
    pub(crate) fn human(&self) -> &Human {
        &self.humans[0]
    }

    /// The build under test as root in the namespace, called by the first human through sudo.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.root(&[&[BUILT], arguments].concat())
    }

    /// A command of root's in the namespace.
    pub(crate) fn root<S: AsRef<OsStr>>(&self, argv: &[S]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.netns.0]).args(argv).current_dir("/").env_clear();
        command.envs([("PATH", PATH), ("TERM", "xterm"), ("LANG", "C.UTF-8")]);
        command.env("SUDO_USER", &self.human().name);
        command
    }

    /// Runs the build under test to its end.
    #[track_caller]
    pub(crate) fn agentuser(&self, arguments: &[&str]) -> Outcome {
        finish(self.command(arguments), b"")
    }

    /// Runs a command of root's in the namespace, which must succeed, and answers what it printed.
    #[track_caller]
    pub(crate) fn inside(&self, argv: &[&str]) -> String {
        finish(self.root(argv), b"").ok().text()
    }

    /// Runs a command as the agent's account in the namespace, outside of any session.
    #[track_caller]
    pub(crate) fn command_as_agent(&self, argv: &[&str]) -> Outcome {
        let ids = [format!("--reuid={AGENT}"), format!("--regid={AGENT}")];
        let before = ["setpriv", &ids[0], &ids[1], "--clear-groups", "--"];
        finish(self.root(&[&before, argv].concat()), b"")
    }

    /// Feeds a command of root's in the namespace, which must succeed.
    #[track_caller]
    pub(crate) fn feed(&self, argv: &[&str], input: &str) {
        finish(self.root(argv), input.as_bytes()).ok();
    }

    /// Tears an agent down.
    #[track_caller]
    pub(crate) fn tear_down(&self, agent: &str) {
        self.agentuser(&["teardown", "--yes", "--agent", agent]).ok();
    }

    /// All that a teardown must leave as it was.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::of(self)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for agent in [AGENT, SECOND_AGENT] {
            let _ = self.command(&["teardown", "--yes", "--quiet", "--agent", agent]).output();
        }
        clear_what_is_ours();
        for (path, bytes) in &self.lists {
            match bytes {
                _ if fs::read(path).ok() == *bytes => {}
                Some(bytes) => drop(fs::write(path, bytes)),
                None => drop(fs::remove_file(path)),
            }
        }
    }
}

/// Removes by force what tests leave when they or the program fail. Nothing that a test did not make is touched: the
/// state of an agent that is none of the tests' keeps everything in place.
fn clear_what_is_ours() {
    let state = fs::read_dir("/var/lib/agentuser").into_iter().flatten().flatten();
    let names: Vec<_> = state.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    if names.iter().any(|name| name != "machine" && !name.starts_with("t_pv_")) {
        return;
    }
    let marked = names.iter().any(|name| name.starts_with("t_pv_"))
        || fs::read_to_string("/etc/agentuser/policy.yaml").is_ok_and(|policy| policy.contains("t_pv_"));
    for account in HUMANS.into_iter().chain([AGENT, SECOND_AGENT]) {
        if let Some(user) = nix::unistd::User::from_name(account).ok().flatten() {
            end_processes(user.uid.as_raw());
            attempt(&["userdel", "--force", account]);
        }
        attempt(&["groupdel", account]);
        let _ = fs::remove_dir_all(Path::new("/home").join(account));
        let _ = fs::remove_file(format!("/etc/sudoers.d/zz-agentuser-{account}"));
        let _ = fs::remove_file(format!("/etc/ssh/sshd_config.d/agentuser-{account}.conf"));
        for list in LISTS {
            take_off(list, account);
        }
    }
    if marked {
        for dir in ["/etc/agentuser", "/var/lib/agentuser", "/run/agentuser"] {
            let _ = fs::remove_dir_all(dir);
        }
        let _ = fs::remove_file(PROGRAM);
    }
}

/// Takes an account off a list that a killed test left it on; a list with nothing else on it was made for the account.
fn take_off(list: &str, account: &str) {
    let Ok(text) = fs::read_to_string(list) else { return };
    let others = |line: &&str| line.trim_end().split(':').next() != Some(account);
    let left: String = text.split_inclusive('\n').filter(others).collect();
    if left.is_empty() && !text.is_empty() {
        let _ = fs::remove_file(list);
    } else if left != text {
        let _ = fs::write(list, left);
    }
}
