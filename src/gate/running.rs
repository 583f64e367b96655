//! A thread for each agent's gate: it keeps a parser running.

use super::{
    Order,
    answers::{self, Answers},
    fill,
    keeper::{Keeper, Sockets, now},
    rules::Refusal,
};
use crate::{
    host::{Act, FileState, System, Validator, places, role::Handle},
    model::{AccountName, Gid, Uid, desired::Firewall},
};
use std::{
    fs,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The pause before a parser that died is started again, at first; each time that it dies soon it is doubled.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A parser that lived so long died of something else.
const SOON: Duration = Duration::from_secs(10);

/// Who is told of refused names: whose question, why, how many, which name.
pub(crate) type Told = Arc<dyn Fn(Uid, Refusal, u32, &str) + Send + Sync>;

/// What the guard and the thread share.
struct Shared {
    order: Mutex<Order>,
    answers: Arc<Mutex<Answers>>,
    parser: Mutex<Option<Handle>>,
    end: AtomicBool,
    changed: AtomicBool,
    restarts: AtomicU64,
    fault: Mutex<Option<String>>,
}

/// A gate that is kept running.
pub(crate) struct Gate {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    /// Opens the gate of an agent on a port.
    pub(crate) fn open(
        name: &AccountName,
        firewall: &Firewall,
        port: u16,
        answers: Arc<Mutex<Answers>>,
        told: Told,
    ) -> std::io::Result<Self> {
        let sockets = Sockets::bind(port)?;
        let shared = Arc::new(Shared {
            order: Mutex::new(order(name, firewall)),
            answers,
            parser: Mutex::default(),
            end: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
            fault: Mutex::default(),
        });
        let (for_thread, name) = (shared.clone(), name.clone());
        let thread = thread::Builder::new()
            .name(format!("gate-{name}"))
            .spawn(move || for_thread.keep(&name, &sockets, &told))?;
        Ok(Self { port, shared, thread: Some(thread) })
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How often the parser had to be started again.
    pub(crate) fn restarts(&self) -> u64 {
        self.shared.restarts.load(Ordering::Relaxed)
    }

    /// Why the parser does not run.
    pub(crate) fn fault(&self) -> Option<String> {
        lock(&self.shared.fault).clone()
    }

    /// Takes a changed policy: what it still allows goes into its sets, and another parser answers from now on.
    pub(crate) fn change(&self, name: &AccountName, firewall: &Firewall) {
        *lock(&self.shared.order) = order(name, firewall);
        self.shared.changed.store(true, Ordering::Release);
        self.shared.end_parser();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Release);
        self.shared.end_parser();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn keep(&self, name: &AccountName, sockets: &Sockets, told: &Told) {
        let mut pause = PAUSE;
        while !self.end.load(Ordering::Acquire) {
            let began = Instant::now();
            let result = self.one_parser(name, sockets, told);
            *lock(&self.fault) = result.err().map(|error| format!("DNS gate: {error}"));
            if self.end.load(Ordering::Acquire) {
                break;
            }
            if self.changed.swap(false, Ordering::AcqRel) {
                pause = PAUSE;
                continue;
            }
            self.restarts.fetch_add(1, Ordering::Relaxed);
            pause = if began.elapsed() >= SOON { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            thread::sleep(pause);
        }
        // Of an agent that was torn down nothing is left.
        if fs::exists(places::state(name).join("receipt.json").as_str()).unwrap_or(false) {
            save(name, &self.answers);
        }
    }

    fn one_parser(&self, name: &AccountName, sockets: &Sockets, told: &Told) -> std::io::Result<()> {
        let order = lock(&self.order).clone();
        let mut keeper = Keeper::start(&order, sockets, self.answers.clone(), fill::open(&order)?)?;
        *lock(&self.parser) = Some(keeper.handle()?);
        *lock(&self.fault) = None;
        // The order may have changed, or the end come, before there was a parser to end.
        if self.changed.load(Ordering::Acquire) || self.end.load(Ordering::Acquire) {
            self.end_parser();
        }
        let uid = order.firewall.uid;
        let mut saved = Instant::now();
        let told = |why, count, name: &str| told(uid, why, count, name);
        let mut between = || {
            // The more there is to write, the less often.
            let answers = u64::try_from(lock(&self.answers).len()).unwrap_or(u64::MAX);
            if saved.elapsed() >= Duration::from_millis(answers.clamp(100, 10_000)) {
                saved = Instant::now();
                save(name, &self.answers);
            }
        };
        let result = keeper.serve_until_gone(&told, &mut between);
        *lock(&self.parser) = None;
        keeper.end();
        result
    }

    fn end_parser(&self) {
        if let Some(parser) = &*lock(&self.parser) {
            parser.kill();
        }
    }
}

/// What the parser of an agent is told.
pub(crate) fn order(name: &AccountName, firewall: &Firewall) -> Order {
    Order { agent: name.to_string(), firewall: firewall.clone(), resolvers: "/etc/resolv.conf".into() }
}

/// What an agent's gate answered before the guard was started.
pub(crate) fn remembered(name: &AccountName) -> Answers {
    let mut answers =
        fs::read(answers::path(name).as_str()).map(|bytes| Answers::from_json(&bytes)).unwrap_or_default();
    answers.forget_ended(now());
    answers
}

/// Writes the answers down, where they changed.
pub(crate) fn save(name: &AccountName, answers: &Mutex<Answers>) {
    let Some(bytes) = lock(answers).changed_json(now()) else { return };
    let file = FileState { bytes, mode: 0o600, uid: Uid(0), gid: Gid(0) };
    // The next time is soon; a policy that changes before takes over a little less.
    let _ = System::new().write(&answers::path(name), &file, Validator::Nobody);
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
