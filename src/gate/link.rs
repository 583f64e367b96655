//! What the parser and the keeper of a gate tell each other: messages over a stream, each behind its length. Sockets that keep
//! the bounds of messages and tell of the other end's end are not on every system.
//!
//! What the parser sends may be an attacker's: the form is fixed, small, and read here alone.

use super::{message::MOST_ADDRESSES, rules::Refusal};
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use std::{
    io,
    net::IpAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

/// The most bytes of a message.
pub const MOST: usize = 32 * 1024;
/// The most requests in a message.
pub const MOST_REQUESTS: usize = 32;
/// The longest name in a message: that of DNS, and four bytes for each that has to be escaped.
const LONGEST_NAME: usize = 255;

/// One end of the link.
pub struct Link {
    stream: OwnedFd,
    /// What has come and was not taken yet.
    input: Vec<u8>,
}

/// What came over the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing whole.
    Nothing,
    /// A message.
    Message(Vec<u8>),
    /// The other end is gone.
    End,
}

impl Link {
    /// Two ends.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self::from(OwnedFd::from(ours)), theirs.into()))
    }

    /// The end as a descriptor, for who starts the other one.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.stream
    }

    /// [`Link::receive`] waits no longer than this.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        let timeout = rustix::net::sockopt::Timeout::Recv;
        Ok(rustix::net::sockopt::set_socket_timeout(&self.stream, timeout, Some(patience))?)
    }

    /// Sends a message; waits until there is room for it.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let whole = [&length.to_be_bytes(), message].concat();
        let mut left = whole.as_slice();
        while !left.is_empty() {
            match rustix::io::write(&self.stream, left) {
                Ok(sent) => left = &left[sent..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// The next message. To be called again until there is nothing: several may have come together.
    pub fn receive(&mut self, waits: bool) -> io::Result<Received> {
        if let Some(message) = self.whole()? {
            return Ok(Received::Message(message));
        }
        let mut buffer = [0; 4096];
        let flags = if waits { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        match recv(&self.stream, &mut buffer, flags) {
            Ok((0, _)) => return Ok(Received::End),
            Ok((length, _)) => self.input.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(self.whole()?.map_or(Received::Nothing, Received::Message))
    }

    fn whole(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some((length, rest)) = self.input.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is longer than any"));
        }
        let Some(message) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.input.drain(..4 + length);
        Ok(Some(message))
    }
}

impl From<OwnedFd> for Link {
    fn from(stream: OwnedFd) -> Self {
        Self { stream, input: Vec::new() }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Something that the parser tells the keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A name has these addresses: they are to be put into the sets.
    Open {
        /// Which request it is.
        number: u32,
        /// Seconds that the answer lives.
        ttl: u32,
        /// The name that was asked for.
        name: String,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
    /// Questions were refused.
    Refused {
        /// Why.
        why: Refusal,
        /// How many.
        count: u32,
        /// The name; escaped where it is not a host's.
        name: String,
    },
}

/// Appends a request to a message.
pub fn write(request: &Request, to: &mut Vec<u8>) {
    match request {
        Request::Open { number, ttl, name, addresses } => {
            to.push(0);
            to.extend_from_slice(&number.to_be_bytes());
            to.extend_from_slice(&ttl.to_be_bytes());
            text(name, to);
            let addresses = &addresses[..addresses.len().min(MOST_ADDRESSES)];
            to.push(u8::try_from(addresses.len()).unwrap_or(0));
            for address in addresses {
                match address {
                    IpAddr::V4(v4) => to.extend([4].into_iter().chain(v4.octets())),
                    IpAddr::V6(v6) => to.extend([6].into_iter().chain(v6.octets())),
                }
            }
        }
        Request::Refused { why, count, name } => {
            to.push(*why as u8);
            to.extend_from_slice(&count.to_be_bytes());
            text(name, to);
        }
    }
}

fn text(text: &str, to: &mut Vec<u8>) {
    let bytes = &text.as_bytes()[..text.len().min(LONGEST_NAME)];
    to.push(u8::try_from(bytes.len()).unwrap_or(0));
    to.extend_from_slice(bytes);
}

/// Reads a message; none where anything in it is not as it should be.
pub fn read(mut bytes: &[u8]) -> Option<Vec<Request>> {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        if requests.len() >= MOST_REQUESTS {
            return None;
        }
        requests.push(one(&mut bytes)?);
    }
    Some(requests)
}

fn one(from: &mut &[u8]) -> Option<Request> {
    let kind = take::<1>(from)?[0];
    let first = u32::from_be_bytes(take(from)?);
    if kind != 0 {
        let why = Refusal::ALL.into_iter().find(|why| *why as u8 == kind)?;
        return Some(Request::Refused { why, count: first, name: name(from)? });
    }
    let ttl = u32::from_be_bytes(take(from)?);
    let name = name(from)?;
    let count = usize::from(take::<1>(from)?[0]);
    if count > MOST_ADDRESSES {
        return None;
    }
    let mut addresses = Vec::with_capacity(count);
    for _ in 0..count {
        addresses.push(match take::<1>(from)? {
            [4] => IpAddr::from(take::<4>(from)?),
            [6] => IpAddr::from(take::<16>(from)?),
            _ => return None,
        });
    }
    Some(Request::Open { number: first, ttl, name, addresses })
}

/// A name of printable ASCII.
fn name(from: &mut &[u8]) -> Option<String> {
    let length = usize::from(take::<1>(from)?[0]);
    let (name, rest) = from.split_at_checked(length)?;
    *from = rest;
    let text = std::str::from_utf8(name).ok()?;
    text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| text.to_owned())
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

/// The keeper's answer: which requests are in force, and which it refused.
pub fn write_done(done: &[(u32, bool)]) -> Vec<u8> {
    done.iter().flat_map(|(number, good)| number.to_be_bytes().into_iter().chain([u8::from(*good)])).collect()
}

/// Reads the keeper's answer.
pub fn read_done(bytes: &[u8]) -> impl Iterator<Item = (u32, bool)> {
    bytes.chunks_exact(5).map(|one| (u32::from_be_bytes([one[0], one[1], one[2], one[3]]), one[4] != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let requests = vec![
            Request::Open {
                number: 7,
                ttl: 60,
                name: "api.example.com".into(),
                addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            },
            Request::Refused { why: Refusal::Suspicious, count: 3, name: r"a\x20b.example".into() },
        ];
        let mut bytes = Vec::new();
        for request in &requests {
            write(request, &mut bytes);
        }
        assert_eq!(read(&bytes), Some(requests));
        assert_eq!(read(&bytes[..bytes.len() - 1]), None);
        let done = [(7, true), (8, false)];
        assert_eq!(read_done(&write_done(&done)).collect::<Vec<_>>(), done);
    }

    #[test]
    fn messages_keep_their_bounds_on_a_stream() {
        let (mut ours, theirs) = Link::pair().unwrap();
        let mut theirs = Link::from(theirs);
        assert_eq!(theirs.receive(false).unwrap(), Received::Nothing);
        let long = vec![7; MOST];
        let sender = std::thread::spawn(move || {
            for message in [b"one".as_slice(), b"", &long, b"two"] {
                ours.send(message).unwrap();
            }
        });
        let mut came = Vec::new();
        loop {
            match theirs.receive(true).unwrap() {
                Received::Nothing => {}
                Received::Message(message) => came.push(message),
                Received::End => break,
            }
        }
        sender.join().unwrap();
        assert_eq!(came, [b"one".to_vec(), vec![], vec![7; MOST], b"two".to_vec()]);
    }

    #[test]
    fn a_message_that_is_longer_than_any_is_an_error() {
        let (ours, theirs) = Link::pair().unwrap();
        rustix::io::write(&ours, &u32::MAX.to_be_bytes()).unwrap();
        assert!(Link::from(theirs).receive(true).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes: Vec<u8>) {
            let _ = (read(&bytes), read_done(&bytes).count());
        }
    }
}
