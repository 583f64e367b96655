//! Asking the machine's resolvers: over UDP from a port that nobody can guess, over TCP where the answer does not fit, the
//! next resolver where one does not answer.

use super::message::{self, Answer, Kind};
use rustix::net::{AddressFamily, SocketType, connect};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// A resolver that has not answered by then is given up for the next one.
const PATIENCE: Duration = Duration::from_millis(800);
/// A program that asks waits five seconds: it gets its answer before.
const END: Duration = Duration::from_secs(4);

/// One question to the resolvers, from its first byte to its end.
pub(super) struct Exchange {
    name: String,
    kind: Kind,
    id: u16,
    left: VecDeque<SocketAddr>,
    server: Option<SocketAddr>,
    way: Way,
    next: Instant,
    end: Instant,
}

enum Way {
    None,
    Udp(UdpSocket),
    Tcp { stream: TcpStream, unsent: Vec<u8>, input: Vec<u8> },
}

/// What became of an exchange.
pub(super) enum Progress {
    /// It goes on; the socket may be another one.
    Waiting,
    /// It ended.
    Done(Answer),
}

impl Exchange {
    /// Begins to ask these resolvers, each of them twice.
    pub(super) fn begin(name: &str, kind: Kind, servers: &[SocketAddr], now: Instant) -> (Self, Progress) {
        let mut exchange = Self {
            name: name.to_owned(),
            kind,
            id: 0,
            left: servers.iter().chain(servers).copied().collect(),
            server: None,
            way: Way::None,
            next: now,
            end: now + END,
        };
        let progress = exchange.ask_next(now);
        (exchange, progress)
    }

    /// Which name is asked for, and what of it.
    pub(super) fn subject(&self) -> (&str, Kind) {
        (&self.name, self.kind)
    }

    /// The resolver that is asked now.
    pub(super) fn server(&self) -> Option<SocketAddr> {
        self.server
    }

    /// The socket, and whether it waits to be written to.
    pub(super) fn socket(&self) -> Option<(BorrowedFd<'_>, bool)> {
        match &self.way {
            Way::None => None,
            Way::Udp(socket) => Some((socket.as_fd(), false)),
            Way::Tcp { stream, unsent, .. } => Some((stream.as_fd(), !unsent.is_empty())),
        }
    }

    fn ask_next(&mut self, now: Instant) -> Progress {
        while let Some(server) = self.left.pop_front().filter(|_| now < self.end) {
            self.server = Some(server);
            self.next = (now + PATIENCE).min(self.end);
            if self.ask_over_udp(server).is_ok() {
                return Progress::Waiting;
            }
        }
        self.way = Way::None;
        Progress::Done(Answer::Failed)
    }

    fn ask_over_udp(&mut self, server: SocketAddr) -> io::Result<()> {
        let bytes = self.question()?;
        // The kernel chooses a port at random, leaves out what comes from anybody else, and tells when nobody listens.
        let socket = UdpSocket::from(socket(server, SocketType::DGRAM)?);
        connect(&socket, &server)?;
        socket.send(&bytes)?;
        self.way = Way::Udp(socket);
        Ok(())
    }

    fn ask_over_tcp(&mut self, server: SocketAddr) -> io::Result<()> {
        let bytes = self.question()?;
        let length = u16::try_from(bytes.len()).map_err(|_| ErrorKind::InvalidInput)?;
        let socket = socket(server, SocketType::STREAM)?;
        match connect(&socket, &server) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let unsent = [&length.to_be_bytes(), bytes.as_slice()].concat();
        self.way = Way::Tcp { stream: socket.into(), unsent, input: Vec::new() };
        Ok(())
    }

    /// The question, with a new id.
    fn question(&mut self) -> io::Result<Vec<u8>> {
        let (id, bytes) = message::ask(&self.name, self.kind).ok_or(ErrorKind::InvalidInput)?;
        self.id = id;
        Ok(bytes)
    }

    /// The socket can be read or written.
    pub(super) fn ready(&mut self, buffer: &mut [u8], now: Instant) -> Progress {
        match self.read(buffer) {
            Ok(None) => Progress::Waiting,
            Ok(Some(Answer::Truncated)) if matches!(self.way, Way::Udp(_)) => {
                let Some(server) = self.server else { return self.ask_next(now) };
                self.next = self.end;
                if self.ask_over_tcp(server).is_ok() { Progress::Waiting } else { self.ask_next(now) }
            }
            // Another resolver may know; the last one's word stands.
            Ok(Some(Answer::Failed | Answer::Truncated)) | Err(_) => self.ask_next(now),
            Ok(Some(answer)) => Progress::Done(answer),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<Answer>> {
        let (name, kind, id) = (&self.name, self.kind, self.id);
        match &mut self.way {
            Way::None => Ok(None),
            Way::Udp(socket) => loop {
                let Some(length) = unless_blocked(socket.recv(buffer))? else { return Ok(None) };
                if let Some(answer) = message::answer(&buffer[..length], id, name, kind) {
                    return Ok(Some(answer));
                }
            },
            Way::Tcp { stream, unsent, input } => {
                while !unsent.is_empty() {
                    match unless_blocked(stream.write(unsent)) {
                        Ok(Some(sent)) => drop(unsent.drain(..sent)),
                        Ok(None) => return Ok(None),
                        // A connection that is still being made.
                        Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(None),
                        Err(error) => return Err(error),
                    }
                }
                while let Some(length) = unless_blocked(stream.read(buffer))? {
                    if length == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    input.extend_from_slice(&buffer[..length]);
                    if let Some((size, rest)) = input.split_first_chunk::<2>()
                        && let Some(whole) = rest.get(..usize::from(u16::from_be_bytes(*size)))
                    {
                        let answer = message::answer(whole, id, name, kind);
                        return answer.map(Some).ok_or_else(|| ErrorKind::InvalidData.into());
                    }
                }
                Ok(None)
            }
        }
    }

    /// Whether its resolver has had enough time.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Gives the present resolver up.
    pub(super) fn give_up(&mut self, now: Instant) -> Progress {
        self.ask_next(now)
    }
}

/// A socket that does not wait, for this peer. Nobody inherits it, for the parser starts nothing.
fn socket(peer: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if peer.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, kind, None)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// What a call that does not wait came to; none where it would have had to wait.
pub(super) fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
