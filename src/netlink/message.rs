//! The frame of netlink(7): messages of a header and attributes, written one after the other, and read back.

use netlink_packet_core::{NetlinkBuffer, NlaBuffer, NlasIterator};

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NLM_F_ACK`: the kernel answers, also where all went well.
pub const ACK: u16 = 4;
/// `NLM_F_CREATE`.
pub const CREATE: u16 = 0x400;
/// `NLA_F_NESTED`: the attribute holds attributes.
const NESTED: u16 = 0x8000;
/// `NLA_F_NET_BYTEORDER`: the number is in network byte order.
pub const NETWORK_ORDER: u16 = 0x4000;

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// `NLMSG_ERROR`: an error, or 0 as an acknowledgement.
const ERROR: u16 = 2;

/// Messages to the kernel, each with a number of its own, counted from 1.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    messages: u32,
    begin: usize,
    acknowledged: Option<u32>,
}

impl Batch {
    /// Begins a message of this kind with its fixed part; `flags` beside `NLM_F_REQUEST`.
    pub fn message(&mut self, kind: u16, flags: u16, fixed: &[u8]) -> &mut Self {
        self.messages += 1;
        self.acknowledged = if flags & ACK == 0 { self.acknowledged } else { Some(self.messages) };
        self.begin = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&self.messages.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(fixed);
        self.close(self.begin, 4);
        self
    }

    /// Adds an attribute to the message.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let at = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(at, 2);
        self.close(self.begin, 4);
        self
    }

    /// Adds a text, which ends with a zero byte.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let at = self.open(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.close(at, 2);
        self.close(self.begin, 4);
        self
    }

    /// Adds an attribute of attributes.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.open(kind | NESTED);
        fill(self);
        self.close(at, 2);
        self.close(self.begin, 4);
        self
    }

    fn open(&mut self, kind: u16) -> usize {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        at
    }

    /// Writes the length of what began at `at` into its first `width` bytes, then fills up to a multiple of four.
    fn close(&mut self, at: usize, width: usize) {
        let length = self.bytes.len() - at;
        if width == 2 {
            self.bytes[at..at + 2].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
        } else {
            self.bytes[at..at + 4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The messages as they go to the kernel.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of the last message that will be acknowledged. What fails before it is told before it.
    pub fn acknowledged(&self) -> Option<u32> {
        self.acknowledged
    }
}

/// A message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its kind.
    pub kind: u16,
    /// The number of the message that it answers.
    pub number: u32,
    /// All after the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The error number that it carries, 0 for an acknowledgement; none where it is about something else.
    pub fn error(&self) -> Option<i32> {
        let number = self.payload.get(..4).filter(|_| self.kind == ERROR)?;
        Some(i32::from_ne_bytes(number.try_into().ok()?).wrapping_neg())
    }

    /// The attributes after a fixed part of `fixed` bytes; they end where one is not whole.
    pub fn attributes(&self, fixed: usize) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        attributes(self.payload.get(fixed..).unwrap_or_default())
    }
}

/// An attribute of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its kind, without flags.
    pub kind: u16,
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// A number of four bytes in network byte order.
    pub fn number(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.value.try_into().ok()?))
    }

    /// A text that ends with a zero byte.
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value.strip_suffix(&[0]).unwrap_or(self.value)).ok()
    }
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    NlasIterator::new(bytes).map_while(Result::ok).map(|nla: NlaBuffer<&[u8]>| {
        let (kind, length) = (nla.kind(), usize::from(nla.length()));
        Attribute { kind, value: &nla.into_inner()[4..length] }
    })
}

/// The messages in what came in one piece; they end where one is not whole.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let frame = NetlinkBuffer::new_checked(rest).ok()?;
        let length = usize::try_from(frame.length()).ok()?;
        let payload = rest.get(HEADER..length)?;
        let message = Message { kind: frame.message_type(), number: frame.sequence_number(), payload };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut batch = Batch::default();
        batch.message(7, ACK, &[1, 2, 3, 4]).attribute(3, &[9]).nested(4, |inner| {
            inner.text(5, "name");
        });
        batch.message(8, 0, &[]);
        assert_eq!(batch.acknowledged(), Some(1));
        let all: Vec<_> = messages(batch.bytes()).collect();
        assert_eq!(all.iter().map(|message| message.kind).collect::<Vec<_>>(), [7, 8]);
        let attributes: Vec<_> = all[0].attributes(4).collect();
        assert_eq!(attributes[0], Attribute { kind: 3, value: &[9] });
        assert_eq!(attributes[1].kind, 4);
        assert_eq!(super::attributes(attributes[1].value).next().unwrap().text(), Some("name"));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes: Vec<u8>) {
            for message in messages(&bytes) {
                let _ = (message.error(), message.attributes(4).count());
            }
        }
    }
}
