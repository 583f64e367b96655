//! Messages as programs and resolvers send them, and some that they should not.

use super::*;
use proptest::prelude::*;

fn query(name: &str, kind: RecordType, edns: bool) -> Vec<u8> {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.queries.push(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.edns = edns.then(Edns::new);
    message.to_vec().unwrap()
}

fn said(bytes: &[u8]) -> Message {
    Message::from_vec(bytes).unwrap()
}

/// An answer of a resolver to what [`ask`] asks.
fn answered(records: &[(&str, u32, RData)]) -> Option<Answer> {
    let (id, bytes) = ask("api.example.com", Kind::A).unwrap();
    let mut message = said(&bytes).into_response();
    for (name, ttl, data) in records {
        message.answers.push(Record::from_rdata(Name::from_ascii(name).unwrap(), *ttl, data.clone()));
    }
    answer(&message.to_vec().unwrap(), id, "api.example.com", Kind::A)
}

fn a(last: u8) -> RData {
    RData::A(std::net::Ipv4Addr::new(192, 0, 2, last).into())
}

fn alias(name: &str) -> RData {
    RData::CNAME(hickory_proto::rr::rdata::CNAME(Name::from_ascii(name).unwrap()))
}

#[test]
fn the_name_is_answered_as_it_was_spelled() {
    let question = Question::read(&query("aPI.Example.COM.", RecordType::A, false)).unwrap();
    assert_eq!((question.name.as_deref(), question.kind), (Some("api.example.com"), Kind::A));
    let reply = said(&question.reply(&Reply::addresses(vec!["192.0.2.1".parse().unwrap()], 60), false));
    assert_eq!(reply.queries[0].name().to_ascii(), "aPI.Example.COM.");
    assert_eq!(reply.answers[0].name.to_ascii(), "aPI.Example.COM.");
    assert_eq!((reply.metadata.id, reply.edns), (0x1234, None));
}

#[test]
fn a_refusal_says_why_to_who_understands_it() {
    let refusal = Reply::refused(15, "not in the policy".into());
    let question = Question::read(&query("evil.example.", RecordType::A, true)).unwrap();
    let reply = said(&question.reply(&refusal, false));
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
    let options = reply.edns.unwrap();
    let Some(EdnsOption::Unknown(15, text)) = options.option(15.into()) else { panic!("{options:?}") };
    assert_eq!(text, b"\0\x0fnot in the policy");
}

#[test]
fn what_does_not_fit_is_asked_for_again_over_tcp() {
    let many: Vec<IpAddr> = (0..40).map(|last| IpAddr::from([192, 0, 2, last])).collect();
    let question = Question::read(&query("api.example.com.", RecordType::A, false)).unwrap();
    let reply = Reply::addresses(many, 60);
    let short = question.reply(&reply, false);
    assert!(short.len() <= 512 && said(&short).metadata.truncation);
    assert_eq!(said(&question.reply(&reply, true)).answers.len(), 40);
}

#[test]
fn unfit_questions() {
    let code = |bytes: &[u8]| match Question::read(bytes) {
        Err(Unfit::Answered(reply)) => Some(said(&reply).metadata.response_code),
        Err(Unfit::Ignored) => None,
        Ok(question) => panic!("{question:?}"),
    };
    let mut reply = query("a.example.", RecordType::A, false);
    reply[2] |= 0x80;
    assert_eq!(code(&reply), None);
    assert_eq!(code(b"short"), None);
    let mut update = query("a.example.", RecordType::A, false);
    update[2] |= 5 << 3;
    assert_eq!(code(&update), Some(ResponseCode::NotImp));
    let mut two = query("a.example.", RecordType::A, false);
    two[5] = 2;
    assert_eq!(code(&two), Some(ResponseCode::FormErr));
    let mut chaos = query("version.bind.", RecordType::TXT, false);
    let end = chaos.len();
    chaos[end - 1] = 3;
    assert_eq!(code(&chaos), Some(ResponseCode::Refused));
}

#[test]
fn aliases_are_followed_and_left_out() {
    let chain = [
        ("api.example.com.", 300, alias("edge.cdn.example.")),
        ("edge.cdn.example.", 20, alias("n1.cdn.example.")),
        ("n1.cdn.example.", 100, a(1)),
        ("n1.cdn.example.", 100, a(2)),
        ("other.example.", 5, a(66)),
    ];
    let found = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap()).to_vec();
    assert_eq!(answered(&chain), Some(Answer::Addresses(found, 20)));
    let ring = [("api.example.com.", 1, alias("b.example.")), ("b.example.", 1, alias("api.example.com."))];
    assert_eq!(answered(&ring), Some(Answer::Addresses(vec![], 0)));
}

#[test]
fn another_answer_is_no_answer() {
    let (id, bytes) = ask("api.example.com", Kind::A).unwrap();
    let bytes = said(&bytes).into_response().to_vec().unwrap();
    assert!(answer(&bytes, id, "api.example.com", Kind::A).is_some());
    assert_eq!(answer(&bytes, id.wrapping_add(1), "api.example.com", Kind::A), None);
    assert_eq!(answer(&bytes, id, "other.example.com", Kind::A), None);
    assert_eq!(answer(&bytes, id, "api.example.com", Kind::Aaaa), None);
}

#[test]
fn a_name_with_odd_bytes_is_no_name() {
    let mut bytes = query("a-b.example.", RecordType::A, false);
    bytes[14] = b' ';
    assert_eq!(Question::read(&bytes).unwrap().name, None);
}

proptest! {
    #[test]
    fn no_bytes_bring_it_down(bytes: Vec<u8>, at in 0_usize..60, flip: u8) {
        let _ = Question::read(&bytes);
        let _ = answer(&bytes, 0, "api.example.com", Kind::A);
        let mut close = query("api.example.com.", RecordType::HTTPS, true);
        if let Some(byte) = close.get_mut(at) {
            *byte ^= flip;
        }
        if let Ok(question) = Question::read(&close) {
            prop_assert!(question.reply(&Reply::no_such_name(), false).len() <= 1232);
        }
        close.extend_from_slice(&bytes);
        let _ = answer(&close, 0x1234, "api.example.com", Kind::A);
    }
}
