//! The service that keeps the network policy of all agents in force: it repairs what other tools put out of force, opens the
//! DNS gates and writes the audit logs.
//!
//! Nothing depends on it for "deny": when it is gone, names are no longer answered, addresses leave the sets one by one, and
//! the rules stay. What it puts in force it takes from the receipts alone.

mod guarding;
mod lock_file;
mod mend;
mod renewal;
mod state;
mod watch;

pub use state::{Guarded, Repair, State, path, state};

use crate::{
    audit::{
        Act,
        journal::{Journal, Listening},
    },
    gate::running::{lock, save},
    host::{Act as _, FileState, LockError, System, Validator, by_itself, places, sys},
    model::{AccountName, Gid, Uid, desired::Log},
    step::{AnyStep, Netfilter},
};
use guarding::{Guarding, fill};
use lock_file::LockFile;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use renewal::Renewal;
use std::{
    collections::BTreeMap,
    io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use watch::{Signal as Told, Watch};

/// An agent, as its receipt has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its name.
    pub name: AccountName,
    /// Its rules, with its policy.
    pub rules: Netfilter,
    /// Who may read its log.
    pub human: Option<Uid>,
    /// Whether its policy has names or ranges that have to be looked up anew now and then.
    pub renews: bool,
    /// Whether all of its network is in force. While another command puts it in force, what was there before counts.
    pub settled: bool,
}

/// What the guard has others do.
pub trait Duties {
    /// The agents that have a receipt.
    fn agents(&mut self) -> anyhow::Result<Vec<Agent>>;
    /// Calls `mend` with the steps of an agent's network that are in force, then, where the `whole` is to be looked at, puts
    /// in force what is not; answers how much had to be loaded. Meanwhile no other command changes the machine.
    fn load(
        &mut self,
        name: &AccountName,
        whole: bool,
        mend: &mut dyn FnMut(&[AnyStep]),
    ) -> anyhow::Result<usize>;
}

/// How often it looks where it is not told of changes: iptables-legacy tells nobody.
const LOOK_SOON: Duration = Duration::from_secs(2);
/// How often it looks otherwise: `ipset flush` tells nobody, but then everything is refused.
const LOOK: Duration = Duration::from_mins(1);
/// So long after a change it looks at the whole: changes seldom come alone.
const QUIET: Duration = Duration::from_millis(500);
/// Where another tool and the guard undo each other's work, it waits so long between two repairs.
const TRUCE: Duration = Duration::from_secs(1);
/// So many repairs in ten seconds are such a fight.
const FIGHT: usize = 10;

/// The guard of a network namespace.
pub struct Guard<'a> {
    duties: &'a mut dyn Duties,
    guarding: BTreeMap<AccountName, Guarding>,
    journal: Arc<Mutex<Journal>>,
    listening: bool,
    state: State,
    written: Option<State>,
    repairs: Vec<Instant>,
    _lock: LockFile,
}

impl<'a> Guard<'a> {
    /// Takes the guard of this network namespace.
    pub fn new(duties: &'a mut dyn Duties) -> anyhow::Result<Self> {
        let lock = LockFile::take()?;
        let state = State {
            pid: i32::try_from(std::process::id())?,
            namespace: state::namespace(),
            since: state::now(),
            agents: vec![],
            hears_changes: true,
            last_repair: None,
            repairs: 0,
            lost_lines: 0,
        };
        let journal = Arc::default();
        Ok(Self {
            duties,
            guarding: BTreeMap::new(),
            journal,
            listening: false,
            state,
            written: None,
            repairs: Vec::new(),
            _lock: lock,
        })
    }

    /// Guards until it is told to end, or, unless it is to `stay`, until no agent is left.
    pub fn run(mut self, stay: bool) -> anyhow::Result<()> {
        let mut watch = Watch::new()?;
        self.reload();
        watch.follow(self.guarding.keys());
        self.look("it was not in force when the guard started", true, Instant::now());
        let (mut next, mut renewal) = (Instant::now() + LOOK, Renewal::new(Instant::now()));
        while stay || !self.guarding.is_empty() {
            self.state.hears_changes = watch.hears_changes();
            self.write_state();
            let look = if self.state.hears_changes { jittered(LOOK) } else { LOOK_SOON };
            next = next.min(Instant::now() + look);
            let renews = self.guarding.values().any(|guarding| guarding.agent.renews);
            let wake = if renews { next.min(renewal.next()) } else { next };
            let heard = watch.wait(wake.saturating_duration_since(Instant::now()))?;
            let now = Instant::now();
            if heard.network {
                renewal.network_is_up(now);
            }
            if renews {
                renewal.go_on(now);
            }
            match heard.signal {
                Some(Told::End) => break,
                Some(Told::Reload) => self.reload(),
                None if heard.receipts => self.reload(),
                None => {}
            }
            watch.follow(self.guarding.keys());
            let whole = heard.receipts || heard.signal.is_some() || now >= next;
            if heard.rules && !whole {
                self.look("another tool changed it", false, now);
                next = now + QUIET;
            } else if whole {
                let well = self.look("another tool changed it", true, now);
                next = Instant::now() + if well { look } else { QUIET };
            }
        }
        Ok(())
    }

    /// Takes the receipts as they are now.
    fn reload(&mut self) {
        let agents = match self.duties.agents() {
            Ok(agents) => agents,
            // A receipt that can't be read is one that is just being replaced, or a broken one: the old policy stays.
            Err(error) => return complain(&format!("receipts: {error:#}")),
        };
        self.guarding.retain(|name, _| agents.iter().any(|agent| agent.name == *name));
        let mut journal = Journal::default();
        for agent in agents {
            let name = agent.name.clone();
            let old = self.guarding.remove(&name);
            if let Some(old) = old.as_ref().filter(|_| !agent.settled) {
                // The command that is changing the policy carries over what is written down.
                save(&name, &old.answers);
            }
            let agent = match &old {
                Some(old) if !agent.settled => old.agent.clone(),
                _ => agent,
            };
            let mut guarding = old.unwrap_or_else(|| Guarding::new(agent.clone()));
            fill(&name, &agent.rules.firewall, &guarding.answers);
            guarding.take(agent, &self.journal);
            if guarding.agent.rules.firewall.log != Log::None {
                let Agent { name, rules, human, .. } = &guarding.agent;
                if let Err(error) = journal.add(name, &rules.firewall, *human, guarding.answers.clone()) {
                    complain(&format!("audit log of {name}: {error}"));
                }
            }
            self.guarding.insert(name, guarding);
        }
        let logs = !journal.is_empty();
        lock(&self.journal).take_over(journal);
        if logs && !self.listening {
            self.listening = listen(self.journal.clone());
        }
    }

    /// Looks whether the rules are in force, and repairs what is not. Answers whether all is well.
    fn look(&mut self, why: &str, whole: bool, heard: Instant) -> bool {
        self.repairs.retain(|repair| repair.elapsed() < Duration::from_secs(10));
        if self.repairs.len() >= FIGHT && self.repairs.last().is_some_and(|last| last.elapsed() < TRUCE) {
            return false;
        }
        let mut well = true;
        for (name, guarding) in &mut self.guarding {
            guarding.open_gate(&self.journal);
            let firewall = &guarding.agent.rules.firewall;
            let mut gap = None;
            let result = self.duties.load(name, whole, &mut |steps| {
                if mend::mend(steps) > 0 {
                    fill(name, firewall, &guarding.answers);
                    gap = Some(heard.elapsed());
                }
            });
            if matches!(result, Ok(1..)) {
                fill(name, firewall, &guarding.answers);
                gap = gap.or_else(|| Some(heard.elapsed()));
            }
            if let Some(gap) = gap {
                let gap_ms = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
                self.repairs.push(Instant::now());
                self.state.repairs += 1;
                self.state.last_repair = Some(Repair { agent: name.to_string(), at: state::now(), gap_ms });
                let text = format!("{why}; in force again after {gap_ms} ms");
                lock(&self.journal).note(firewall.uid, Act::Repair, text);
            }
            well &= result.is_ok();
            let fault = result.err().filter(|error| !error.is::<LockError>());
            guarding.fault = fault.map(|error| format!("{error:#}"));
        }
        well
    }

    fn write_state(&mut self) {
        self.state.lost_lines = lock(&self.journal).lost();
        self.state.agents = self.guarding.values().map(Guarding::state).collect();
        if self.written.as_ref() == Some(&self.state) {
            return;
        }
        let Ok(bytes) = serde_json::to_vec_pretty(&self.state) else { return };
        let file = FileState { bytes, mode: 0o644, uid: Uid(0), gid: Gid(0) };
        let place = places::fixed(places::RUNTIME).join("guard.json");
        if let Err(error) = System::new().write(&place, &file, Validator::Nobody) {
            complain(&format!("state: {error}"));
        }
        self.written = Some(self.state.clone());
    }
}

/// Reads packets in a thread of its own, for good.
fn listen(journal: Arc<Mutex<Journal>>) -> bool {
    let work = move || {
        loop {
            if let Err(error) = Listening::start().and_then(|mut listening| listening.run(&journal)) {
                complain(&format!("audit log: {error}"));
            }
            thread::sleep(Duration::from_millis(500));
        }
    };
    thread::Builder::new().name("audit".into()).spawn(work).is_ok()
}

/// Says on standard error what no command is there to tell of.
fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "agentuser guard: {}", crate::model::harmless(text));
}

/// A time that differs a little each time, so that machines that were started together do not ask together.
fn jittered(time: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let share = RandomState::new().hash_one(0) % 256;
    time + time * u32::try_from(share).unwrap_or(0) / 1024
}

/// Has the guard of this network namespace look at the receipts again; answers whether there is one.
pub fn tell() -> bool {
    state().is_some_and(|state| kill(Pid::from_raw(state.pid), Signal::SIGHUP).is_ok())
}

/// Has the guard of this network namespace end, and waits until it has.
pub fn end() {
    if let Some(state) = state() {
        let _ = kill(Pid::from_raw(state.pid), Signal::SIGTERM);
        wait_until(|| self::state().is_none());
    }
}

/// Looks again for three seconds at most; answers whether it came to be.
fn wait_until(mut it_is: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(3);
    while !it_is() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Starts a guard in the background, where no service manager does, and waits until it guards.
pub fn start() -> io::Result<()> {
    // It outlives whoever starts it, and would hold what that one was given: a lock, or the end of a pipe.
    let _ = sys::close_on_exec_from(3);
    by_itself(Command::new(places::PROGRAM).arg("guard"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let guards = wait_until(|| state().is_some());
    guards.then_some(()).ok_or_else(|| io::Error::other("the guard did not start: see `agentuser guard`"))
}
