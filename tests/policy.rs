//! Policy files from the disk: what is read, what is refused, and in which words.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use agentuser::policy::{self, Policy, PolicyError};
use proptest::prelude::*;
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

fn fixtures(kind: &str) -> BTreeMap<String, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policies").join(kind);
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn good(name: &str) -> Policy {
    policy::parse(&fixtures("good")[name], name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn refusal(name: &str, text: &str) -> PolicyError {
    match policy::parse(text, "policy.yaml") {
        Ok(_) => panic!("{name} is let through"),
        Err(error) => error,
    }
}

#[test]
fn each_refusal_has_a_place_and_a_mend() {
    let bad = fixtures("bad");
    assert!(bad.len() >= 40);
    let mut shown = String::new();
    for (name, text) in &bad {
        let error = refusal(name, text);
        let count = if name == "several-faults" { 4 } else { 1 };
        assert_eq!(error.problems().len(), count, "{name}: {error}");
        for problem in error.problems() {
            assert!(problem.line > 0 && problem.column > 0, "{name}: {error}");
            assert!(!problem.message.is_empty() && !problem.hint.is_empty(), "{name}: {error}");
            assert!(text.lines().count().max(1) >= problem.line as usize, "{name}: {error}");
        }
        let all = format!("{error}\n\nhint: {}", error.hint());
        assert!(all.chars().all(|c| c == '\n' || !c.is_control()), "{name}: {all:?}");
        writeln!(shown, "## {name}\n{all}\n").unwrap();
    }
    insta::assert_snapshot!("policy_refusals", shown);
}

#[test]
fn good_policies_are_read() {
    for name in fixtures("good").keys() {
        good(name);
    }
    assert!(good("no-agents").agents.is_empty());
    assert_eq!(good("crlf"), good("least"));
}

#[test]
fn the_values_of_the_example() {
    insta::assert_debug_snapshot!("policy_example", good("design-today").agents);
}

#[test]
fn odd_ways_to_write_text() {
    let policy = good("quoted");
    let agent = policy.agents.values().next().unwrap();
    let paths: Vec<&str> = agent.projects.iter().map(|project| project.path.as_str()).collect();
    assert_eq!(paths, ["/home/alice/src/two words", "/home/alice/src/ä", "/home/alice/src/folded"]);
    let set: Vec<String> =
        agent.environment.set.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(set, ["COUNT=0x10", "EMPTY=", "SPACED=a b c", "YES=yes"]);
}

#[test]
fn warnings_are_one_line_each() {
    assert_eq!(policy::warnings(&good("least")), Vec::<String>::new());
    let expected = "agent `helper_2`: the group `video` also opens webcams; the GPU needs `render` only";
    assert_eq!(policy::warnings(&good("two-agents")), [expected]);
}

#[test]
fn large_files_are_refused_unread() {
    let text = format!("version: 1\nagents: {{}}\n#{}\n", "x".repeat(policy::MAX_BYTES));
    assert!(refusal("large", &text).to_string().contains("more than 1 MiB"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A damaged file gives a policy or faults with places and mends; nothing raw gets out, nothing panics.
    #[test]
    fn damaged_files(at in 0..4096usize, len in 0..20usize, with in "[ -~\\n\\t\u{1b}\u{202e}ä]{0,6}", full in any::<bool>()) {
        let text = &fixtures("good")[if full { "design-full" } else { "two-agents" }];
        let edge = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let damaged = format!("{}{with}{}", &text[..edge(at)], &text[edge(at + len)..]);
        if let Err(error) = policy::parse(&damaged, "p") {
            prop_assert!(!error.problems().is_empty());
            for problem in error.problems() {
                prop_assert!(problem.line > 0 && problem.column > 0 && !problem.hint.is_empty());
            }
            let shown = format!("{error}{}", error.hint());
            let raw = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            prop_assert!(!shown.contains(raw), "{shown:?}");
        }
    }

    /// An edit of a file as people write them does what it says, or says that it can't.
    #[test]
    fn damaged_files_are_edited_or_left(at in 0..2048usize, len in 0..12usize, with in "[ #,:{}\\[\\]\\n-]{0,4}") {
        let text = &fixtures("good")["design-today"];
        let edge = |at: usize| at.min(text.len());
        let damaged = format!("{}{with}{}", &text[..edge(at)], &text[edge(at + len)..]);
        let Ok(before) = policy::parse(&damaged, "p") else { return Ok(()) };
        let new = policy::Project::new("/data/new".parse().unwrap());
        for (name, agent) in &before.agents {
            if let Ok(added) = policy::add_project(&damaged, name, &new) {
                let mut wanted = before.clone();
                wanted.agents.get_mut(name).unwrap().projects.push(new.clone());
                prop_assert_eq!(policy::parse(&added, "p").unwrap(), wanted);
            }
            for project in &agent.projects {
                let _ = policy::remove_project(&damaged, name, &project.path);
            }
            let _ = policy::remove_agent(&damaged, name);
        }
    }
}
