//! `firewall gate`: the DNS gates of all agents that have one, for launchd to keep running.
//!
//! It takes policies from the receipts alone, and follows them. It loads no rules: without it, and while it is dead, what an
//! agent sends to port 53 gets no answer.

use crate::{
    audit::{Record, file::Log},
    cli::{Failure, helper, invoker, situation},
    engine::{Receipt, Scope, State},
    gate::{
        answers::Answers,
        running::{self, Gate, lock},
    },
    host::{Act, FileState, Observe, System, Validator, places},
    model::{
        AccountName, Gid, Uid,
        desired::{Firewall, Log as Logged},
        harmless,
    },
    policy::{Dns, Policy},
    step::AnyStep,
};
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    process::ExitCode,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime},
};

/// How often receipts are looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// An agent's gate, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    agent: AccountName,
    port: u16,
    /// How often its parser had to be started again.
    restarts: u64,
    fault: Option<String>,
}

/// What the process of the gates tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gates {
    pid: i32,
    gates: Vec<Told>,
}

/// A gate, open or not.
struct Guarded {
    firewall: Firewall,
    port: u16,
    answers: Arc<Mutex<Answers>>,
    gate: Result<Gate, String>,
}

/// Serves for good.
pub(super) fn serve() -> Result<ExitCode, Failure> {
    helper::refuse_others()?;
    let mut machine = System::new();
    machine.make_dir(&places::fixed(places::RUNTIME), 0o755)?;
    let (mut gates, mut seen, mut written) = (BTreeMap::new(), None, None);
    loop {
        let stamps = stamps(&machine);
        if seen.as_ref() != Some(&stamps) {
            match firewalls(&machine) {
                Ok(firewalls) => {
                    follow(&mut gates, firewalls);
                    seen = Some(stamps);
                }
                // One that can't be read is just being replaced, or broken: the old policy stays.
                Err(failure) => complain(&format!("receipts: {:#}", failure.error)),
            }
        }
        for (name, guarded) in &mut gates {
            if guarded.gate.is_err() {
                guarded.open(name);
            }
        }
        tell(&gates, &mut written, &mut machine);
        thread::sleep(PAUSE);
    }
}

/// When the receipts were written, and the policy, which says who reads the logs.
fn stamps(machine: &System) -> Vec<(String, Option<SystemTime>)> {
    let names = machine.names(&places::fixed(places::STATE)).unwrap_or_default();
    let receipts = names.into_iter().map(|name| format!("{}/{name}/receipt.json", places::STATE));
    let changed = |path: &String| fs::metadata(path).and_then(|is| is.modified()).ok();
    receipts.chain([places::POLICY.to_owned()]).map(|path| (path.clone(), changed(&path))).collect()
}

/// The policies in force, by agent. One that is just being put in force is none yet.
fn firewalls(machine: &System) -> Result<BTreeMap<AccountName, Option<Firewall>>, Failure> {
    let mut firewalls = BTreeMap::new();
    for name in situation::agents_set_up(machine)? {
        let receipt = Receipt::load(&Scope::Agent(name.clone()), machine)?;
        for entry in receipt.entries {
            if let AnyStep::PfAnchor(step) = entry.step {
                let settled = (entry.state == State::Applied).then_some(step.firewall);
                firewalls.insert(name.clone(), settled);
            }
        }
    }
    Ok(firewalls)
}

/// Opens, changes and closes gates as the policies want it.
fn follow(gates: &mut BTreeMap<AccountName, Guarded>, firewalls: BTreeMap<AccountName, Option<Firewall>>) {
    gates.retain(|name, _| firewalls.contains_key(name));
    for (name, firewall) in firewalls {
        // The command that is changing the policy carries over what is written down.
        let Some(firewall) = firewall else {
            if let Some(guarded) = gates.get(&name) {
                running::save(&name, &guarded.answers);
            }
            continue;
        };
        let Some(port) = firewall.gate else {
            gates.remove(&name);
            continue;
        };
        match gates.get_mut(&name) {
            Some(guarded) if guarded.port == port && guarded.firewall.log == firewall.log => {
                if guarded.firewall != firewall {
                    guarded.firewall = firewall;
                    if let Ok(gate) = &guarded.gate {
                        gate.change(&name, &guarded.firewall);
                    }
                }
            }
            _ => {
                // The old one lets go of its port first.
                gates.remove(&name);
                let answers = Arc::new(Mutex::new(running::remembered(&name)));
                let mut guarded = Guarded { firewall, port, answers, gate: Err(String::new()) };
                guarded.open(&name);
                gates.insert(name, guarded);
            }
        }
    }
}

impl Guarded {
    fn open(&mut self, name: &AccountName) {
        let log = (self.firewall.log != Logged::None).then(|| Log::open(name, human(name)));
        let log = log.transpose().unwrap_or_else(|error| {
            complain(&format!("audit log of {name}: {error}"));
            None
        });
        let (log, agent) = (Mutex::new(log), name.clone());
        let told = move |uid: Uid, why, count, asked: &str| {
            let record = Record::name_refused(agent.as_str(), uid.0, why, count, asked);
            if let Some(Err(error)) = lock(&log).as_mut().map(|log| log.append(&[record])) {
                complain(&format!("audit log of {agent}: {error}"));
            }
        };
        let gate = Gate::open(name, &self.firewall, self.port, self.answers.clone(), Arc::new(told));
        self.gate = gate.map_err(|error| format!("DNS gate at port {}: {error}", self.port));
    }
}

/// Who may read the log of an agent.
fn human(name: &AccountName) -> Option<Uid> {
    let (_, policy) = invoker::policy().ok().flatten()?;
    let person = System::new().person(policy.agents.get(name)?.human.as_str()).ok().flatten()?;
    Some(person.uid)
}

/// Writes down how the gates are, where that changed.
fn tell(gates: &BTreeMap<AccountName, Guarded>, written: &mut Option<Vec<Told>>, machine: &mut System) {
    let told = gates.iter().map(|(agent, guarded)| Told {
        agent: agent.clone(),
        port: guarded.gate.as_ref().map_or(guarded.port, Gate::port),
        restarts: guarded.gate.as_ref().map_or(0, Gate::restarts),
        fault: guarded.gate.as_ref().map_or_else(|why| Some(why.clone()), Gate::fault),
    });
    let told: Vec<_> = told.collect();
    if written.as_ref() == Some(&told) {
        return;
    }
    for Told { agent, fault, .. } in &told {
        if let Some(fault) = fault {
            complain(&format!("{agent}: {fault}"));
        }
    }
    let pid = std::process::id().cast_signed();
    let Ok(bytes) = serde_json::to_vec_pretty(&Gates { pid, gates: told.clone() }) else { return };
    let file = FileState { bytes, mode: 0o644, uid: Uid(0), gid: Gid(0) };
    match machine.write(&places::gates(), &file, Validator::Nobody) {
        Ok(()) => *written = Some(told),
        Err(error) => complain(&format!("state: {error}")),
    }
}

/// Why an agent that should have a gate has none, as far as the gates' own word goes.
pub(super) fn fault(policy: &Policy) -> Option<String> {
    let told = fs::read(places::gates()).ok();
    let told = told.and_then(|bytes| serde_json::from_slice::<Gates>(&bytes).ok());
    let runs = |pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH);
    let told = told.filter(|told| runs(told.pid)).map(|told| told.gates).unwrap_or_default();
    let mut gated = policy.agents.iter().filter(|(_, agent)| agent.network.dns == Dns::Gate);
    let fault = |(name, _): (&AccountName, _)| match told.iter().find(|told| told.agent == *name) {
        Some(told) => told.fault.as_ref().map(|fault| format!("{name}: {fault}")),
        None => Some(format!("{name}: the DNS gate does not run, and port 53 gets no answer")),
    };
    gated.find_map(fault)
}

/// Says in the job's log what no command is there to tell of.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "agentuser gate: {}", harmless(text));
}
