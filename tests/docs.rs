//! Documents that make claims about the code are held to it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, fs};

fn sources(dir: &str) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(path.to_str().unwrap());
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

/// docs/bypasses.md has a row for each known way around; a closed one names a test that exists.
#[test]
fn every_bypass_has_its_row_and_its_test() {
    let table = fs::read_to_string("docs/bypasses.md").unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| B"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let ids: Vec<_> = rows.iter().map(|row| row[1].to_owned()).collect();
    let wanted: Vec<_> = (1..=36).map(|n| format!("B{n:02}")).collect();
    assert_eq!(ids, wanted);
    let tests = sources("tests") + &sources("src");
    for row in rows {
        let (id, state, test) = (row[1], row[3], row[5].trim_matches('`'));
        assert!(["closed", "partly", "open"].contains(&state), "{id}: {state}");
        if !test.is_empty() {
            let name = test.rsplit("::").next().unwrap();
            let exists = tests.contains(&format!("fn {name}(")) || tests.contains(&format!("mod {name};"));
            assert!(exists, "{id} names {test}, which does not exist");
        }
    }
}

/// Each line of confinement has its row in docs/confinement.md, with the default that is in force.
#[test]
fn every_line_of_confinement_is_explained() {
    let table = fs::read_to_string("docs/confinement.md").unwrap();
    for line in agentuser::policy::Line::ALL {
        let word = line.word(agentuser::policy::Confine::default().wants(line));
        let row = format!("| `{}` | `{word}`", line.key());
        assert!(table.contains(&row), "no row {row:?}");
    }
}

/// SECURITY.md says more of each thing that `status` names as open on macOS, and docs/bypasses.md has its number and the probes
/// that there are.
#[test]
fn what_macos_leaves_open_is_explained() {
    use agentuser::doctor::Probe;
    let text = fs::read_to_string("SECURITY.md").unwrap();
    let table = fs::read_to_string("docs/bypasses.md").unwrap();
    for open in agentuser::host::mac_open::OPEN {
        assert!(text.contains(&format!("\n- `{}`: ", open.id)), "{}", open.id);
        let row = table.lines().find(|line| line.starts_with(&format!("| `{}` | ", open.id))).unwrap();
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        for probe in Probe::ALL.into_iter().filter(|probe| probe.left_open_by_macos() == Some(open.id)) {
            let name = serde_json::to_string(&probe).unwrap().replace('"', "`");
            assert!(cells[3].contains(&name) && cells[2].contains(probe.bypass()), "{name}: {row}");
        }
    }
}

/// Every direct dependency has its line in docs/dependencies.md.
#[test]
fn every_dependency_is_explained() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let table = fs::read_to_string("docs/dependencies.md").unwrap();
    let mut in_dependencies = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]") && !line.contains("dev-");
        } else if in_dependencies && let Some((name, _)) = line.split_once(" = ") {
            assert!(table.contains(name), "{name} is not in docs/dependencies.md");
        }
    }
}

/// Lower layers know nothing of higher ones, and what is pure stays pure.
#[test]
fn imports_point_one_way() {
    let forbidden: [(&str, &[&str]); 7] = [
        (
            "src/model",
            &[
                "crate::cli",
                "crate::engine",
                "crate::host",
                "crate::plan",
                "crate::policy",
                "crate::step",
                "std::fs",
            ],
        ),
        (
            "src/formats",
            &[
                "crate::cli",
                "crate::engine",
                "crate::host",
                "crate::plan",
                "crate::policy",
                "crate::step",
                "std::fs",
            ],
        ),
        (
            "src/policy",
            &[
                "crate::cli",
                "crate::engine",
                "crate::host",
                "crate::plan",
                "crate::step",
                "std::fs",
                "std::env",
            ],
        ),
        (
            "src/presets",
            &[
                "crate::cli",
                "crate::engine",
                "crate::host",
                "crate::launch",
                "crate::step",
                "std::fs",
                "std::env",
                "std::process",
            ],
        ),
        // `crate::host::errand` is named in its documentation.
        (
            "src/discover",
            &["crate::cli", "crate::engine", "crate::launch", "crate::step", "std::fs", "std::env"],
        ),
        ("src/plan", &["crate::cli", "crate::launch", "std::fs", "std::env", "std::process"]),
        (
            "src/step",
            &[
                "crate::cli",
                "crate::engine",
                "crate::launch",
                "crate::plan",
                "crate::policy",
                "std::fs",
                "std::env",
            ],
        ),
    ];
    for (dir, names) in forbidden {
        let text = sources(dir);
        for name in names {
            assert!(!text.contains(name), "{dir} uses {name}");
        }
    }
}

/// Each option in `--help` is named in README.
#[test]
fn every_option_is_in_the_readme() {
    let readme = fs::read_to_string("README.md").unwrap();
    let net = ["net list", "net why", "net allow", "net deny", "net test", "net refresh"];
    for command in ["setup", "run", "shell", "status", "share", "unshare", "teardown"].into_iter().chain(net)
    {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_agentuser"))
            .args(command.split(' ').chain(["--help"]))
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let word = command.split(' ').next_back().unwrap();
        assert!(readme.contains(word), "{command}");
        let options: BTreeSet<_> = help
            .split_whitespace()
            .filter(|word| word.starts_with("--") && word.len() > 3)
            .map(|word| word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
            .collect();
        for option in options.iter().filter(|option| !["--help", "--version"].contains(option)) {
            assert!(readme.contains(option), "{command} {option} is not in README.md");
        }
    }
}
