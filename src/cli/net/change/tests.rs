use super::*;
use crate::policy;

const TEXT: &str = "\
version: 1
agents:
  bot:
    human: ann
    network:
      allow:
        - preset: github
          github: [packages]
        - domain: \"*.example.com\"
        - domain: api.example.org
          ports: [443, 8443]
        - cidr: 10.20.0.0/16   # the office
        - loopback: [5432, 6379]
      deny:
        - cidr: 10.20.9.0/24
";

fn bot() -> AccountName {
    "bot".parse().unwrap()
}

fn targets(texts: &[&str]) -> Vec<Allow> {
    texts.iter().map(|text| Allow::read_target(text).unwrap()).collect()
}

fn opened(texts: &[&str], dns: Option<How>) -> String {
    let agent = &policy::parse(TEXT, "p").unwrap().agents[&bot()];
    open(TEXT, &bot(), agent, &targets(texts), dns).unwrap()
}

fn closed(texts: &[&str]) -> Result<String, Failure> {
    let agent = &policy::parse(TEXT, "p").unwrap().agents[&bot()];
    close(TEXT, &bot(), agent, &targets(texts))
}

/// Lines that came, and lines that went.
fn difference(new: &str) -> (Vec<String>, Vec<String>) {
    let without = |a: &str, b: &str| {
        a.lines()
            .filter(|line| !b.lines().any(|other| other == *line))
            .map(|line| line.trim().to_owned())
            .collect()
    };
    (without(new, TEXT), without(TEXT, new))
}

#[test]
fn what_is_open_already_changes_nothing() {
    for target in [
        "api.example.org",
        "api.example.org:8443",
        "10.20.3.0/24:5432",
        "10.20.0.0/16",
        "loopback:6379",
        "preset:github:packages",
    ] {
        assert_eq!(opened(&[target], None), TEXT, "{target}");
    }
}

#[test]
fn what_is_new_is_added_and_what_denied_it_goes() {
    let (came, went) =
        difference(&opened(&["api.example.org:22", "loopback:80", "preset:npm"], Some(How::Gate)));
    assert_eq!(came, ["ports: [22]", "- loopback: [80]", "- preset: npm", "dns: gate"]);
    assert_eq!(went, Vec::<String>::new());
    let again = opened(&["10.20.9.0/24"], None);
    assert!(!again.contains("10.20.9.0/24") && again.contains("# the office"), "{again}");
}

#[test]
fn entries_are_taken_out_by_their_name() {
    for (target, gone) in [
        ("preset:github", "- preset: github"),
        ("preset:github:packages", "- preset: github"),
        ("*.example.com", "- domain: \"*.example.com\""),
        ("api.example.org", "- domain: api.example.org"),
        ("api.example.org:443,8443", "- domain: api.example.org"),
        ("loopback:5432,6379", "- loopback: [5432, 6379]"),
    ] {
        let new = closed(&[target]).unwrap();
        let (came, went) = difference(&new);
        assert_eq!((came, went[0].as_str()), (vec![], gone), "{target}");
    }
}

#[test]
fn a_network_that_a_wider_entry_opens_is_denied() {
    let (came, went) = difference(&closed(&["10.20.3.0/24:22"]).unwrap());
    assert_eq!((came, went), (vec!["- cidr: 10.20.3.0/24".to_owned(), "ports: [22]".into()], vec![]));
    // The ranges of the preset may hold what the entry opened.
    let (came, went) = difference(&closed(&["10.20.0.0/16"]).unwrap());
    assert_eq!(came, ["- cidr: 10.20.0.0/16"]);
    assert_eq!(went, ["- cidr: 10.20.0.0/16   # the office"]);
    assert_eq!(closed(&["10.20.9.0/24"]).unwrap(), TEXT);
}

#[test]
fn what_no_entry_names_is_said_with_what_does() {
    let failure = closed(&["a.example.com"]).unwrap_err();
    assert_eq!(failure.hint.as_deref(), Some("agentuser net deny '*.example.com', which opens it"));
    assert!(closed(&["loopback:5432"]).unwrap_err().hint.is_some());
    assert!(closed(&["other.example.net"]).unwrap_err().hint.unwrap().contains("net why"));
}
