//! What is allowed is open as soon as its name is answered.

use crate::world::{UID, World, policy};
use agentuser::model::{Family, desired::Destinations};
use serde_json::json;

const ZONE: &str = r#"{
    "api.example": {"A": ["192.0.2.2"], "AAAA": ["2001:db8::2"], "ttl": 30},
    "six.example": {"AAAA": ["2001:db8::2"]},
    "*.many.example": {"A": ["192.0.2.2"]},
    "alias.example": {"CNAME": "edge.cdn.example"},
    "edge.cdn.example": {"CNAME": "n1.cdn.example", "ttl": 20},
    "n1.cdn.example": {"A": ["192.0.2.3"]},
    "long.example": {"A": ["192.0.2.2"], "truncate": true},
    "week.example": {"A": ["192.0.2.2"], "ttl": 604800},
    "rebind.example": {"A": ["127.0.0.1", "169.254.169.254", "10.98.0.2"]},
    "mixed.example": {"A": ["10.98.0.2", "192.0.2.3"]},
    "evil.example": {"A": ["203.0.113.2"]}
}"#;

#[test]
fn an_allowed_name_connects_at_once_400_of_400() {
    let names: Vec<String> = (0..400).map(|number| format!("n{number}.many.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["api.example", "six.example"]).collect();
    let Some(world) = World::with(&policy(&names), ZONE) else { return };
    let (four, six) = (world.set(Family::V4), world.set(Family::V6));
    let uid = UID.to_string();
    let rounds = |names: &[&str]| {
        let all = [&["rounds", &uid, "400", "flush"], names, &["--", &four, &six]].concat();
        world.client(0, &all)
    };
    // Without an answer it is closed, whatever the sets held before.
    assert_eq!(world.client(UID, &["connect", "192.0.2.2", "8000"])["verdict"], "ECONNREFUSED");
    let warm = rounds(&["api.example", "six.example"]);
    assert_eq!(warm["good"], 400, "{warm}");
    let asked = world.names.lines().iter().filter(|line| line.contains("api.example A ")).count();
    assert!(asked <= 8, "the cache answered too little: {asked}");
    let cold = rounds(&["n#.many.example"]);
    assert_eq!(cold["good"], 400, "{cold}");
    eprintln!("p50: warm {} ms, cold {} ms", warm["p50"], cold["p50"]);
}

#[test]
fn an_answer_stays_longer_than_its_ttl_and_each_question_prolongs_it() {
    let Some(world) = World::with(&policy(&["api.example", "week.example"]), ZONE) else { return };
    let said = world.client(UID, &["ask", "api.example"]);
    assert_eq!((&said["code"], &said["addresses"]), (&json!(0), &json!(["192.0.2.2"])), "{said}");
    assert!(said["ttl"].as_u64().unwrap() <= 30);
    let fresh = |(first, second): (Option<u64>, Option<u64>), least: u64| {
        first.is_some_and(|left| left >= least) && second.is_some_and(|left| left >= least)
    };
    assert!(fresh(world.seconds("192.0.2.2"), 355), "{:?}", world.seconds("192.0.2.2"));
    // What is left of an older answer, as in an hour's time.
    let set = world.set(Family::V4);
    world.root(&format!("ipset add {set} 192.0.2.2 timeout 9 -exist"));
    let table = format!("agentuser_{UID}");
    world.root(&format!("nft flush set inet {table} {set}"));
    let element = "{ 192.0.2.2 timeout 9s }";
    world.run(0, &["nft", "add", "element", "inet", &table, &set, element]).ok();
    assert!(!fresh(world.seconds("192.0.2.2"), 10));
    world.client(UID, &["ask", "api.example"]);
    assert!(fresh(world.seconds("192.0.2.2"), 355), "{:?}", world.seconds("192.0.2.2"));
    let week = world.client(UID, &["ask", "week.example"]);
    assert_eq!(week["ttl"], 3600);
    assert!(fresh(world.seconds("192.0.2.2"), 3890));
}

#[test]
fn aliases_are_opened_by_the_name_that_was_asked_for() {
    let Some(world) = World::with(&policy(&["alias.example"]), ZONE) else { return };
    let said = world.client(UID, &["ask", "alias.example"]);
    assert_eq!(said["addresses"], json!(["192.0.2.3"]), "{said}");
    assert!(said["ttl"].as_u64().unwrap() <= 20, "{said}");
    assert_eq!(said["records"], 1, "the alias itself is not handed out");
    assert_eq!(world.client(UID, &["connect", "192.0.2.3", "8000"])["verdict"], "open");
    assert_eq!(world.client(UID, &["ask", "edge.cdn.example"])["code"], 5);
}

#[test]
fn every_way_to_ask_leads_to_the_gate() {
    let Some(world) = World::with(&policy(&["api.example", "long.example"]), ZONE) else { return };
    for resolver in
        ["192.0.2.2", "203.0.113.2", "127.0.0.53", "198.18.7.7", "::1", "2001:db8::2", "2001:db8::53"]
    {
        for how in ["udp", "tcp"] {
            let said = world.client(UID, &["ask", "API.example", "A", resolver, how]);
            assert_eq!(said["addresses"], json!(["192.0.2.2"]), "{resolver} {how}: {said}");
            assert_eq!(said["spelled"], "API.example");
            let evil = world.client(UID, &["ask", "evil.example", "A", resolver, how]);
            assert_eq!(evil["code"], 5, "{resolver} {how}: {evil}");
        }
    }
    assert_eq!(world.client(UID, &["ask", "long.example"])["addresses"], json!(["192.0.2.2"]));
    assert!(world.names.lines().iter().any(|line| line == "query long.example A tcp"));
    assert_eq!(world.client(UID, &["ask", "localhost"])["addresses"], json!(["127.0.0.1"]));
    let all: Vec<String> = (0..40).map(|_| "api.example".to_owned()).chain(["evil.example".into()]).collect();
    let mut arguments = vec!["pipeline"];
    arguments.extend(all.iter().map(String::as_str));
    assert_eq!(world.client(UID, &arguments).as_array().unwrap().len(), 41);
    // Somebody else asks whom they ask.
    let other = world.client(61_113, &["ask", "evil.example", "A", "192.0.2.2"]);
    assert_eq!(other["addresses"], json!(["203.0.113.2"]));
}

#[test]
fn private_addresses_are_answered_where_the_policy_lists_them() {
    let names = ["rebind.example", "mixed.example"];
    let Some(mut world) = World::with(&policy(&names), ZONE) else { return };
    let said = world.client(UID, &["ask", "rebind.example"]);
    assert_eq!((&said["code"], &said["error"][0]), (&json!(5), &json!(17)), "{said}");
    assert_eq!(world.client(UID, &["ask", "mixed.example"])["addresses"], json!(["192.0.2.3"]));
    for address in ["169.254.169.254", "10.98.0.2"] {
        assert_eq!(world.client(UID, &["connect", address, "8000"])["verdict"], "ECONNREFUSED");
        assert_eq!(world.client(61_113, &["connect", address, "8000"])["verdict"], "open");
    }
    let net = Destinations {
        ports: Some(["8000".parse().unwrap()].into_iter().collect()),
        nets: vec!["10.98.0.0/16".parse().unwrap()],
    };
    let listed = agentuser::model::desired::Firewall { allow: vec![net], ..policy(&names) };
    world.write_receipt(&listed);
    crate::support::until("the new policy", || {
        let said = world.client(UID, &["ask", "rebind.example"]);
        (said["addresses"] == json!(["10.98.0.2"])).then_some(())
    });
    // The network's own ports, not those of the name.
    assert_eq!(world.client(UID, &["connect", "10.98.0.2", "443"])["verdict"], "ECONNREFUSED");
}

#[test]
fn five_thousand_names() {
    let names: Vec<String> = (0..5000).map(|number| format!("n{number}.many.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(world) = World::with(&policy(&names), ZONE) else { return };
    for name in ["n0.many.example", "n2500.many.example", "n4999.many.example"] {
        let said = world.client(UID, &["ask", name]);
        assert_eq!(said["addresses"], json!(["192.0.2.2"]), "{said}");
    }
    assert_eq!(world.client(UID, &["ask", "n5000.many.example"])["code"], 5);
    let uid = UID.to_string();
    let said = world.client(0, &["rounds", &uid, "5000", "keep", "n#.many.example", "--"]);
    assert_eq!(said["good"], 5000, "{said}");
}
