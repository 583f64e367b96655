use super::*;
use crate::{
    model::AbsPath,
    policy::{Inbound, Outbound, parse, parse_offer},
};

const POLICY: &str = "\
version: 1
agents:
  bot:
    human: ann
    projects:
      - path: /home/ann/shop/api      # the shop
        access: read-only
    network:
      dns: none
      allow:
        - cidr: 10.0.0.0/8
";

fn shop() -> AbsPath {
    AbsPath::fixed("/home/ann/shop")
}

fn read(text: &str) -> Result<Offer, String> {
    parse_offer(text, OFFER, &shop()).map_err(|error| error.to_string())
}

fn wishes(offer: &Offer, policy: &str) -> Vec<Wish> {
    offer.wishes(&parse(policy, "p").unwrap(), &"bot".parse().unwrap()).unwrap()
}

fn taken(offer: &Offer, policy: &str) -> String {
    let agent = "bot".parse().unwrap();
    wishes(offer, policy).iter().fold(policy.to_owned(), |text, wish| wish.add_to(&text, &agent).unwrap())
}

#[test]
fn an_offer_adds_what_the_policy_lacks_and_nothing_twice() {
    let offer = read(
        "version: 1\nprojects:\n  - path: api\n  - path: data/in\n    access: read-only\nnetwork:\n  inbound: none\n  \
         allow:\n    - domain: api.example.com\n    - cidr: 10.1.0.0/16\n  deny:\n    - cidr: 192.0.2.0/24\n",
    )
    .unwrap();
    let found = wishes(&offer, POLICY);
    let api = Project::new(shop().join("api"));
    assert!(found.contains(&Wish::Project { project: api, now: Some(Access::ReadOnly) }));
    let gate = Wish::Setting { setting: Setting::Dns(Dns::Gate), now: Setting::Dns(Dns::None) };
    assert!(found.contains(&gate), "a name needs somebody who resolves it: {found:?}");
    // 10.1.0.0/16 lies in what is open already.
    assert_eq!(found.len(), 6, "{found:?}");
    let text = taken(&offer, POLICY);
    assert_eq!(wishes(&offer, &text), []);
    insta::assert_snapshot!(text);
}

#[test]
fn what_the_file_does_not_say_stays() {
    let offer = read("version: 1\nnetwork: {}\n").unwrap();
    assert_eq!(offer, Offer { projects: vec![], ..Offer::default() });
    assert_eq!(wishes(&offer, POLICY), []);
    let open = "version: 1\nnetwork:\n  outbound: allow\n  inbound: any\n  dns: none\n  allow:\n    - domain: a.example\n";
    let settings: Vec<_> = read(open).unwrap().settings;
    let said = [Setting::Outbound(Outbound::Allow), Setting::Inbound(Inbound::Any), Setting::Dns(Dns::None)];
    assert_eq!(settings, said);
}

#[test]
fn only_what_lies_in_the_repository_can_be_asked_for() {
    for (path, word) in [
        ("/home/ann/other", "not below"),
        ("..", "not below"),
        ("../other", "not below"),
        ("a/../../b", "not below"),
        ("~/other", "not below"),
        (".git", "git's own"),
        (".ssh", "credentials"),
        ("\"\"", "not below"),
    ] {
        let text = format!("version: 1\nprojects:\n  - path: {path}\n");
        let error = read(&text).unwrap_err();
        assert!(error.contains(word) && error.contains(":3:"), "{path}: {error}");
    }
    for text in [
        "",
        "version: 2\nprojects: []\n",
        "projects: []\n",
        "version: 1\nagents: {}\n",
        "version: 1\nenvironment: { set: { A: b } }\n",
        "version: 1\nprojects:\n  - path: .\n  - path: .\n",
        "version: 1\nconfine: { landlock: false }\n",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}
