use super::*;
use crate::presets::ranges::snapshot;

pub(in crate::presets) fn network(dns: &str, allow: &str) -> Network {
    let allow = allow.lines().map(|line| format!("        {line}")).collect::<Vec<_>>().join("\n");
    let text = format!(
        "version: 1\nagents:\n  bot:\n    human: ann\n    network:\n      dns: {dns}\n      allow:\n{allow}\n"
    );
    let policy = crate::policy::parse(&text, "p").unwrap_or_else(|error| panic!("{error}"));
    policy.agents.into_values().next().unwrap().network
}

pub(in crate::presets) fn bot() -> AccountName {
    "bot".parse().unwrap()
}

/// The snapshots, and what an imagined human accepted.
pub(in crate::presets) fn catalog() -> Catalog {
    let host = |host: &str, port, setting: &str| ToolHost {
        host: host.into(),
        port,
        tool: "npm".into(),
        setting: setting.into(),
    };
    let npm = [host("npm.example.com", 443, "registry"), host("192.0.2.9", 3128, "proxy")];
    let addresses = ["192.0.2.1", "2001:db8::1", "10.0.0.7"].map(|address| address.parse().unwrap());
    let resolved = Resolved { date: "2026-11-24".parse().unwrap(), addresses: addresses.into() };
    Catalog {
        ranges: Publisher::ALL
            .into_iter()
            .map(|publisher| (publisher, snapshot(publisher).unwrap()))
            .collect(),
        hosts: [(bot(), [("npm".to_owned(), npm.into())].into())].into(),
        addresses: [(bot(), [("api.example.com".to_owned(), resolved)].into())].into(),
        resolvers: vec!["127.0.0.53".parse().unwrap()],
        ..Catalog::default()
    }
}

use crate::model::catalog::Resolved;

fn open(dns: &str, allow: &str) -> Expansion {
    Expansion::of(&network(dns, allow), &bot(), &catalog()).unwrap()
}

fn names(found: &Expansion) -> Vec<(String, Vec<String>)> {
    found.names().into_iter().map(|list| (list.ports.to_string(), list.names)).collect()
}

#[test]
fn github_is_its_ranges_and_under_the_gate_its_names() {
    let found = open("none", "- preset: github");
    assert!(found.names().is_empty() && found.notes.is_empty());
    let [list] = &found.nets()[..] else { panic!("one list of ports") };
    assert_eq!(list.ports.as_ref().unwrap().to_string(), "22, 443");
    let published = &catalog().ranges[&Publisher::Github].groups;
    for part in ["web", "api", "git"] {
        for net in &published[part] {
            assert!(list.nets.iter().any(|other| other.contains(net)), "{net}");
        }
    }
    assert!(list.nets.len() < 60, "{}", list.nets.len());

    let found = open("gate", "- preset: github");
    let names = names(&found);
    let expected = ["api.github.com", "codeload.github.com", "github.com"];
    assert_eq!(names[0], ("22, 443".into(), expected.map(String::from).into()));
    assert!(names[1].1.contains(&"*.githubusercontent.com".to_owned()));
    assert!(names.iter().all(|(_, names)| !names.iter().any(|name| name.contains("ghcr"))));
}

#[test]
fn parts_of_github_come_on_top() {
    let found = open("gate", "- preset: github\n  github: [packages]");
    let published = &catalog().ranges[&Publisher::Github].groups;
    let nets: Vec<_> = found.nets().into_iter().flat_map(|list| list.nets).collect();
    for net in published["web"].iter().chain(&published["packages"]) {
        assert!(nets.iter().any(|other| other.contains(net)), "{net}");
    }
    let outside = published["actions"].iter().filter(|net| !nets.iter().any(|other| other.contains(*net)));
    assert!(outside.count() > 1000);
    assert!(names(&found).iter().any(|(_, names)| names.contains(&"ghcr.io".to_owned())));
}

#[test]
fn regions_of_s3() {
    let found = open("gate", "- preset: aws-s3\n  regions: [eu-central-1]");
    let published = &catalog().ranges[&Publisher::Aws].groups["eu-central-1"];
    assert_eq!(&found.nets()[0].nets, published);
    let [(ports, names)] = &names(&found)[..] else { panic!() };
    assert_eq!(ports, "443");
    assert!(names.contains(&"*.s3.eu-central-1.amazonaws.com".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("eu-west-1") || name.contains('{')), "{names:?}");
    let all = open("none", "- preset: aws-s3").nets()[0].nets.len();
    assert!(all > 400, "{all}");
    let error =
        Expansion::of(&network("none", "- preset: aws-s3\n  regions: [xx-nowhere-1]"), &bot(), &catalog());
    let error = error.unwrap_err();
    assert!(error.to_string().contains("xx-nowhere-1") && error.hint().contains("eu-central-1"), "{error}");
}

#[test]
fn names_need_something_that_resolves_them() {
    for entry in ["- preset: anthropic", "- domain: api.example.com", "- preset: npm"] {
        let error = Expansion::of(&network("none", entry), &bot(), &catalog()).unwrap_err();
        assert!(matches!(error, ExpandError::NoResolver { .. }), "{error}");
        assert!(error.hint().contains("dns: gate"));
        assert!(!open("gate", entry).names().is_empty());
    }
    // Where everything is open, nothing has to be resolved for that.
    let open = Network { outbound: Outbound::Allow, ..network("none", "- domain: api.example.com") };
    assert!(Expansion::of(&open, &bot(), &catalog()).is_ok());
}

#[test]
fn accepted_hosts_are_names_and_addresses() {
    let found = open("gate", "- preset: npm");
    assert_eq!(names(&found), [("443".to_owned(), vec!["npm.example.com".to_owned()])]);
    assert_eq!(found.nets()[0].nets, ["192.0.2.9/32".parse().unwrap()]);
    assert_eq!(found.nets()[0].ports.as_ref().unwrap().to_string(), "3128");
    let other = open("gate", "- preset: pypi");
    assert!(other.opened.is_empty() && other.notes[0].contains("net refresh"), "{:?}", other.notes);
    // What one agent's human accepted is no other's.
    let stranger = "other".parse().unwrap();
    let found = Expansion::of(&network("gate", "- preset: npm"), &stranger, &catalog()).unwrap();
    assert!(found.opened.is_empty());
}

#[test]
fn under_dns_system_a_name_is_the_addresses_that_it_had() {
    let entries = "- domain: api.example.com\n- domain: \"*.example.com\"\n- domain: new.example.com";
    let found = open("system", entries);
    let nets: Vec<String> = found.nets()[0].nets.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["192.0.2.1/32", "2001:db8::1/128"]);
    let notes = found.notes.join("\n");
    for part in ["10.0.0.7", "`*.example.com` opens nothing", "`new.example.com` opens nothing yet"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(found.names().is_empty());
    let listed = open("system", "- domain: api.example.com\n- cidr: 10.0.0.0/24");
    assert!(listed.nets().iter().any(|list| list.nets.contains(&"10.0.0.7/32".parse().unwrap())));
}

#[test]
fn what_is_to_be_resolved() {
    let resolve = |dns, entries| to_resolve(&network(dns, entries), &bot(), &catalog());
    let entries = "- preset: github\n- preset: anthropic\n- domain: \"*.example.com\"\n- domain: api.example.com\n- preset: npm";
    let names = resolve("system", entries);
    for name in ["api.anthropic.com", "api.example.com", "npm.example.com"] {
        assert!(names.contains(name), "{names:?}");
    }
    assert!(!names.contains("github.com") && !names.iter().any(|name| name.contains('*')), "{names:?}");
    assert!(resolve("gate", entries).is_empty());
}

#[test]
fn entries_with_the_same_ports_are_one_list() {
    let entries = "- domain: b.example.com\n- domain: a.example.com\n- domain: b.example.com\n- domain: c.example.com\n  ports: [22]\n\
                   - cidr: 192.0.2.0/25\n- cidr: 192.0.2.128/25\n- loopback: [5432]\n- loopback: [6379]";
    let found = open("gate", entries);
    assert_eq!(
        names(&found),
        [
            ("22".to_owned(), vec!["c.example.com".to_owned()]),
            ("443".to_owned(), vec!["a.example.com".to_owned(), "b.example.com".to_owned()])
        ]
    );
    assert_eq!(found.nets()[0].nets, ["192.0.2.0/24".parse().unwrap()]);
    assert_eq!(found.loopback().to_string(), "5432, 6379");
}
