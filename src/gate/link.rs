//! What the parser and the keeper of a gate tell each other, over a socket that keeps the bounds of messages.
//!
//! What the parser sends may be an attacker's: the form is fixed, small, and read here alone.

use super::{message::MOST_ADDRESSES, rules::Refusal};
use std::net::IpAddr;

/// The most bytes of a message.
pub const MOST: usize = 32 * 1024;
/// The most requests in a message.
pub const MOST_REQUESTS: usize = 32;
/// The longest name in a message: that of DNS, and four bytes for each that has to be escaped.
const LONGEST_NAME: usize = 255;

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

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes: Vec<u8>) {
            let _ = (read(&bytes), read_done(&bytes).count());
        }
    }
}
