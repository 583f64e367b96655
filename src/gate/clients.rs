//! Programs that ask over TCP (RFC 7766): several questions on one connection, answered in whatever order.

use super::upstream::unless_blocked;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// The most connections at a time.
const ROOM: usize = 64;
/// A connection on which nothing happens is closed.
const IDLE: Duration = Duration::from_secs(10);
/// The most questions on one connection that wait for an answer.
const MOST_PENDING: usize = 64;
/// The most bytes that wait to be sent or to become a question: four of the longest messages.
const MOST_BYTES: usize = 4 * 65_537;

/// A connection, whoever has its place later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// Its place.
    pub(super) slot: usize,
    generation: u64,
}

struct Client {
    stream: TcpStream,
    generation: u64,
    input: Vec<u8>,
    output: Vec<u8>,
    pending: usize,
    last: Instant,
    ended: bool,
}

/// The connections.
#[derive(Default)]
pub(super) struct Clients {
    slots: Vec<Option<Client>>,
    generation: u64,
}

impl Clients {
    /// Takes a new connection; where there is no room the one on which nothing has happened for the longest time goes.
    pub(super) fn add(&mut self, stream: TcpStream, now: Instant) {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            if self.slots.len() < ROOM {
                self.slots.push(None);
                return self.slots.len() - 1;
            }
            let last = |slot: &Option<Client>| slot.as_ref().map(|client| client.last);
            (0..ROOM).min_by_key(|slot| last(&self.slots[*slot])).unwrap_or(0)
        });
        self.generation += 1;
        let (input, output) = (Vec::new(), Vec::new());
        let generation = self.generation;
        self.slots[slot] =
            Some(Client { stream, generation, input, output, pending: 0, last: now, ended: false });
    }

    /// The sockets by their places, and whether each waits to be read and to be written to. What waits for neither has
    /// nothing to tell: an end that was seen already would be told again and again.
    pub(super) fn interests(&self) -> impl Iterator<Item = (usize, &TcpStream, (bool, bool))> {
        let clients =
            self.slots.iter().enumerate().filter_map(|(slot, client)| Some((slot, client.as_ref()?)));
        let wants = |client: &Client| (!client.ended, !client.output.is_empty());
        clients
            .map(move |(slot, client)| (slot, &client.stream, wants(client)))
            .filter(|(.., wants)| *wants != (false, false))
    }

    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// The socket can be read or written: what was not sent is sent, and whole questions are taken out.
    pub(super) fn ready(
        &mut self,
        slot: usize,
        buffer: &mut [u8],
        now: Instant,
    ) -> Vec<(Connection, Vec<u8>)> {
        let mut questions = Vec::new();
        let Some(client) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return questions };
        client.last = now;
        let mut alive = client.flush();
        while alive && !client.ended {
            match unless_blocked(client.stream.read(buffer)) {
                Ok(None) => break,
                Ok(Some(0)) => client.ended = true,
                Ok(Some(length)) => {
                    client.input.extend_from_slice(&buffer[..length]);
                    alive = client.take_questions(slot, &mut questions);
                }
                Err(_) => alive = false,
            }
        }
        if !alive || client.is_done() {
            self.slots[slot] = None;
        }
        questions
    }

    /// Sends a reply.
    pub(super) fn reply(&mut self, to: Connection, bytes: &[u8]) {
        let Some(slot) = self.slots.get_mut(to.slot) else { return };
        let Some(client) = slot.as_mut().filter(|client| client.generation == to.generation) else { return };
        client.pending = client.pending.saturating_sub(1);
        if let Ok(length) = u16::try_from(bytes.len()) {
            client.output.extend_from_slice(&length.to_be_bytes());
            client.output.extend_from_slice(bytes);
        }
        if !client.flush() || client.is_done() || client.output.len() > MOST_BYTES {
            *slot = None;
        }
    }

    /// Closes connections on which nothing happens.
    pub(super) fn expire(&mut self, now: Instant) {
        for slot in &mut self.slots {
            if slot.as_ref().is_some_and(|client| now.duration_since(client.last) >= IDLE) {
                *slot = None;
            }
        }
    }
}

impl Client {
    fn flush(&mut self) -> bool {
        while !self.output.is_empty() {
            match unless_blocked(self.stream.write(&self.output)) {
                Ok(Some(sent)) => drop(self.output.drain(..sent)),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn take_questions(&mut self, slot: usize, questions: &mut Vec<(Connection, Vec<u8>)>) -> bool {
        while let Some((size, rest)) = self.input.split_first_chunk::<2>() {
            let Some(whole) = rest.get(..usize::from(u16::from_be_bytes(*size))) else { break };
            questions.push((Connection { slot, generation: self.generation }, whole.to_vec()));
            let taken = 2 + whole.len();
            self.input.drain(..taken);
            self.pending += 1;
        }
        self.pending <= MOST_PENDING && self.input.len() <= MOST_BYTES
    }

    /// Whether the program wants nothing more and has all its replies.
    fn is_done(&self) -> bool {
        self.ended && self.pending == 0 && self.output.is_empty()
    }
}
