use super::*;
use crate::{
    model::{Uid, facts::Facts},
    plan,
    presets::expand::tests::{bot, catalog},
};

/// The verdict on a place under a policy, and whether the rules themselves let an address out.
fn ask(network: &str, place: &str) -> (Verdict, Option<bool>) {
    let network = network.lines().map(|line| format!("      {line}")).collect::<Vec<_>>().join("\n");
    let text = format!("version: 1\nagents:\n  bot:\n    human: ann\n    network:\n{network}\n");
    let policy = crate::policy::parse(&text, "p").unwrap_or_else(|error| panic!("{error}"));
    let network = &policy.agents[&bot()].network;
    let person = crate::model::facts::Person {
        name: "ann".into(),
        uid: Uid(1000),
        gid: crate::model::Gid(1000),
        gecos: String::new(),
        home: "/home/ann".into(),
        shell: "/bin/sh".into(),
    };
    let facts =
        Facts { humans: [("ann".into(), person)].into(), catalog: catalog(), nft: true, ..Facts::default() };
    let firewall = plan::desire(&policy, &bot(), &facts).unwrap().firewall;
    let found = Expansion::of(network, &bot(), &facts.catalog).unwrap();
    let (place, _) = Place::read(place).unwrap();
    let lets_out = match place.host {
        Host::Address(address) => Some(firewall.lets_out(address, place.protocol, place.port)),
        _ => None,
    };
    (verdict(network, &found, &firewall, &place), lets_out)
}

const POLICY: &str = "\
dns: gate
allow:
  - preset: github
  - preset: npm
  - domain: api.example.com
  - domain: \"*.wild.example.com\"
    ports: [8443]
  - cidr: 10.20.0.0/16
    ports: [5432]
  - loopback: [6379]
deny:
  - cidr: 10.20.9.0/24";

#[test]
fn verdicts_in_words() {
    let mut shown = String::new();
    for place in [
        "api.example.com",
        "api.example.com:22",
        "https://a.wild.example.com:8443/x",
        "wild.example.com:8443",
        "other.example.com",
        "npm.example.com",
        "github.com:22",
        "140.82.112.3:443",
        "140.82.112.3:80",
        "10.20.1.1:5432",
        "10.20.1.1:5433",
        "10.20.9.1:5432",
        "169.254.169.254:80",
        "192.0.2.9:3128",
        "localhost:6379",
        "localhost:5432",
        "[2001:db8::1]:443",
        "10.20.1.1:5432/udp",
    ] {
        let (verdict, lets_out) = ask(POLICY, place);
        // The rules and the words agree, unless something is denied first.
        let denied = verdict.because.starts_with("`deny`") || verdict.because == "built in";
        assert!(denied || lets_out.is_none_or(|open| open == verdict.open), "{verdict:?}");
        shown.push_str(&serde_json::to_string_pretty(&verdict).unwrap());
        shown.push('\n');
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn the_command_that_a_verdict_names_is_one_that_is_read() {
    for place in
        ["other.example.com:22", "192.0.2.77:53/udp", "[2001:db8::1]:443", "localhost:5432", "10.20.9.1:5432"]
    {
        let (verdict, _) = ask(POLICY, place);
        let change = verdict.change.unwrap();
        let target = change.strip_prefix("agentuser net allow ").unwrap();
        crate::policy::Allow::read_target(target).unwrap_or_else(|refusal| panic!("{change}: {refusal}"));
    }
}

#[test]
fn other_ways_to_resolve_names() {
    let (none, _) = ask("dns: none", "api.example.com");
    assert!(!none.open && none.because == "`dns: none`" && none.change.unwrap().ends_with("--dns gate"));
    let system = "dns: system\nallow:\n  - domain: api.example.com";
    let (open, _) = ask(system, "api.example.com");
    assert!(open.open && open.because.contains("2026-11-24"), "{open:?}");
    let (closed, _) = ask(system, "other.example.com");
    assert!(!closed.open && closed.rule.contains("resolves"), "{closed:?}");
    assert!(ask(system, "192.0.2.1:443").0.open);
    assert!(ask(system, "127.0.0.53:53").0.rule.contains("loopback"));
}

#[test]
fn where_everything_is_open() {
    let (open, _) = ask("outbound: allow\ndeny:\n  - cidr: 10.0.0.0/8", "192.0.2.1:22");
    assert!(open.open && open.change.unwrap() == "agentuser net deny 192.0.2.1/32");
    assert!(!ask("outbound: allow\ndeny:\n  - cidr: 10.0.0.0/8", "10.0.0.1:22").0.open);
}

#[test]
fn what_lies_below_a_name() {
    let covers = |entry: &str, name: &str| covers(&entry.parse().unwrap(), &name.parse().unwrap());
    assert!(covers("*.example.com", "a.example.com") && covers("*.example.com", "a.b.example.com"));
    assert!(!covers("*.example.com", "example.com") && !covers("*.example.com", "badexample.com"));
    assert!(covers("a.example.com", "a.example.com") && !covers("a.example.com", "b.a.example.com"));
}
