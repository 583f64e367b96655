//! Two machines joined by a cable: `host`, where agentuser is set up, and `remote`, which listens.

use crate::{
    guards::{Lock, Person},
    support::{Netns, Outcome, Running, run, sh},
};
use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// The build under test.
const BUILT: &str = env!("CARGO_BIN_EXE_agentuser");

/// Where it installs itself.
pub(crate) const PROGRAM: &str = "/usr/local/bin/agentuser";

/// The agents, and their humans.
pub(crate) const AGENT: &str = "t_nw_bot";
pub(crate) const SECOND_AGENT: &str = "t_nw_two";

/// Addresses of the two ends. The cable is called `wg0` on the host, as a tunnel might be.
const HOST: [&str; 6] = [
    "192.0.2.10/24",
    "198.51.100.10/24",
    "10.98.0.10/16",
    "169.254.0.10/16",
    "2001:db8::10/64",
    "fd99::10/64",
];
const REMOTE: [&str; 8] = [
    "192.0.2.2/24",
    "198.51.100.2/24",
    "10.98.0.2/16",
    "10.98.7.2/16",
    "169.254.169.254/16",
    "169.254.7.7/16",
    "2001:db8::2/64",
    "fd99::2/64",
];

const PROBE: &str = include_str!("probe.py");
const SERVER: &str = include_str!("server.py");
const FLOW: &str = include_str!("flow.py");

/// Who does something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// The first human.
    Human,
    /// The second human.
    SecondHuman,
    /// The first agent, through `agentuser run`.
    Agent,
    /// The second agent, through `agentuser run`.
    SecondAgent,
    /// The first agent's uid, whatever `agentuser run` says.
    Uid,
    /// The second agent's uid.
    SecondUid,
    /// Root on the host.
    Root,
    /// Root on the other machine.
    Remote,
}

/// The machine as it is during a test. What was made goes in the order of the fields.
pub(crate) struct World {
    pub(crate) host: Netns,
    pub(crate) remote: Netns,
    humans: Vec<Person>,
    hidden: Option<Running>,
    _lock: Lock,
}

impl World {
    /// Takes the machine, with nothing set up; none where the test is to be skipped.
    pub(crate) fn take() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var("AGENTUSER_PRIVILEGED").as_deref() != Ok("1"), "these tests need root");
            eprintln!("skipped: needs root");
            return None;
        }
        let lock = Lock::take();
        sweep();
        assert!(!Path::new("/etc/agentuser").exists(), "agentuser is set up on this machine");
        let (host, remote) = (Netns::new("nw", "host"), Netns::new("nw", "remote"));
        let world = Self { humans: vec![Person::new("ann")], host, remote, hidden: None, _lock: lock };
        world.join();
        Some(world)
    }

    /// Takes the machine and sets an agent up. `network` is the policy's section, in YAML's flow style.
    pub(crate) fn with(network: &str) -> Option<Self> {
        let world = Self::take()?;
        world.set_up(network);
        Some(world)
    }

    /// Takes the machine with two humans, each with an agent.
    pub(crate) fn with_two(first: &str, second: &str) -> Option<Self> {
        let mut world = Self::take()?;
        world.humans.push(Person::new("bob"));
        let agents = [(AGENT, "t_nw_ann", first), (SECOND_AGENT, "t_nw_bob", second)];
        world.try_policy(&agents).ok();
        Some(world)
    }

    fn join(&self) {
        let (host, remote) = (&self.host, &self.remote);
        sh(&format!("ip link add wg0 netns {} type veth peer name far netns {}", host.0, remote.0));
        for (netns, link, addresses) in [(host, "wg0", &HOST[..]), (remote, "far", &REMOTE)] {
            netns.set("net.ipv4.ping_group_range", "0 2147483647");
            netns.sh(&format!("ip link set {link} up"));
            for address in addresses {
                let nodad = if address.contains(':') { "nodad" } else { "" };
                netns.sh(&format!("ip addr add {address} dev {link} {nodad}"));
            }
        }
        host.sh("ip route add default via 192.0.2.2");
        host.sh("ip -6 route add default via 2001:db8::2");
    }

    /// The network as it is after a boot: no rules, and what was written on the disk.
    pub(crate) fn boot(&mut self) {
        let (host, remote) = (Netns::new("nw", "host"), Netns::new("nw", "remote"));
        (self.host, self.remote) = (host, remote);
        self.join();
    }

    /// Puts a network policy in force for the first agent.
    #[track_caller]
    pub(crate) fn set_up(&self, network: &str) {
        self.try_policy(&[(AGENT, "t_nw_ann", network)]).ok();
    }

    /// Runs `setup` with a policy of these agents, humans and network sections.
    pub(crate) fn try_policy(&self, agents: &[(&str, &str, &str)]) -> Outcome {
        let mut policy = String::from("version: 1\nagents:\n");
        for (agent, human, network) in agents {
            policy += &format!("  {agent}:\n    human: {human}\n    network: {network}\n");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, policy).unwrap();
        let path = file.path().to_str().unwrap();
        self.run(Who::Root, &[BUILT, "--quiet", "setup", "--yes", "--policy", path])
    }

    /// Runs the installed program as the first human.
    pub(crate) fn agentuser(&self, arguments: &[&str]) -> Outcome {
        self.run(Who::Human, &[&[PROGRAM], arguments].concat())
    }

    /// `agentuser status`, which says that something is not in force.
    #[track_caller]
    pub(crate) fn drift(&self) -> String {
        self.agentuser(&["status"]).fails_with(1)
    }

    fn enter(&self, who: Who, argv: &[&str]) -> Vec<String> {
        let mut all = if who == Who::Remote { self.remote.inside() } else { self.host.inside() };
        if let Some(holder) = self.hidden.as_ref().filter(|_| who != Who::Remote) {
            all.push(format!("--mount=/proc/{}/ns/mnt", holder.pid()));
        }
        all.push("--".into());
        let account = match who {
            Who::Human | Who::Agent => "t_nw_ann",
            Who::SecondHuman | Who::SecondAgent => "t_nw_bob",
            Who::Uid => AGENT,
            Who::SecondUid => SECOND_AGENT,
            Who::Root | Who::Remote => "root",
        };
        all.extend(["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"].map(Into::into));
        all.push(format!(
            "HOME={}",
            if account == "root" { "/root".into() } else { format!("/home/{account}") }
        ));
        all.push("--chdir=/".into());
        let setpriv = ["setpriv", "--reuid", account, "--regid", account, "--init-groups", "--"];
        all.extend(setpriv.map(Into::into));
        let agent = match who {
            Who::Agent => Some(AGENT),
            Who::SecondAgent => Some(SECOND_AGENT),
            _ => None,
        };
        if let Some(agent) = agent {
            all.extend([PROGRAM, "--agent", agent, "run", "--home", "--"].map(Into::into));
        }
        all.extend(argv.iter().map(|&word| word.into()));
        all
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, who: Who, argv: &[&str]) -> Outcome {
        run(&self.enter(who, argv))
    }

    /// Runs a line of root's on the host; it must succeed.
    #[track_caller]
    pub(crate) fn root(&self, line: &str) -> String {
        self.run(Who::Root, &line.split_ascii_whitespace().collect::<Vec<_>>()).ok()
    }

    /// Tries targets; one verdict for each.
    #[track_caller]
    pub(crate) fn probe(&self, who: Who, targets: &[&str]) -> Vec<String> {
        let said = self.run(who, &[&["/usr/bin/python3", "-c", PROBE], targets].concat()).ok();
        said.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    /// Tries targets, all of which must come to the same.
    #[track_caller]
    pub(crate) fn all(&self, who: Who, verdict: &str, targets: &[&str]) {
        let verdicts = self.probe(who, targets);
        for (target, found) in targets.iter().zip(&verdicts) {
            assert_eq!(found, verdict, "{who:?}: {target}");
        }
        assert_eq!(verdicts.len(), targets.len(), "{who:?}: {targets:?}");
    }

    /// Targets are refused at once: TCP with a reset, the others as the kernel words a refusal of each protocol.
    #[track_caller]
    pub(crate) fn refused(&self, who: Who, targets: &[&str]) {
        for (target, found) in targets.iter().zip(self.probe(who, targets)) {
            let refusals: &[&str] = match *target {
                tcp if tcp.contains("tcp/") => &["ECONNREFUSED"],
                ping if ping.contains("ping/") => &["EPERM", "EACCES"],
                _ => &["EPERM"],
            };
            assert!(refusals.contains(&found.as_str()), "{who:?}: {target}: {found}");
        }
    }

    /// Targets answer.
    #[track_caller]
    pub(crate) fn open(&self, who: Who, targets: &[&str]) {
        self.all(who, "open", targets);
    }

    /// Starts something that is to run beside the test.
    pub(crate) fn start(&self, who: Who, argv: &[&str]) -> Running {
        Running::start(&self.enter(who, argv))
    }

    /// Starts a server that answers on these listeners, and waits until it does.
    #[track_caller]
    pub(crate) fn serve(&self, who: Who, listeners: &[&str]) -> Running {
        let server = self.start(who, &[&["/usr/bin/python3", "-c", SERVER], listeners].concat());
        server.wait_for("ready");
        server
    }

    /// Opens a connection that is in use without end, and waits until it is.
    #[track_caller]
    pub(crate) fn flow(&self, who: Who, address: &str, port: &str) -> Running {
        let flow = self.start(who, &["/usr/bin/python3", "-c", FLOW, address, port]);
        flow.wait_for("alive");
        flow
    }

    /// From now on the host's programs do without this one of /usr/sbin, as if it were not installed.
    pub(crate) fn hide(&mut self, name: &str) {
        let script = format!(
            "set -e; mount -t tmpfs t_nw /mnt; cp -a /usr/sbin/. /mnt/; rm /mnt/{name}; mount --bind /mnt /usr/sbin; \
             umount /mnt || true; echo ready; exec sleep 600"
        );
        let argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script];
        let holder = Running::start(&argv.map(Into::into));
        holder.wait_for("ready");
        self.hidden = Some(holder);
    }

    /// From now on they have all of it again.
    pub(crate) fn show(&mut self) {
        self.hidden = None;
    }

    /// The first agent's uid.
    pub(crate) fn uid(&self) -> String {
        self.root(&format!("id -u {AGENT}")).trim().to_owned()
    }

    /// The second agent's uid.
    pub(crate) fn second_uid(&self) -> String {
        self.root(&format!("id -u {SECOND_AGENT}")).trim().to_owned()
    }
}

/// The process of the guard.
fn guard() -> Option<u64> {
    let state = fs::read("/run/agentuser/guard.json").ok()?;
    serde_json::from_slice::<serde_json::Value>(&state).ok()?["pid"].as_u64()
}

/// Kills the guard, whose children end with it.
pub(crate) fn end_guard() {
    sh(&format!("kill -KILL {}", guard().unwrap()));
    thread::sleep(Duration::from_millis(500));
}

/// Waits until a guard that was started runs.
pub(crate) fn wait_for_guard() {
    let end = Instant::now() + Duration::from_secs(20);
    while !guard().is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        assert!(Instant::now() < end, "no guard");
        thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.hidden = None;
        for agent in [AGENT, SECOND_AGENT] {
            if Path::new("/var/lib/agentuser").join(agent).exists() {
                let gone = self.run(Who::Root, &[BUILT, "--quiet", "--agent", agent, "teardown", "--yes"]);
                if gone.code != Some(0) {
                    eprintln!("teardown of {agent}: {gone:?}");
                }
            }
        }
        sweep();
    }
}

/// Removes what a test left that was killed, or whose teardown failed. Nothing but the tests' own names.
fn sweep() {
    let ours = |name: &str| [AGENT, SECOND_AGENT, "t_nw_ann", "t_nw_bob"].contains(&name);
    let left = Path::new("/var/lib/agentuser").read_dir().into_iter().flatten().flatten();
    let names: Vec<_> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let nobody_elses = names.iter().all(|name| ours(name) || name == "machine");
    if names.iter().any(|name| ours(name)) && nobody_elses {
        for dir in ["/var/lib/agentuser", "/etc/agentuser", "/run/agentuser", PROGRAM] {
            run(&["rm", "-rf", dir]);
        }
    }
    for name in [AGENT, SECOND_AGENT, "t_nw_ann", "t_nw_bob"] {
        let _ = fs::remove_file(format!("/etc/sudoers.d/zz-agentuser-{name}"));
        let _ = fs::remove_file(format!("/etc/ssh/sshd_config.d/agentuser-{name}.conf"));
        for list in ["/etc/cron.deny", "/etc/at.deny", "/etc/subuid", "/etc/subgid"] {
            let text = fs::read_to_string(list).unwrap_or_default();
            if text.lines().any(|line| line.split(':').next() == Some(name)) {
                run(&["sed", "-i", &format!("/^{name}\\(:.*\\)\\?$/d"), list]);
            }
        }
        if run(&["id", name]).code == Some(0) {
            run(&["userdel", "--force", "--remove", name]);
        }
    }
    for netns in run(&["ip", "netns", "list"]).stdout.lines() {
        let name = netns.split(' ').next().unwrap_or_default();
        if name.starts_with("t_nw_") {
            drop(Netns(name.to_owned()));
        }
    }
}
