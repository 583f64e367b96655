use super::*;
use crate::policy::Dns;
use crate::policy::{parse, render::render, render::tests as strategies};
use proptest::prelude::*;

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn allow(target: &str) -> Allow {
    Allow::read_target(target).unwrap()
}

fn deny(target: &str) -> Deny {
    match allow(target) {
        Allow::Cidr { net, ports } => Deny { net, ports },
        other => panic!("{other}"),
    }
}

const TEXT: &str = "\
# Ours.
version: 1
agents:
  agent:
    human: alice      # me
    projects:
      - path: /srv/shop   # the shop
    # The network.
    network:
      inbound: none   # nobody
      allow:          # all of it
        # The database.
        - cidr: 10.20.0.0/16
          ports: [5432]   # postgres
        # The cache.
        - loopback: [6379]
      # Last.
      deny: []        # nothing
    limits: {}
  bare:
    human: bob
    shell: /bin/sh
    path: []
";

#[test]
fn entries_come_and_go_alone() {
    let agent = name("agent");
    let added = add_allow(TEXT, &agent, &allow("192.0.2.0/24:443")).unwrap();
    let block =
        "        - loopback: [6379]\n        - cidr: 192.0.2.0/24\n          ports: [443]\n      # Last.\n";
    assert!(added.contains(block), "{added}");
    assert_eq!(remove_allow(&added, &agent, &allow("192.0.2.0/24:443")).unwrap(), TEXT);

    let removed = remove_allow(TEXT, &agent, &allow("10.20.0.0/16:5432")).unwrap();
    assert!(!removed.contains("10.20") && !removed.contains("postgres"), "{removed}");
    assert!(removed.contains("# The cache.\n        - loopback: [6379]"), "{removed}");
    let none = remove_allow(&removed, &agent, &allow("loopback:6379")).unwrap();
    assert!(none.contains("      allow: []          # all of it\n"), "{none}");
    let again = add_allow(&none, &agent, &allow("api.example.com")).unwrap();
    assert!(
        again.contains("      allow:          # all of it\n        - domain: api.example.com\n"),
        "{again}"
    );

    let denied = add_deny(TEXT, &agent, &deny("10.20.9.0/24")).unwrap();
    assert!(
        denied.contains("      deny:        # nothing\n        - cidr: 10.20.9.0/24\n    limits"),
        "{denied}"
    );
    assert_eq!(remove_deny(&denied, &agent, &deny("10.20.9.0/24")).unwrap(), TEXT);
}

#[test]
fn what_is_not_there_yet_is_made() {
    let bare = name("bare");
    let added = add_allow(TEXT, &bare, &allow("*.example.com:8443")).unwrap();
    let block = "    shell: /bin/sh\n    network:\n      allow:\n        - domain: \"*.example.com\"\n          ports: [8443]\n    path: []\n";
    assert!(added.contains(block), "{added}");
    let denied = add_deny(&added, &bare, &deny("10.0.0.0/8")).unwrap();
    assert!(
        denied.contains("          ports: [8443]\n      deny:\n        - cidr: 10.0.0.0/8\n"),
        "{denied}"
    );
    let gate = set(&denied, &bare, Setting::Dns(Dns::Gate)).unwrap();
    assert!(gate.contains("        - cidr: 10.0.0.0/8\n      dns: gate\n"), "{gate}");
    let system = set(&gate, &bare, Setting::Dns(Dns::System)).unwrap();
    assert_eq!(system, gate.replace("dns: gate", "dns: system"));
    let fresh = set(TEXT, &bare, Setting::Dns(Dns::Gate)).unwrap();
    assert!(fresh.contains("    shell: /bin/sh\n    network:\n      dns: gate\n    path"), "{fresh}");
    let first = set(TEXT, &name("agent"), Setting::Dns(Dns::Gate)).unwrap();
    assert!(first.contains("dns: gate\n") && first.contains("# nobody"), "{first}");
}

#[test]
fn brackets() {
    let text = "version: 1\nagents: { a: { human: alice }, b: { human: bob, network: {} }, c: { human: carol, network: { inbound: none, allow: [ { loopback: [1] }, ] } } } # end\n";
    let entry = allow("api.example.com:22");
    let a = add_allow(text, &name("a"), &entry).unwrap();
    assert!(
        a.contains("{ human: alice, network: { allow: [{ domain: api.example.com, ports: [22] }] } }"),
        "{a}"
    );
    let b = add_allow(text, &name("b"), &entry).unwrap();
    assert!(b.contains("network: { allow: [{ domain: api.example.com, ports: [22] }] } }, c:"), "{b}");
    let c = add_allow(text, &name("c"), &entry).unwrap();
    assert!(c.contains("[ { loopback: [1] }, { domain: api.example.com, ports: [22] }, ]"), "{c}");
    assert_eq!(remove_allow(&c, &name("c"), &entry).unwrap(), text);
    let gate = set(text, &name("c"), Setting::Dns(Dns::Gate)).unwrap();
    assert!(gate.contains("], dns: gate }"), "{gate}");
    assert!(set(text, &name("b"), Setting::Dns(Dns::Gate)).unwrap().contains("network: { dns: gate }"));
    assert!(
        add_deny(text, &name("c"), &deny("10.0.0.0/8")).unwrap().contains(", deny: [{ cidr: 10.0.0.0/8 }] }")
    );
}

#[test]
fn what_can_not_be_is_refused() {
    let agent = name("agent");
    let there = add_allow(TEXT, &agent, &allow("loopback:6379"));
    assert!(matches!(there, Err(EditError::EntryThere(_))));
    assert!(matches!(remove_allow(TEXT, &agent, &allow("loopback:1")), Err(EditError::NoEntry(_))));
    assert!(matches!(remove_deny(TEXT, &agent, &deny("10.0.0.0/8")), Err(EditError::NoEntry(_))));
    assert!(matches!(add_allow(TEXT, &name("nobody"), &allow("loopback:1")), Err(EditError::NoAgent(_))));
    assert!(matches!(set("x: 1", &agent, Setting::Dns(Dns::Gate)), Err(EditError::Unreadable(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_agent_takes_an_entry(agent in strategies::agents(), entry in strategies::allow_entry(), dns in proptest::sample::select(vec![Dns::Gate, Dns::System])) {
        prop_assume!(!agent.network.allow.contains(&entry));
        let zed = name("zed");
        let mut policy = crate::policy::Policy::new([(zed.clone(), agent)].into());
        let text = render(&policy);
        let added = add_allow(&text, &zed, &entry).unwrap();
        let gone = remove_allow(&added, &zed, &entry).unwrap();
        prop_assert_eq!(parse(&gone, "p").unwrap(), policy.clone());
        let resolved = set(&added, &zed, Setting::Dns(dns)).unwrap();
        let network = &mut policy.agents.get_mut(&zed).unwrap().network;
        network.allow.push(entry);
        network.dns = dns;
        prop_assert_eq!(parse(&resolved, "p").unwrap(), policy);
    }
}
