//! Tables of nftables: whether one or a chain is there, a new one, the end of one, and addresses for sets (`nf_tables.h`).

use super::{
    message::{ACK, Batch, CREATE},
    nfgenmsg, subsystem,
};
use crate::model::Family;
use std::net::IpAddr;

/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
const NEW_TABLE: u16 = subsystem::NFTABLES << 8;
const GET_TABLE: u16 = subsystem::NFTABLES << 8 | 0x1;
const DELETE_TABLE: u16 = subsystem::NFTABLES << 8 | 0x2;
const GET_CHAIN: u16 = subsystem::NFTABLES << 8 | 0x4;
pub(super) const NEW_ELEMENTS: u16 = subsystem::NFTABLES << 8 | 0xc;
pub(super) const DELETE_ELEMENTS: u16 = subsystem::NFTABLES << 8 | 0xe;
/// `NFPROTO_INET`, `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const INET: u8 = 1;
const IP: u8 = 2;
const IP6: u8 = 10;
const TABLE: u16 = 1;
const CHAIN: u16 = 3;
pub(super) const SET: u16 = 2;
const ELEMENTS: u16 = 3;
const ELEMENT: u16 = 1;
const KEY: u16 = 1;
const TIMEOUT: u16 = 4;
const VALUE: u16 = 1;

/// An address for a set, and for how many seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The table of family `inet`.
    pub table: &'a str,
    /// The set.
    pub set: &'a str,
    /// The address.
    pub address: IpAddr,
    /// Seconds that it stays.
    pub seconds: u32,
}

/// One transaction that puts addresses into their sets.
///
/// Kernels before 6.12 leave the time of an element as it was when it is added again: not `prolongs`. There it is added,
/// deleted (which can't fail now) and added anew; packets see either the state before the transaction or the one after it.
pub fn add(elements: &[Element<'_>], prolongs: bool) -> Batch {
    let mut batch = Batch::default();
    batch.message(BEGIN, 0, &nfgenmsg(0, subsystem::NFTABLES));
    for (at, element) in elements.iter().enumerate() {
        if !prolongs {
            write(&mut batch, NEW_ELEMENTS, CREATE, element, true);
            write(&mut batch, DELETE_ELEMENTS, 0, element, false);
        }
        let last = if at + 1 == elements.len() { ACK } else { 0 };
        write(&mut batch, NEW_ELEMENTS, CREATE | last, element, true);
    }
    batch.message(END, 0, &nfgenmsg(0, subsystem::NFTABLES));
    batch
}

/// Asks for a table, or for a chain in it; the kernel's answer is `ENOENT` where there is none.
pub fn question(family: Family, table: &str, chain: Option<&str>) -> Batch {
    let mut batch = Batch::default();
    let kind = if chain.is_some() { GET_CHAIN } else { GET_TABLE };
    batch.message(kind, ACK, &nfgenmsg(number(family), 0)).text(TABLE, table);
    if let Some(chain) = chain {
        batch.text(CHAIN, chain);
    }
    batch
}

fn number(family: Family) -> u8 {
    match family {
        Family::V4 => IP,
        Family::V6 => IP6,
    }
}

/// Makes an empty table; one that is there stays as it is.
pub fn make(family: Family, table: &str) -> Batch {
    let mut batch = Batch::default();
    batch.message(BEGIN, 0, &nfgenmsg(0, subsystem::NFTABLES));
    batch.message(NEW_TABLE, CREATE | ACK, &nfgenmsg(number(family), 0)).text(TABLE, table);
    batch.message(END, 0, &nfgenmsg(0, subsystem::NFTABLES));
    batch
}

/// Deletes a table of family `inet` with all that is in it; the kernel's answer is `ENOENT` where there is none.
pub fn delete(table: &str) -> Batch {
    let mut batch = Batch::default();
    batch.message(BEGIN, 0, &nfgenmsg(0, subsystem::NFTABLES));
    batch.message(DELETE_TABLE, ACK, &nfgenmsg(INET, 0)).text(TABLE, table);
    batch.message(END, 0, &nfgenmsg(0, subsystem::NFTABLES));
    batch
}

fn write(batch: &mut Batch, kind: u16, flags: u16, element: &Element<'_>, timed: bool) {
    batch.message(kind, flags, &nfgenmsg(INET, 0)).text(TABLE, element.table).text(SET, element.set);
    batch.nested(ELEMENTS, |list| {
        list.nested(ELEMENT, |one| {
            one.nested(KEY, |key| {
                match element.address {
                    IpAddr::V4(v4) => key.attribute(VALUE, &v4.octets()),
                    IpAddr::V6(v6) => key.attribute(VALUE, &v6.octets()),
                };
            });
            if timed {
                one.attribute(TIMEOUT, &(u64::from(element.seconds) * 1000).to_be_bytes());
            }
        });
    });
}
