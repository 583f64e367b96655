//! Root's half of the audit log: it starts the listener, gives packets a name and a process, and writes lines.

use super::{
    Act, Record,
    file::Log,
    listener,
    process::Processes,
    tally::{SIZE, Told},
};
use crate::{
    gate::{answers::Answers, rules::Refusal},
    host::{
        child,
        role::{Role, Started},
    },
    launch::canary::Flight,
    model::{AccountName, Uid, desired::Firewall},
    netlink::nflog::{Packet, Verdict},
};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// An agent whose log is written.
pub struct Subject {
    name: AccountName,
    firewall: Firewall,
    answers: Arc<Mutex<Answers>>,
    log: Log,
    /// What each launch sends to be refused: nothing to tell of.
    canaries: Flight,
}

/// The logs of all agents.
#[derive(Default)]
pub struct Journal {
    subjects: HashMap<Uid, Subject>,
    lost: u64,
}

impl Journal {
    /// Writes the log of an agent from now on; `human` may read it.
    pub fn add(
        &mut self,
        name: &AccountName,
        firewall: &Firewall,
        human: Option<Uid>,
        answers: Arc<Mutex<Answers>>,
    ) -> io::Result<()> {
        let log = Log::open(name, human)?;
        let canaries = Flight::of(firewall);
        let subject = Subject { name: name.clone(), firewall: firewall.clone(), answers, log, canaries };
        self.subjects.insert(firewall.uid, subject);
        Ok(())
    }

    /// Writes the logs of another journal from now on, and no others.
    pub fn take_over(&mut self, other: Self) {
        self.subjects = other.subjects;
    }

    /// Whether there is a log to write.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// How many lines could not be written, or were never seen.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// A name was refused to an agent.
    pub fn name_refused(&mut self, uid: Uid, why: Refusal, count: u32, name: &str) {
        let Some(subject) = self.subjects.get_mut(&uid) else { return };
        let record = Record::name_refused(subject.name.as_str(), uid.0, why, count, name);
        self.lost += subject.write(&[record]);
    }

    /// Something happened to the rules of an agent.
    pub fn note(&mut self, uid: Uid, act: Act, why: String) {
        let Some(subject) = self.subjects.get_mut(&uid) else { return };
        let mut record = Record::new(subject.name.as_str(), uid.0, act, SystemTime::now());
        record.why = Some(why);
        self.lost += subject.write(&[record]);
    }

    fn packets(&mut self, told: &[Told], processes: &mut Processes) {
        let (now, mut records) = (SystemTime::now(), HashMap::<Uid, Vec<Record>>::new());
        for one in told {
            match one {
                Told::Packets(packet, count) => {
                    let Some(subject) = self.subjects.get(&packet.uid) else { continue };
                    let record = subject.record(packet, *count, now, processes);
                    records.entry(packet.uid).or_default().extend(record);
                }
                Told::Lost(count) => {
                    self.lost += u64::from(*count);
                    for (uid, subject) in &self.subjects {
                        let mut record = Record::new(subject.name.as_str(), uid.0, Act::Lost, now);
                        record.n = (*count).into();
                        records.entry(*uid).or_default().push(record);
                    }
                }
            }
        }
        for (uid, records) in records {
            if let Some(subject) = self.subjects.get_mut(&uid) {
                self.lost += subject.write(&records);
            }
        }
    }
}

impl Subject {
    /// The line about a packet; none where its owner is nobody that these rules are about.
    fn record(
        &self,
        packet: &Packet,
        count: u32,
        now: SystemTime,
        processes: &mut Processes,
    ) -> Option<Record> {
        let owner = packet.owner.unwrap_or(packet.uid);
        let ours = owner == packet.uid || self.firewall.sub_uids.iter().any(|range| range.contains(owner.0));
        let port = packet.ports.map_or(0, |(_, port)| port);
        if !ours || self.canaries.has(packet.protocol, SocketAddr::new(packet.destination, port)) {
            return None;
        }
        let act = match packet.verdict {
            Verdict::Deny => Act::Deny,
            Verdict::Mirror => Act::Mirror,
            Verdict::Allow => Act::Allow,
        };
        let mut record = Record::new(self.name.as_str(), owner.0, act, now);
        record.proto = Some(match packet.protocol {
            6 => "tcp".into(),
            17 => "udp".into(),
            1 => "icmp".into(),
            58 => "icmpv6".into(),
            other => other.to_string(),
        });
        record.dst = Some(packet.destination);
        record.port = packet.ports.map(|(_, port)| port);
        record.n = count.into();
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        record.name = answers.name_of(packet.destination).map(Into::into);
        record.why = act.is_refusal().then(|| why(&self.firewall, packet).into());
        if count == 1
            && let Some((pid, exe)) = processes.of(packet, owner)
        {
            (record.pid, record.exe) = (Some(pid), Some(exe));
        }
        Some(record)
    }

    /// Writes lines, and answers how many could not be.
    fn write(&mut self, records: &[Record]) -> u64 {
        self.log.append(records).map_or(records.len() as u64, |()| 0)
    }
}

/// The reason of a refusal, as far as the address tells it.
fn why(firewall: &Firewall, packet: &Packet) -> &'static str {
    if firewall.deny.iter().any(|to| to.nets.iter().any(|net| net.contains(&packet.destination))) {
        "denied by the policy"
    } else if packet.destination.is_loopback() {
        "loopback port of another account"
    } else {
        "no rule"
    }
}

/// The listener, running.
pub struct Listening {
    child: Started,
    link: OwnedFd,
}

impl Listening {
    /// Starts a listener.
    pub fn start() -> io::Result<Self> {
        let socket = listener::open()?;
        let (link, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let child = child::spawn(Role::ReadPackets, &(), &[socket.as_fd()], (&link, theirs))?;
        Ok(Self { child, link })
    }

    /// Writes what the listener tells until it is gone.
    pub fn run(&mut self, journal: &Mutex<Journal>) -> io::Result<()> {
        let result = self.listen(journal);
        self.child.end();
        result
    }

    fn listen(&self, journal: &Mutex<Journal>) -> io::Result<()> {
        let mut processes = Processes::new()?;
        let mut buffer = vec![0; listener::AT_ONCE * SIZE];
        loop {
            let length = match recv(&self.link, &mut buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Ok(()),
                Ok((length, _)) => length,
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let (whole, rest) = buffer[..length].as_chunks::<SIZE>();
            let told: Option<Vec<_>> = whole.iter().map(Told::from_bytes).collect();
            let Some(told) = told.filter(|_| rest.is_empty()) else {
                return Err(io::Error::other("the listener sent what no listener sends"));
            };
            journal.lock().unwrap_or_else(PoisonError::into_inner).packets(&told, &mut processes);
        }
    }
}
