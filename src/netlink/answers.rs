//! Putting answers of the DNS gate into the sets of both belts.

use super::{
    Socket, ipset,
    message::{ACK, Batch},
    nft,
    nft::Element,
};
use crate::gate::fill::{Answer, Fill};
use std::io;

/// The way to the sets of one agent. It needs `CAP_NET_ADMIN`.
pub struct Sets {
    socket: Socket,
    table: String,
    buffer: Vec<u8>,
    /// Whether nftables prolongs what is added again.
    prolongs: bool,
}

impl Sets {
    /// The sets of an agent whose table of nftables has this name.
    pub fn open(table: String) -> io::Result<Self> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let prolongs = is_at_least(&release, (6, 12));
        Ok(Self { socket: Socket::netfilter(0)?, table, buffer: vec![0; super::PIECE], prolongs })
    }

    fn add_to_ipset(&mut self, answers: &[Answer]) -> io::Result<()> {
        let mut batch = Batch::default();
        for (at, Answer { set, address, seconds }) in answers.iter().enumerate() {
            let last = if at + 1 == answers.len() { ACK } else { 0 };
            ipset::add(&mut batch, last, set, *address, *seconds);
        }
        self.socket.request(&batch, &mut self.buffer)
    }

    /// A transaction fails as a whole, so that after a failure each answer is tried alone.
    fn add_to_nft<'a>(&'a mut self, answers: &'a [Answer]) -> io::Result<()> {
        let Self { socket, table, buffer, prolongs } = self;
        let element =
            |one: &'a Answer| Element { table, set: &one.set, address: one.address, seconds: one.seconds };
        let elements: Vec<_> = answers.iter().map(element).collect();
        let result = socket.request(&nft::add(&elements, *prolongs), buffer);
        if result.is_ok() || elements.len() == 1 {
            return result;
        }
        elements.chunks(1).try_for_each(|one| socket.request(&nft::add(one, *prolongs), buffer))
    }
}

impl Fill for Sets {
    /// Adds answers to the sets of both belts. The second belt may be missing; the first one may not.
    fn add(&mut self, answers: &[Answer]) -> io::Result<()> {
        let (first, second) = (self.add_to_ipset(answers), self.add_to_nft(answers));
        match second {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => first,
        }
    }
}

/// Whether a kernel's release, such as `6.1.0-18-amd64`, is this version or a later one.
fn is_at_least(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    numbers.next().zip(numbers.next()).is_some_and(|found| found >= version)
}

#[cfg(test)]
mod tests {
    #[test]
    fn releases() {
        let since = |release| super::is_at_least(release, (6, 12));
        assert!(since("6.12.0") && since("6.18.44-fc") && since("7.0-rc1"));
        assert!(!since("6.11.9") && !since("5.10.0-30-amd64") && !since("6") && !since(""));
    }
}
