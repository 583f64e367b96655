use super::*;
use crate::policy::{render::render, render::tests as strategies};
use proptest::prelude::*;

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn project(path: &str) -> Project {
    Project::new(path.parse().unwrap())
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

/// The text that `after` has and `before` has not, and the other way round.
fn differences(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    let gone = |a: &str, b: &str| {
        let mut left = lines(b);
        let missing = |line: &&str| match left.iter().position(|other| other == line) {
            Some(at) => {
                left.remove(at);
                false
            }
            None => true,
        };
        lines(a).into_iter().filter(missing).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    (gone(before, after), gone(after, before))
}

const TEXT: &str = "\
# Ours.
version: 1

agents:
  # The first.
  agent:
    human: alice      # me
    projects:         # all of them
      # The shop.
      - path: /srv/shop
        access: read-only   # for now
        # git: guard
      # The site.
      - path: /srv/site   # end

    # Nothing else.
    network: { inbound: none }
  # The second.
  second:
    human: bob
    # Its end.
# The end.
";

#[test]
fn projects_come_and_go_alone() {
    let added = add_project(TEXT, &name("agent"), &project("/srv/new")).unwrap();
    assert_eq!(differences(TEXT, &added), (vec![], vec!["      - path: /srv/new".into()]));
    assert!(added.contains("- path: /srv/site   # end\n      - path: /srv/new\n\n"));
    assert_eq!(remove_project(&added, &name("agent"), &"/srv/new".parse().unwrap()).unwrap(), TEXT);

    let removed = remove_project(TEXT, &name("agent"), &"/srv/shop".parse().unwrap()).unwrap();
    let gone = ["      - path: /srv/shop", "        access: read-only   # for now", "        # git: guard"];
    assert_eq!(differences(TEXT, &removed), (gone.map(Into::into).into(), vec![]));
    let none = remove_project(&removed, &name("agent"), &"/srv/site".parse().unwrap()).unwrap();
    assert!(none.contains("    projects: []         # all of them\n"), "{none}");
    let again = add_project(&none, &name("agent"), &project("/srv/shop")).unwrap();
    assert!(again.contains("    projects:         # all of them\n      - path: /srv/shop\n"), "{again}");

    let first = add_project(TEXT, &name("second"), &project("/srv/a b")).unwrap();
    assert!(
        first.contains("    # Its end.\n    projects:") || first.contains("bob\n    projects:"),
        "{first}"
    );
}

#[test]
fn agents_come_and_go_alone() {
    let agent = Agent::new("carol".parse().unwrap());
    let added = add_agent(TEXT, &name("third"), &agent).unwrap();
    assert!(added.contains("    # Its end.\n  third:\n    human: carol"), "{added}");
    assert!(added.ends_with("\n# The end.\n"));
    assert_eq!(remove_agent(&added, &name("third")).unwrap(), TEXT);

    let second = remove_agent(TEXT, &name("second")).unwrap();
    let gone = ["  # The second.", "  second:", "    human: bob", "    # Its end."];
    assert_eq!(differences(TEXT, &second), (gone.map(Into::into).into(), vec![]));
    let none = remove_agent(&second, &name("agent")).unwrap();
    assert!(none.contains("\nagents: {}\n"), "{none}");
    assert!(parse(&none, "p").unwrap().agents.is_empty());
    let again = add_agent(&none, &name("agent"), &agent).unwrap();
    assert!(again.contains("\nagents:\n"), "{again}");
}

#[test]
fn brackets() {
    let text = "version: 1\nagents: { agent: { human: alice }, b: { human: bob, projects: [ { path: /srv/b }, ] } } # c\n";
    let added = add_project(text, &name("agent"), &project("/srv/a")).unwrap();
    assert!(added.contains("{ human: alice, projects: [{ path: /srv/a }] }, b:"), "{added}");
    let added = add_project(text, &name("b"), &project("/srv/c")).unwrap();
    assert!(added.contains("[ { path: /srv/b }, { path: /srv/c }, ]"), "{added}");
    let removed = remove_project(&added, &name("b"), &"/srv/b".parse().unwrap()).unwrap();
    assert!(removed.contains("[ { path: /srv/c }, ]"), "{removed}");
    let removed = remove_project(text, &name("b"), &"/srv/b".parse().unwrap()).unwrap();
    assert!(removed.contains("projects: []"), "{removed}");
    let first = remove_agent(text, &name("agent")).unwrap();
    assert!(first.contains("agents: { b: "), "{first}");
    assert!(remove_agent(&first, &name("b")).unwrap().contains("agents: {} # c"));
    match add_agent(text, &name("c"), &Agent::new("carol".parse().unwrap())) {
        Err(error @ EditError::ByHand { line: 2, .. }) => assert!(error.hint().contains("human: carol")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_line_ends_and_no_last_line_end() {
    let crlf = TEXT.replace('\n', "\r\n");
    let added = add_project(&crlf, &name("agent"), &project("/srv/new")).unwrap();
    assert_eq!(added.matches('\n').count(), added.matches("\r\n").count());
    assert_eq!(remove_project(&added, &name("agent"), &"/srv/new".parse().unwrap()).unwrap(), crlf);
    let open = "version: 1\nagents:\n  agent:\n    human: alice";
    let added = add_project(open, &name("agent"), &project("/srv/new")).unwrap();
    assert!(added.contains("human: alice\n    projects:"), "{added}");
}

#[test]
fn what_can_not_be_is_refused() {
    let there = add_project(TEXT, &name("agent"), &project("/srv/shop"));
    assert!(matches!(there, Err(EditError::ProjectThere(_))));
    assert!(matches!(add_project(TEXT, &name("nobody"), &project("/srv/a")), Err(EditError::NoAgent(_))));
    assert!(matches!(remove_project(TEXT, &name("agent"), &AbsPath::root()), Err(EditError::NoProject(_))));
    assert!(matches!(remove_agent(TEXT, &name("nobody")), Err(EditError::NoAgent(_))));
    assert!(matches!(remove_agent("x: 1", &name("agent")), Err(EditError::Unreadable(_))));
    match add_project(TEXT, &name("agent"), &project("/home/alice")) {
        Err(error @ EditError::Refused(_)) => assert!(error.to_string().contains("is a home"), "{error}"),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_policy_takes_an_agent_and_a_project(policy in strategies::policies(), agent in strategies::agents()) {
        let text = render(&policy);
        let added = add_agent(&text, &name("zed"), &agent).unwrap();
        let more = add_project(&added, &name("zed"), &project("/data/zed/new")).unwrap();
        let less = remove_project(&more, &name("zed"), &"/data/zed/new".parse().unwrap()).unwrap();
        let mut wanted = policy;
        wanted.agents.insert(name("zed"), agent);
        prop_assert_eq!(parse(&less, "p").unwrap(), wanted);
        prop_assert_eq!(remove_agent(&added, &name("zed")).unwrap(), text);
    }
}
