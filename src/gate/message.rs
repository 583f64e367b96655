//! DNS messages (RFC 1035, RFC 6891), as far as a gate needs them: questions are read, answers are read for their addresses
//! alone, and replies are made of nothing but the question and addresses.
//!
//! hickory-proto reads and writes the bytes; nothing of what another server sent is passed on as bytes.

use super::LONGEST_TTL;
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata::opt::EdnsOption},
};
use std::net::IpAddr;

/// The most aliases that are followed from one name to the next.
const MOST_ALIASES: usize = 16;
/// The most addresses of one name that are handed out, and opened.
pub const MOST_ADDRESSES: usize = 32;
/// Bytes of a reply over UDP that no network splits.
const PAYLOAD: u16 = 1232;
/// The option of extended errors (RFC 8914).
const EXTENDED_ERROR: u16 = 15;
/// Seconds that "there is no such name" is believed at most.
const LONGEST_ABSENCE: u32 = 60;

/// What a gate looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Hints about a service (`HTTPS`, `SVCB`), or an alias (`CNAME`): the answer is that there are none.
    Nothing,
    /// Anything else.
    Other,
}

impl Kind {
    fn of(kind: RecordType) -> Self {
        match kind {
            RecordType::A => Self::A,
            RecordType::AAAA => Self::Aaaa,
            RecordType::HTTPS | RecordType::SVCB | RecordType::CNAME => Self::Nothing,
            _ => Self::Other,
        }
    }

    fn record_type(self) -> RecordType {
        if self == Self::Aaaa { RecordType::AAAA } else { RecordType::A }
    }
}

/// A question of a program.
#[derive(Clone, Debug)]
pub struct Question {
    id: u16,
    query: Query,
    recursion_desired: bool,
    checking_disabled: bool,
    /// Bytes that the program takes over UDP; none where it does not speak EDNS.
    payload: Option<u16>,
    /// The name in lower case without a final dot; none where it has bytes that no host's name has.
    pub name: Option<String>,
    /// What is asked for.
    pub kind: Kind,
}

/// What was asked is not a question that a gate answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It gets no answer.
    Ignored,
    /// It gets this answer.
    Answered(Vec<u8>),
}

impl Question {
    /// Reads a message from a program.
    pub fn read(bytes: &[u8]) -> Result<Self, Unfit> {
        // Id, and QR, the highest bit of the flags: whoever answers answers could be made to do so for ever.
        let &[high, low, flags, ..] = bytes else { return Err(Unfit::Ignored) };
        if bytes.len() < 12 || flags & 0x80 != 0 {
            return Err(Unfit::Ignored);
        }
        let id = u16::from_be_bytes([high, low]);
        let no = |op_code, code| Unfit::Answered(encode(&Message::error_msg(id, op_code, code)));
        let message = Message::from_vec(bytes).map_err(|_| no(OpCode::Query, ResponseCode::FormErr))?;
        if message.metadata.op_code != OpCode::Query {
            return Err(no(message.metadata.op_code, ResponseCode::NotImp));
        }
        let [query] = message.queries.as_slice() else {
            return Err(no(OpCode::Query, ResponseCode::FormErr));
        };
        let mut question = Self {
            id,
            query: query.clone(),
            recursion_desired: message.metadata.recursion_desired,
            checking_disabled: message.metadata.checking_disabled,
            payload: message.edns.as_ref().map(|edns| edns.max_payload().max(512)),
            name: plain(query.name()),
            kind: Kind::of(query.query_type()),
        };
        if message.edns.is_some_and(|edns| edns.version() != 0) {
            question.payload = Some(512);
            return Err(Unfit::Answered(question.reply(&Reply::failure(ResponseCode::BADVERS, None), true)));
        }
        if query.query_class() != DNSClass::IN {
            return Err(Unfit::Answered(question.reply(&Reply::failure(ResponseCode::Refused, None), true)));
        }
        Ok(question)
    }

    /// The name in printable ASCII, whatever it is made of.
    pub fn shown(&self) -> String {
        let text =
            String::from_utf8_lossy(self.query.name().to_ascii().as_bytes()).escape_default().to_string();
        text.replace(' ', "\\x20").trim_end_matches('.').to_owned()
    }

    /// The reply to this question, with the name spelled as the program spelled it.
    pub fn reply(&self, reply: &Reply, stream: bool) -> Vec<u8> {
        let mut message = self.empty(reply.code);
        if let Some(payload) = self.payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload.min(PAYLOAD));
            if let Some((code, text)) = &reply.error {
                let mut option = code.to_be_bytes().to_vec();
                option.extend_from_slice(text.as_bytes());
                edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, option));
            }
            message.edns = Some(edns);
        }
        for address in &reply.addresses {
            let data = match address {
                IpAddr::V4(v4) => RData::A((*v4).into()),
                IpAddr::V6(v6) => RData::AAAA((*v6).into()),
            };
            message.answers.push(Record::from_rdata(self.query.name().clone(), reply.ttl, data));
        }
        let bytes = encode(&message);
        if stream || bytes.len() <= usize::from(self.payload.unwrap_or(512).min(PAYLOAD)) {
            return bytes;
        }
        let mut short = self.empty(reply.code);
        short.metadata.truncation = true;
        encode(&short)
    }

    fn empty(&self, code: ResponseCode) -> Message {
        let mut message = Message::response(self.id, OpCode::Query);
        message.metadata.recursion_desired = self.recursion_desired;
        message.metadata.checking_disabled = self.checking_disabled;
        message.metadata.recursion_available = true;
        message.metadata.response_code = code;
        message.queries.push(self.query.clone());
        message
    }
}

/// What a reply says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: ResponseCode,
    addresses: Vec<IpAddr>,
    ttl: u32,
    error: Option<(u16, String)>,
}

impl Reply {
    /// Addresses; none of them is "it exists, and has no such address".
    pub fn addresses(addresses: Vec<IpAddr>, ttl: u32) -> Self {
        Self { code: ResponseCode::NoError, addresses, ttl, error: None }
    }

    /// There is no such name.
    pub fn no_such_name() -> Self {
        Self::failure(ResponseCode::NXDomain, None)
    }

    /// Refused, with the reason in words: 15 is "blocked", 17 "filtered", 21 "not supported" (RFC 8914, section 5.2).
    pub fn refused(code: u16, text: String) -> Self {
        Self::failure(ResponseCode::Refused, Some((code, text)))
    }

    /// It could not be looked up: 22 is "no reachable authority", 0 "other error".
    pub fn failed(code: u16, text: &str) -> Self {
        Self::failure(ResponseCode::ServFail, Some((code, text.to_owned())))
    }

    fn failure(code: ResponseCode, error: Option<(u16, String)>) -> Self {
        Self { code, addresses: Vec::new(), ttl: 0, error }
    }
}

/// A question to a resolver of the machine, with an id that nobody can guess.
pub fn ask(name: &str, kind: Kind) -> Option<(u16, Vec<u8>)> {
    let mut asked = Name::from_ascii(name).ok()?;
    asked.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.queries.push(Query::query(asked, kind.record_type()));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    message.edns = Some(edns);
    Some((message.metadata.id, message.to_vec().ok()?))
}

/// What a resolver of the machine said of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has these addresses of the family that was asked for, perhaps none, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// There is no such name, for so many seconds.
    NoSuchName(u32),
    /// The answer did not fit: it is to be asked for over TCP.
    Truncated,
    /// The resolver could not tell.
    Failed,
}

/// Reads an answer; none where it does not belong to the question.
pub fn answer(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Option<Answer> {
    let message = Message::from_vec(bytes).ok()?;
    let [query] = message.queries.as_slice() else { return None };
    let head = &message.metadata;
    let fits = head.id == id
        && head.message_type == MessageType::Response
        && head.op_code == OpCode::Query
        && query.query_type() == kind.record_type()
        && query.query_class() == DNSClass::IN
        && plain(query.name()).as_deref() == Some(name);
    if !fits {
        return None;
    }
    Some(match head.response_code {
        _ if head.truncation => Answer::Truncated,
        ResponseCode::NoError => {
            let (addresses, ttl) = addresses(&message, query.name(), kind);
            let ttl = if addresses.is_empty() { absence(&message) } else { ttl };
            Answer::Addresses(addresses, ttl)
        }
        ResponseCode::NXDomain => Answer::NoSuchName(absence(&message)),
        _ => Answer::Failed,
    })
}

/// Follows the aliases of a name to its addresses, and tells for how long all of that holds.
fn addresses(message: &Message, name: &Name, kind: Kind) -> (Vec<IpAddr>, u32) {
    let (mut name, mut ttl) = (name, LONGEST_TTL);
    for _ in 0..MOST_ALIASES {
        let next = message.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *name => Some((&target.0, record.ttl)),
            _ => None,
        });
        let Some((target, seconds)) = next else { break };
        (name, ttl) = (target, ttl.min(seconds));
    }
    let mut found = Vec::new();
    for record in message.answers.iter().filter(|record| record.name == *name) {
        let address = match (&record.data, kind) {
            (RData::A(v4), Kind::A) => IpAddr::V4(v4.0),
            (RData::AAAA(v6), Kind::Aaaa) => IpAddr::V6(v6.0),
            _ => continue,
        };
        if !found.contains(&address) && found.len() < MOST_ADDRESSES {
            found.push(address);
            ttl = ttl.min(record.ttl);
        }
    }
    (found, ttl)
}

/// Seconds that an absence is believed (RFC 2308).
fn absence(message: &Message) -> u32 {
    let soa = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    soa.unwrap_or(0).min(LONGEST_ABSENCE)
}

/// A name in lower case without a final dot, where it has only letters, digits, hyphens and underscores.
fn plain(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return None;
            }
            text.push(byte.to_ascii_lowercase().into());
        }
    }
    Some(text)
}

fn encode(message: &Message) -> Vec<u8> {
    // Replies are made of a question that was read and of addresses: all of that can be written.
    message.to_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests;
