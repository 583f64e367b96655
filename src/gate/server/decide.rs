//! What becomes of a question: it is refused, answered, or asked of the resolvers.

use super::{Asked, Asker, MOST_EXCHANGES, MOST_WAITING, Pending, Server};
use crate::gate::{
    LONGEST_TTL,
    link::Request,
    message::{Answer, Kind, Question, Reply, Unfit},
    rules::{Fate, Refusal},
    upstream::Exchange,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

impl Server {
    pub(super) fn hear(&mut self, asker: Asker, bytes: &[u8], now: Instant) {
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

    /// Answers programs: at once, or when the keeper has opened the way to the addresses.
    pub(super) fn settle(&mut self, name: &str, answer: Answer, asked: Vec<Asked>) {
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

    pub(super) fn reply(&mut self, (asker, question): &Asked, reply: &Reply) {
        let bytes = question.reply(reply, matches!(asker, Asker::Tcp(_)));
        self.send(*asker, &bytes);
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
