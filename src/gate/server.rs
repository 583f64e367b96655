//! The loop of the parser: one thread, nothing that waits but the loop itself.

use super::{
    LONGEST_TTL, Order,
    cache::Cache,
    clients::{Clients, Connection},
    link::{self, Request},
    message::{Answer, Kind, Question, Reply, Unfit},
    refusals::{Budget, Refusals},
    resolvers::Resolvers,
    rules::{Fate, Refusal, Rules},
    upstream::{Exchange, Progress, unless_blocked},
};
use rustix::{
    event::epoll::{self, EventData, EventFlags},
    net::{RecvFlags, SendFlags, recv, send},
};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

/// The most questions that are with the resolvers at a time.
const MOST_EXCHANGES: usize = 256;
/// The most programs that wait for the same answer, and the most answers that wait for the keeper.
const MOST_WAITING: usize = 512;
/// The most datagrams that are taken from one socket before others have their turn.
const MOST_AT_ONCE: usize = 64;

const LINK: u64 = 0;
const UDP: u64 = 1 << 32;
const LISTENER: u64 = 2 << 32;
const CLIENT: u64 = 3 << 32;
const EXCHANGE: u64 = 4 << 32;

/// How a program asked.
#[derive(Clone, Copy)]
enum Asker {
    Udp(usize, SocketAddr),
    Tcp(Connection),
}

type Asked = (Asker, Question);

/// A question to the resolvers, and who waits for the answer.
struct Pending {
    exchange: Exchange,
    asked: Vec<Asked>,
}

/// The parser at work.
pub(super) struct Server {
    epoll: OwnedFd,
    link: OwnedFd,
    udp: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
    agent: String,
    rules: Rules,
    cache: Cache,
    resolvers: Resolvers,
    clients: Clients,
    exchanges: Vec<Option<Pending>>,
    by_subject: HashMap<(String, Kind), usize>,
    waiting: HashMap<u32, (Vec<Asked>, Reply)>,
    number: u32,
    unsent: (Vec<u8>, usize),
    refusals: Refusals,
    budget: Budget,
    buffer: Vec<u8>,
}

impl Server {
    /// The parser of an order, with its way to the keeper and its sockets.
    pub(super) fn new(
        order: Order,
        link: OwnedFd,
        udp: Vec<UdpSocket>,
        listeners: Vec<TcpListener>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let watch =
            |fd: &dyn AsFd, token| epoll::add(&epoll, fd.as_fd(), EventData::new_u64(token), EventFlags::IN);
        watch(&link, LINK)?;
        for (at, socket) in udp.iter().enumerate() {
            watch(socket, UDP | at as u64)?;
        }
        for (at, listener) in listeners.iter().enumerate() {
            watch(listener, LISTENER | at as u64)?;
        }
        let now = Instant::now();
        Ok(Self {
            epoll,
            link,
            udp,
            listeners,
            rules: Rules::of(&order.firewall),
            agent: order.agent,
            cache: Cache::default(),
            resolvers: Resolvers::new(order.resolvers),
            clients: Clients::default(),
            exchanges: Vec::new(),
            by_subject: HashMap::new(),
            waiting: HashMap::new(),
            number: 0,
            unsent: (Vec::new(), 0),
            refusals: Refusals::new(now),
            budget: Budget::new(now),
            buffer: vec![0; 65_536],
        })
    }

    /// Serves until the keeper is gone.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(256);
        loop {
            let busy = !self.by_subject.is_empty() || !self.clients.is_empty() || self.refusals.is_counting();
            let pause = if busy { Duration::from_millis(50) } else { Duration::from_hours(1) };
            let pause = rustix::time::Timespec::try_from(pause).map_err(|_| io::ErrorKind::InvalidInput)?;
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&pause)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let now = Instant::now();
            for event in &events {
                let token = event.data.u64();
                let at = usize::try_from(token & 0xffff_ffff).unwrap_or(usize::MAX);
                match token & !0xffff_ffff {
                    UDP => self.read_datagrams(at, now),
                    LISTENER => self.accept(at, now),
                    CLIENT => self.read_connection(at, now),
                    EXCHANGE => self.read_exchange(at, now),
                    _ if !self.read_link()? => return Ok(()),
                    _ => {}
                }
            }
            if busy {
                self.expire(now);
            }
            self.flush()?;
        }
    }

    fn read_datagrams(&mut self, at: usize, now: Instant) {
        for _ in 0..MOST_AT_ONCE {
            let mut buffer = std::mem::take(&mut self.buffer);
            let received = unless_blocked(self.udp[at].recv_from(&mut buffer));
            if let Ok(Some((length, peer))) = received {
                self.hear(Asker::Udp(at, peer), &buffer[..length], now);
            }
            self.buffer = buffer;
            if matches!(received, Ok(None)) {
                return;
            }
        }
    }

    fn accept(&mut self, at: usize, now: Instant) {
        while let Ok(Some((stream, _))) = unless_blocked(self.listeners[at].accept()) {
            if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
                continue;
            }
            let slot = self.clients.add(stream, now);
            let Some(stream) = self.clients.stream(slot) else { continue };
            // Edges, for a connection that waits to be written to is rare, and read to its end each time.
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            let _ = epoll::add(&self.epoll, stream, EventData::new_u64(CLIENT | slot as u64), flags);
        }
    }

    fn read_connection(&mut self, slot: usize, now: Instant) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for (connection, bytes) in self.clients.ready(slot, &mut buffer, now) {
            self.hear(Asker::Tcp(connection), &bytes, now);
        }
        self.buffer = buffer;
    }

    fn hear(&mut self, asker: Asker, bytes: &[u8], now: Instant) {
        match Question::read(bytes) {
            Ok(question) => self.decide((asker, question), now),
            Err(Unfit::Answered(reply)) => self.send(asker, &reply),
            Err(Unfit::Ignored) => {}
        }
    }

    fn decide(&mut self, asked: Asked, now: Instant) {
        let Some(name) = asked.1.name.clone() else { return self.refuse(&asked, Refusal::NotListed) };
        if name == "localhost" || name.ends_with(".localhost") {
            return self.reply(&asked, &localhost(asked.1.kind));
        }
        let allowed = match self.rules.name(&name) {
            Ok(allowed) => allowed,
            Err(why) => return self.refuse(&asked, why),
        };
        let kind = asked.1.kind;
        match kind {
            Kind::Other => return self.refuse(&asked, Refusal::Kind),
            Kind::Nothing => return self.reply(&asked, &Reply::addresses(vec![], 0)),
            Kind::A | Kind::Aaaa => {}
        }
        if let Some(answer) = self.cache.get(&name, kind, now) {
            return self.settle(&name, answer, vec![asked]);
        }
        if let Some(&at) = self.by_subject.get(&(name.clone(), kind))
            && let Some(pending) = &mut self.exchanges[at]
            && pending.asked.len() < MOST_WAITING
        {
            return pending.asked.push(asked);
        }
        if allowed.wildcard && !self.budget.take(now) {
            return self.refuse(&asked, Refusal::TooMany);
        }
        self.ask(&name, kind, asked, now);
    }

    fn ask(&mut self, name: &str, kind: Kind, asked: Asked, now: Instant) {
        let free = self.exchanges.iter().position(Option::is_none);
        let at = free.unwrap_or(self.exchanges.len());
        if at >= MOST_EXCHANGES {
            return self.reply(&asked, &Reply::failed(0, "too many questions at a time"));
        }
        let servers = self.resolvers.now(now);
        let (exchange, progress) = Exchange::begin(name, kind, &servers, now);
        if at == self.exchanges.len() {
            self.exchanges.push(None);
        }
        self.exchanges[at] = Some(Pending { exchange, asked: vec![asked] });
        self.by_subject.insert((name.to_owned(), kind), at);
        self.go_on(at, progress, now);
    }

    fn read_exchange(&mut self, at: usize, now: Instant) {
        let Some(pending) = self.exchanges.get_mut(at).and_then(Option::as_mut) else { return };
        let before = pending.exchange.server();
        let progress = pending.exchange.ready(&mut self.buffer, now);
        if let Some(server) = before {
            match &progress {
                Progress::Done(Answer::Failed) => self.resolvers.failed(server, now),
                Progress::Waiting if pending.exchange.server() != before => {
                    self.resolvers.failed(server, now);
                }
                Progress::Done(_) => self.resolvers.answered(server),
                Progress::Waiting => {}
            }
        }
        self.go_on(at, progress, now);
    }

    /// Watches an exchange's socket, or hands its answer on.
    fn go_on(&mut self, at: usize, progress: Progress, now: Instant) {
        let Some(pending) = &self.exchanges[at] else { return };
        let Progress::Done(answer) = progress else {
            if let Some((socket, writing)) = pending.exchange.socket() {
                let flags = if writing { EventFlags::OUT } else { EventFlags::IN };
                let data = EventData::new_u64(EXCHANGE | at as u64);
                if epoll::add(&self.epoll, socket, data, flags).is_err() {
                    let _ = epoll::modify(&self.epoll, socket, data, flags);
                }
            }
            return;
        };
        let Some(Pending { exchange, asked }) = self.exchanges[at].take() else { return };
        let (name, kind) = exchange.subject();
        self.by_subject.remove(&(name.to_owned(), kind));
        self.cache.put(name, kind, &answer, now);
        self.settle(name, answer, asked);
    }

    /// Answers programs: at once, or when the keeper has opened the way to the addresses.
    fn settle(&mut self, name: &str, answer: Answer, asked: Vec<Asked>) {
        let reply_to_all = |server: &mut Self, reply: &Reply| {
            for one in &asked {
                server.reply(one, reply);
            }
        };
        let (found, ttl) = match answer {
            Answer::Addresses(found, ttl) => (found, ttl.min(LONGEST_TTL)),
            Answer::NoSuchName(_) => return reply_to_all(self, &Reply::no_such_name()),
            Answer::Failed | Answer::Truncated => {
                let text = "agentuser: the resolvers of this machine (/etc/resolv.conf) do not answer";
                return reply_to_all(self, &Reply::failed(22, text));
            }
        };
        let fate = |address: &IpAddr| self.rules.address(*address);
        let opened: Vec<_> = found.iter().copied().filter(|one| fate(one) == Fate::Opened).collect();
        let handed: Vec<_> = found.iter().copied().filter(|one| fate(one) != Fate::Withheld).collect();
        if handed.is_empty() && !found.is_empty() {
            for one in &asked {
                self.refuse(one, Refusal::Private);
            }
            return;
        }
        let reply = Reply::addresses(handed, ttl);
        if opened.is_empty() {
            return reply_to_all(self, &reply);
        }
        if self.waiting.len() >= MOST_WAITING {
            return reply_to_all(self, &Reply::failed(0, "too many questions at a time"));
        }
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        self.tell(&Request::Open { number, ttl, name: name.to_owned(), addresses: opened });
        self.waiting.insert(number, (asked, reply));
    }

    fn refuse(&mut self, asked: &Asked, why: Refusal) {
        let name = asked.1.name.clone().unwrap_or_else(|| asked.1.shown());
        let text = match why {
            Refusal::NotListed => format!(
                "agentuser: {name} is not in the policy of {}; to allow it: agentuser net allow {name}",
                self.agent
            ),
            other => format!("agentuser: {name}: {}", other.why()),
        };
        let code = match why {
            Refusal::NotListed | Refusal::Suspicious | Refusal::TooMany => 15,
            Refusal::Private => 17,
            Refusal::Kind => 21,
        };
        self.reply(asked, &Reply::refused(code, text));
        if let Some(request) = self.refusals.note(why, name) {
            self.tell(&request);
        }
    }

    fn reply(&mut self, (asker, question): &Asked, reply: &Reply) {
        let bytes = question.reply(reply, matches!(asker, Asker::Tcp(_)));
        self.send(*asker, &bytes);
    }

    fn send(&mut self, asker: Asker, bytes: &[u8]) {
        match asker {
            // A program that does not read its replies asks again.
            Asker::Udp(at, peer) => drop(self.udp[at].send_to(bytes, peer)),
            Asker::Tcp(connection) => self.clients.reply(connection, bytes),
        }
    }

    fn tell(&mut self, request: &Request) {
        link::write(request, &mut self.unsent.0);
        self.unsent.1 += 1;
        if self.unsent.1 >= link::MOST_REQUESTS {
            // An error here is one of the link, which the loop finds as well.
            let _ = self.flush();
        }
    }

    /// Tells the keeper all of what came up in this round at once.
    fn flush(&mut self) -> io::Result<()> {
        if !self.unsent.0.is_empty() {
            send(&self.link, &self.unsent.0, SendFlags::NOSIGNAL)?;
            self.unsent.0.clear();
            self.unsent.1 = 0;
        }
        Ok(())
    }

    /// The keeper's answers; whether it is still there.
    fn read_link(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let (length, _) = match recv(&self.link, &mut buffer, RecvFlags::DONTWAIT) {
            Ok(received) => received,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        for (number, good) in link::read_done(&buffer[..length]) {
            let Some((asked, reply)) = self.waiting.remove(&number) else { continue };
            let failed =
                Reply::failed(0, "agentuser: the way to its addresses could not be opened: agentuser status");
            for one in &asked {
                self.reply(one, if good { &reply } else { &failed });
            }
        }
        Ok(length > 0)
    }

    fn expire(&mut self, now: Instant) {
        for at in 0..self.exchanges.len() {
            let Some(pending) = self.exchanges[at].as_mut().filter(|one| one.exchange.is_late(now)) else {
                continue;
            };
            if let Some(server) = pending.exchange.server() {
                self.resolvers.failed(server, now);
            }
            let progress = pending.exchange.give_up(now);
            self.go_on(at, progress, now);
        }
        self.clients.expire(now);
        for request in self.refusals.repeats(now) {
            self.tell(&request);
        }
    }
}

/// This machine has one name of its own (RFC 6761).
fn localhost(kind: Kind) -> Reply {
    let addresses = match kind {
        Kind::A => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        Kind::Aaaa => vec![IpAddr::V6(Ipv6Addr::LOCALHOST)],
        Kind::Nothing | Kind::Other => vec![],
    };
    Reply::addresses(addresses, LONGEST_TTL)
}
