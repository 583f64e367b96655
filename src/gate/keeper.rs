//! The half of a gate that is root's: it starts the parser, judges again what the parser asks for, and fills the sets.

use super::{
    Order,
    answers::Answers,
    fill::{Answer, Fill},
    lifetime,
    link::{self, Link, Received, Request},
    message::MOST_ADDRESSES,
    rules::{Fate, Refusal, Rules},
};
use crate::{
    formats::{ipset, ipset::AnswerSet},
    host::{
        child,
        role::{Handle, Role, Started},
    },
    model::{Family, desired::Firewall},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The sockets of a gate, bound while there is still the right to: they outlive parsers, so that no question is lost and
/// nobody else takes the port between two of them.
pub struct Sockets {
    udp: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
}

impl Sockets {
    /// Binds a port below 1024 on 127.0.0.1 and, where the machine has IPv6, `::1`.
    pub fn bind(port: u16) -> io::Result<Self> {
        let (mut udp, mut listeners) = (Vec::new(), Vec::new());
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let at = SocketAddr::new(address, port);
            match UdpSocket::bind(at).and_then(|socket| Ok((socket, TcpListener::bind(at)?))) {
                Ok((socket, listener)) => {
                    udp.push(socket);
                    listeners.push(listener);
                }
                Err(error) if address.is_ipv6() && error.kind() == io::ErrorKind::AddrNotAvailable => {}
                Err(error) if address.is_ipv6() && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { udp, listeners })
    }
}

/// How long it stays awake after each message: questions seldom come alone, and to be woken takes longer than to answer.
const LINGER: Duration = Duration::from_micros(100);

/// What a gate tells of refused questions: why, how many, for which name.
pub type Told<'a> = &'a (dyn Fn(Refusal, u32, &str) + Sync);

/// A gate with its parser running.
pub struct Keeper {
    parser: Started,
    link: Link,
    rules: Rules,
    sets: Box<dyn Fill>,
    names: Vec<AnswerSet>,
    firewall: Firewall,
    answers: Arc<Mutex<Answers>>,
}

impl Keeper {
    /// Starts a parser for an agent's policy on these sockets.
    pub fn start(
        order: &Order,
        sockets: &Sockets,
        answers: Arc<Mutex<Answers>>,
        sets: Box<dyn Fill>,
    ) -> io::Result<Self> {
        let udp = sockets.udp.iter().map(AsFd::as_fd);
        let descriptors: Vec<_> = udp.chain(sockets.listeners.iter().map(AsFd::as_fd)).collect();
        let (link, theirs) = Link::pair()?;
        let parser = child::spawn(Role::ParseDns, order, &descriptors, (link.descriptor(), theirs))?;
        let (rules, names) = (Rules::of(&order.firewall), ipset::answer_sets(&order.firewall));
        let firewall = order.firewall.clone();
        Ok(Self { parser, link, rules, sets, names, firewall, answers })
    }

    /// A way for another thread to end the parser.
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        self.parser.handle()
    }

    /// Ends the parser.
    pub fn end(&mut self) {
        self.parser.end();
    }

    /// Serves the parser until it is gone, or breaks the rules of the link. `between` is called after each message, and at
    /// least twice a second.
    pub fn serve_until_gone(&mut self, told: Told<'_>, between: &mut dyn FnMut()) -> io::Result<()> {
        let mut active = Instant::now();
        self.link.set_patience(Duration::from_millis(500))?;
        loop {
            let lingers = active.elapsed() < LINGER;
            match self.link.receive(!lingers)? {
                Received::End => return Ok(()),
                Received::Nothing if lingers => {
                    std::thread::yield_now();
                    continue;
                }
                Received::Nothing => {}
                Received::Message(message) => {
                    let Some(requests) = link::read(&message) else {
                        return Err(io::Error::other("the parser sent what no parser sends"));
                    };
                    let done = self.serve_all(requests, told);
                    if !done.is_empty() {
                        self.link.send(&link::write_done(&done))?;
                    }
                    active = Instant::now();
                }
            }
            let (answers, firewall) = (&self.answers, &self.firewall);
            self.sets.keep(&|| living(&answers.lock().unwrap_or_else(PoisonError::into_inner), firewall));
            between();
        }
    }

    /// Puts all addresses of a message into the sets with one request to the kernel.
    fn serve_all(&mut self, requests: Vec<Request>, told: Told<'_>) -> Vec<(u32, bool)> {
        let (mut done, mut all) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Refused { why, count, name } => told(why, count, &name),
                Request::Open { number, ttl, name, addresses } => {
                    let answers = self.judge(&name, &addresses, ttl);
                    done.push((number, answers.is_some()));
                    all.push((number, name, addresses, lifetime(ttl), answers.unwrap_or_default()));
                }
            }
        }
        let together: Vec<Answer> = all.iter().flat_map(|(.., answers)| answers.iter().cloned()).collect();
        if together.is_empty() || self.sets.add(&together).is_ok() {
            self.remember(all.iter().map(|(_, name, addresses, seconds, _)| (name, addresses, *seconds)));
            return done;
        }
        // One of them is at fault: each has its own fate.
        for (number, name, addresses, seconds, answers) in &all {
            let good = !answers.is_empty() && self.sets.add(answers).is_ok();
            if good {
                self.remember([(name, addresses, *seconds)].into_iter());
            }
            done.iter_mut().filter(|(other, _)| other == number).for_each(|one| one.1 = good);
        }
        done
    }

    /// What is to be put into which sets; none where the parser asks for what the policy does not give.
    fn judge(&self, name: &str, addresses: &[IpAddr], ttl: u32) -> Option<Vec<Answer>> {
        let allowed = self.rules.name(name).ok()?;
        let fine = addresses.iter().all(|address| self.rules.address(*address) == Fate::Opened);
        if !fine || addresses.is_empty() || addresses.len() > MOST_ADDRESSES {
            return None;
        }
        let of = |address: &IpAddr| {
            let (address, family) = (*address, if address.is_ipv4() { Family::V4 } else { Family::V6 });
            let right = self.names.iter().filter(move |set| set.family == family);
            let right = right.filter(|set| allowed.lists.contains(&set.index)).map(|set| set.name.clone());
            right.map(move |set| Answer { set, address, seconds: lifetime(ttl) }).collect::<Vec<_>>()
        };
        Some(addresses.iter().flat_map(of).collect())
    }

    fn remember<'a>(&self, opened: impl Iterator<Item = (&'a String, &'a Vec<IpAddr>, u32)>) {
        let now = now();
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, addresses, seconds) in opened {
            for address in addresses {
                answers.put(name, *address, now + u64::from(seconds), now);
            }
        }
    }
}

/// What of these answers still lives and is allowed by a policy.
fn living(answers: &Answers, firewall: &Firewall) -> Vec<Answer> {
    let answer = |(set, address, seconds)| Answer { set, address, seconds };
    super::answers::still_allowed(answers, firewall, now()).into_iter().map(answer).collect()
}

/// Puts what still lives and is still allowed into the sets of a policy, such as one whose names changed.
pub fn take_over(answers: &Answers, firewall: &Firewall, sets: &mut dyn Fill) -> io::Result<usize> {
    let living = living(answers, firewall);
    // As many as the kernel takes in one message.
    living.chunks(256).try_for_each(|some| sets.add(some)).map(|()| living.len())
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
