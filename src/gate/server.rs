//! The loop of the parser: one thread, nothing that waits but the loop itself.

mod decide;

use super::{
    Order,
    cache::Cache,
    clients::{Clients, Connection},
    link::{self, Link, Received, Request},
    message::{Answer, Kind, Question, Reply},
    refusals::{Budget, Refusals},
    resolvers::Resolvers,
    rules::Rules,
    upstream::{Exchange, Progress, unless_blocked},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    time::{Duration, Instant},
};

/// The most questions that are with the resolvers at a time.
const MOST_EXCHANGES: usize = 256;
/// The most programs that wait for the same answer, and the most answers that wait for the keeper.
const MOST_WAITING: usize = 512;
/// The most datagrams that are taken from one socket before others have their turn.
const MOST_AT_ONCE: usize = 64;

/// How long it stays awake after each event: the keeper's answer, and that of a resolver of this machine, comes in less time
/// than it takes to fall asleep and to be woken. Meanwhile the processor is anybody's who wants it.
const LINGER: Duration = Duration::from_micros(60);

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
    link: Link,
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
    pub(super) fn new(order: Order, link: Link, udp: Vec<UdpSocket>, listeners: Vec<TcpListener>) -> Self {
        let now = Instant::now();
        Self {
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
        }
    }

    /// Serves until the keeper is gone.
    pub(super) fn run(mut self) -> io::Result<()> {
        let (mut events, mut active) = (Vec::new(), Instant::now());
        loop {
            let busy = !self.by_subject.is_empty() || !self.clients.is_empty() || self.refusals.is_counting();
            let lingers = active.elapsed() < LINGER;
            let pause = match (lingers, busy) {
                (true, _) => Duration::ZERO,
                (_, true) => Duration::from_millis(50),
                _ => Duration::from_hours(1),
            };
            self.wait(pause, &mut events)?;
            if !events.is_empty() {
                active = Instant::now();
            } else if lingers {
                std::thread::yield_now();
                continue;
            }
            let now = Instant::now();
            for &token in &events {
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

    /// Waits at most this long; `events` are then those of the sockets that have something.
    fn wait(&self, pause: Duration, events: &mut Vec<u64>) -> io::Result<()> {
        let (input, output) = (PollFlags::IN, PollFlags::OUT);
        let mut watched = vec![(LINK, PollFd::new(&self.link, input))];
        let udp = self.udp.iter().enumerate();
        watched.extend(udp.map(|(at, socket)| (UDP | at as u64, PollFd::new(socket, input))));
        let listeners = self.listeners.iter().enumerate();
        watched.extend(listeners.map(|(at, socket)| (LISTENER | at as u64, PollFd::new(socket, input))));
        watched.extend(self.clients.interests().map(|(slot, stream, (reading, writing))| {
            let flags = if reading { input } else { PollFlags::empty() };
            let flags = if writing { flags | output } else { flags };
            (CLIENT | slot as u64, PollFd::new(stream, flags))
        }));
        let exchanges = self.exchanges.iter().enumerate();
        watched.extend(exchanges.filter_map(|(at, pending)| {
            let (socket, writing) = pending.as_ref()?.exchange.socket()?;
            let flags = if writing { output } else { input };
            Some((EXCHANGE | at as u64, PollFd::from_borrowed_fd(socket, flags)))
        }));
        let pause = Timespec::try_from(pause).map_err(|_| io::ErrorKind::InvalidInput)?;
        let (tokens, mut fds): (Vec<u64>, Vec<_>) = watched.into_iter().unzip();
        events.clear();
        match poll(&mut fds, Some(&pause)) {
            Ok(_) => {
                let ready = tokens.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
                events.extend(ready.map(|(token, _)| *token));
                Ok(())
            }
            Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
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
            self.clients.add(stream, now);
        }
    }

    fn read_connection(&mut self, slot: usize, now: Instant) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for (connection, bytes) in self.clients.ready(slot, &mut buffer, now) {
            self.hear(Asker::Tcp(connection), &bytes, now);
        }
        self.buffer = buffer;
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

    /// Hands an exchange's answer on, where it has one.
    fn go_on(&mut self, at: usize, progress: Progress, now: Instant) {
        let Progress::Done(answer) = progress else { return };
        let Some(Pending { exchange, asked }) = self.exchanges[at].take() else { return };
        let (name, kind) = exchange.subject();
        self.by_subject.remove(&(name.to_owned(), kind));
        self.cache.put(name, kind, &answer, now);
        self.settle(name, answer, asked);
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
            self.link.send(&self.unsent.0)?;
            self.unsent.0.clear();
            self.unsent.1 = 0;
        }
        Ok(())
    }

    /// The keeper's answers; whether it is still there.
    fn read_link(&mut self) -> io::Result<bool> {
        loop {
            let message = match self.link.receive(false)? {
                Received::Message(message) => message,
                Received::Nothing => return Ok(true),
                Received::End => return Ok(false),
            };
            for (number, good) in link::read_done(&message) {
                let Some((asked, reply)) = self.waiting.remove(&number) else { continue };
                let failed = Reply::failed(
                    0,
                    "agentuser: the way to its addresses could not be opened: agentuser status",
                );
                for one in &asked {
                    self.reply(one, if good { &reply } else { &failed });
                }
            }
        }
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
