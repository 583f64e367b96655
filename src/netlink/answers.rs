//! Putting answers of the DNS gate into the sets of both belts.

use super::{Socket, ipset, message::Batch, nft, nft::Element};
use std::{io, net::IpAddr};

/// An address for a set that ipset(8) and the agent's table of nftables have by the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The set.
    pub set: String,
    /// The address.
    pub address: IpAddr,
    /// Seconds that it stays.
    pub seconds: u32,
}

/// The way to the sets of one agent. It needs `CAP_NET_ADMIN`.
pub struct Sets {
    socket: Socket,
    table: String,
    buffer: Vec<u8>,
}

impl Sets {
    /// The sets of an agent whose table of nftables has this name.
    pub fn open(table: String) -> io::Result<Self> {
        Ok(Self { socket: Socket::netfilter(0)?, table, buffer: vec![0; super::PIECE] })
    }

    /// Adds answers to the sets of both belts. The second belt may be missing; the first one may not.
    pub fn add(&mut self, answers: &[Answer]) -> io::Result<()> {
        let (first, second) = (self.add_to_ipset(answers), self.add_to_nft(answers));
        match second {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => first,
        }
    }

    fn add_to_ipset(&mut self, answers: &[Answer]) -> io::Result<()> {
        let mut batch = Batch::default();
        for Answer { set, address, seconds } in answers {
            ipset::add(&mut batch, set, *address, *seconds);
        }
        self.socket.request(&batch, &mut self.buffer)
    }

    /// A transaction fails as a whole, so that after a failure each answer is tried alone.
    fn add_to_nft<'a>(&'a mut self, answers: &'a [Answer]) -> io::Result<()> {
        let Self { socket, table, buffer } = self;
        let element =
            |one: &'a Answer| Element { table, set: &one.set, address: one.address, seconds: one.seconds };
        let elements: Vec<_> = answers.iter().map(element).collect();
        let result = socket.request(&nft::add(&elements), buffer);
        if result.is_ok() || elements.len() == 1 {
            return result;
        }
        elements.chunks(1).try_for_each(|one| socket.request(&nft::add(one), buffer))
    }
}
