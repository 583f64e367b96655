//! `host`, where the guard runs, and `remote`, which serves names and listens.

use crate::support::{Netns, Outcome, Running, run, sh, until};
use agentuser::{
    engine::{Entry, Receipt, State},
    formats::ipset,
    model::{
        Family, Uid,
        desired::{Firewall, Inbound, Log, Names},
    },
    step::{AnyStep, Netfilter, NftTable, Undo},
};
use std::{fs, io::Write};

/// The build under test.
pub(crate) const BUILT: &str = env!("CARGO_BIN_EXE_agentuser");
/// The agent's name and uid.
pub(crate) const AGENT: &str = "t_gt_bot";
pub(crate) const UID: u32 = 61_111;
/// The human's uid.
pub(crate) const HUMAN: u32 = 61_112;
/// The port of the gate.
pub(crate) const GATE: u16 = 1001;

const HOST: [&str; 3] = ["192.0.2.10/24", "10.98.0.10/16", "2001:db8::10/64"];
const REMOTE: [&str; 6] = [
    "192.0.2.2/24",
    "192.0.2.3/24",
    "10.98.0.2/16",
    "169.254.169.254/16",
    "203.0.113.2/24",
    "2001:db8::2/64",
];

const SERVER: &str = include_str!("server.py");
const CLIENT: &str = include_str!("client.py");

/// An empty state for the program, and an own `/etc` with these resolvers. Lock files of accounts that another test makes
/// may be gone before they are copied.
const STATE: &str = "set -e; mount -t tmpfs -o mode=755 t_gt /mnt; cp -a /etc/. /mnt/ || test -s /mnt/passwd; \
     mount --move /mnt /etc; \
     for dir in /var/lib /var/log /run /usr/local/bin; do mount -t tmpfs -o mode=755 t_gt $dir; done; \
     mkdir -p /var/lib/agentuser/t_gt_bot; rm -f /etc/resolv.conf; printf 'nameserver 192.0.2.2\n' >/etc/resolv.conf; \
     rm -rf /etc/agentuser; echo ready; exec sleep 600";

/// The policy of the tests: these names at ports 8000 and 443.
pub(crate) fn policy(names: &[&str]) -> Firewall {
    let ports = ["8000", "443"].iter().map(|port| port.parse().unwrap()).collect();
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    Firewall {
        uid: Uid(UID),
        sub_uids: vec![],
        outbound_allowed: false,
        inbound: Inbound::Loopback,
        deny: vec![],
        allow: vec![],
        loopback: [].into_iter().collect(),
        names: vec![Names { ports, names }],
        gate: Some(GATE),
        generation: 0,
        resolvers: vec![],
        log: Log::Blocked,
    }
}

/// The machine as it is during a test. What was made goes in the order of the fields.
pub(crate) struct World {
    pub(crate) guard: Option<Running>,
    pub(crate) names: Running,
    host: Netns,
    #[expect(dead_code, reason = "goes with the world")]
    remote: Netns,
    state: Running,
    firewall: Firewall,
}

impl World {
    /// A machine whose guard keeps this policy in force; none where the test is to be skipped. `zone` is what the name
    /// server knows, see `server.py`.
    pub(crate) fn with(firewall: &Firewall, zone: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var("AGENTUSER_PRIVILEGED").as_deref() != Ok("1"), "these tests need root");
            eprintln!("skipped: needs root");
            return None;
        }
        let (host, remote) = (Netns::new("gt", "host"), Netns::new("gt", "remote"));
        sh(&format!("ip link add near netns {} type veth peer name far netns {}", host.0, remote.0));
        for (netns, link, addresses) in [(&host, "near", &HOST[..]), (&remote, "far", &REMOTE)] {
            netns.sh(&format!("ip link set {link} up"));
            for address in addresses {
                let nodad = if address.contains(':') { "nodad" } else { "" };
                netns.sh(&format!("ip addr add {address} dev {link} {nodad}"));
            }
        }
        host.sh("ip route add default via 192.0.2.2");
        host.sh("ip -6 route add default via 2001:db8::2");
        let state = ["unshare", "--mount", "--propagation", "private", "sh", "-c", STATE].map(Into::into);
        let state = Running::start(&state);
        state.wait_for("ready");
        let far: Vec<_> =
            ["ip", "netns", "exec", &remote.0, "python3", "-c", SERVER, zone].map(Into::into).into();
        let names = Running::start(&far);
        names.wait_for("ready");
        let mut world = Self { guard: None, names, host, remote, state, firewall: firewall.clone() };
        world.write_receipt(firewall);
        world.start_guard();
        Some(world)
    }

    /// Changes what the guard keeps in force.
    pub(crate) fn write_receipt(&mut self, firewall: &Firewall) {
        self.firewall = firewall.clone();
        let families = Family::BOTH.to_vec();
        let record = format!("/var/lib/agentuser/{AGENT}/mirror.json").parse().unwrap();
        let answers = Some(format!("/run/agentuser/{AGENT}.answers.json").parse().unwrap());
        let steps = [
            AnyStep::Netfilter(Netfilter { firewall: firewall.clone(), families, answers: answers.clone() }),
            AnyStep::NftTable(NftTable { firewall: firewall.clone(), record, answers }),
        ];
        let entry = |step| Entry { step, undo: Undo::Nothing, state: State::Applied };
        let mut receipt = Receipt::default();
        receipt.entries = steps.into_iter().map(entry).collect();
        let path = format!("{}/var/lib/agentuser/{AGENT}/receipt.json", self.root_of_state());
        fs::write(format!("{path}.new"), serde_json::to_vec(&receipt).unwrap()).unwrap();
        fs::rename(format!("{path}.new"), path).unwrap();
    }

    /// The machine's files as the guard sees them.
    pub(crate) fn root_of_state(&self) -> String {
        format!("/proc/{}/root", self.state.pid())
    }

    /// Starts the guard, and waits until all is in force.
    #[track_caller]
    pub(crate) fn start_guard(&mut self) {
        self.start_guard_by(&[]);
    }

    /// The same, started by the program that these words begin with.
    #[track_caller]
    pub(crate) fn start_guard_by(&mut self, words: &[&str]) {
        let guard = Running::start(&self.enter(0, &[words, &[BUILT, "guard"]].concat()));
        self.guard = Some(guard);
        let path = format!("{}/run/agentuser/guard.json", self.root_of_state());
        let pid = self.guard.as_ref().unwrap().pid();
        until("the guard", || {
            let state: serde_json::Value = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            (state["pid"].as_u64() == Some(pid.into())).then_some(())
        });
    }

    /// The guard's own word of itself.
    pub(crate) fn guard_state(&self) -> agentuser::guard::State {
        let text = fs::read(format!("{}/run/agentuser/guard.json", self.root_of_state())).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// A command line by which an account's program is started on the host.
    pub(crate) fn enter(&self, uid: u32, argv: &[&str]) -> Vec<String> {
        let mut all = vec!["nsenter".into(), format!("--net=/run/netns/{}", self.host.0)];
        all.push(format!("--mount=/proc/{}/ns/mnt", self.state.pid()));
        all.extend(["--", "env", "-i", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"].map(Into::into));
        if uid != 0 {
            let uid = uid.to_string();
            let drop = ["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups", "--"];
            all.extend(drop.map(Into::into));
        }
        all.extend(argv.iter().map(|&word| word.into()));
        all
    }

    /// Runs a program on the host to its end.
    pub(crate) fn run(&self, uid: u32, argv: &[&str]) -> Outcome {
        run(&self.enter(uid, argv))
    }

    /// Runs a line of root's on the host; it must succeed.
    #[track_caller]
    pub(crate) fn root(&self, line: &str) -> String {
        self.run(0, &line.split_ascii_whitespace().collect::<Vec<_>>()).ok()
    }

    /// Runs a command of `client.py` on the host; it must succeed.
    #[track_caller]
    pub(crate) fn client(&self, uid: u32, arguments: &[&str]) -> serde_json::Value {
        let said = self.run(uid, &[&["python3", "-c", CLIENT], arguments].concat()).ok();
        serde_json::from_str(&said).unwrap()
    }

    /// Starts a command of `client.py` that is to run beside the test.
    pub(crate) fn start_client(&self, uid: u32, arguments: &[&str]) -> Running {
        Running::start(&self.enter(uid, &[&["python3", "-u", "-c", CLIENT], arguments].concat()))
    }

    /// The set of answers of a family.
    pub(crate) fn set(&self, family: Family) -> String {
        let sets = ipset::answer_sets(&self.firewall);
        sets.into_iter().find(|set| set.family == family).unwrap().name
    }

    /// Seconds that an address stays in the sets: of ipset, and of nftables.
    pub(crate) fn seconds(&self, address: &str) -> (Option<u64>, Option<u64>) {
        let family = if address.contains(':') { Family::V6 } else { Family::V4 };
        let set = self.set(family);
        let listed = self.root(&format!("ipset list {set}"));
        let line = listed.lines().find_map(|line| line.strip_prefix(&format!("{address} timeout ")));
        let first = line.and_then(|seconds| seconds.trim().parse().ok());
        let listed = self.root(&format!("nft -j list set inet agentuser_{UID} {set}"));
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let elements = listed["nftables"][1]["set"]["elem"].as_array().cloned().unwrap_or_default();
        let elem = elements.iter().map(|one| &one["elem"]).find(|one| one["val"] == address);
        (first, elem.and_then(|one| one["expires"].as_u64()))
    }

    /// Lines of the agent's log.
    pub(crate) fn log(&self) -> Vec<agentuser::audit::Record> {
        let path = format!("{}/var/log/agentuser/{AGENT}.jsonl", self.root_of_state());
        agentuser::audit::parse(&fs::read(path).unwrap_or_default()).collect()
    }

    /// Replaces a file of the machine.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = format!("{}{path}", self.root_of_state());
        fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.kill();
        }
    }
}
