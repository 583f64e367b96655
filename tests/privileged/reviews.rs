//! What the agent leaves and the human's tools would execute is told, whatever way it came.

use crate::common::{AGENT, Human, Machine, View, until};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

fn json(human: &Human, arguments: &[&str]) -> Value {
    let json = human.run(&[&["agentuser", "review", "--json"], arguments].concat()).ok().text();
    serde_json::from_str(&json).unwrap()
}

/// What is told of the project, as rank and path with part, the most important first.
fn told(human: &Human, arguments: &[&str]) -> Vec<(String, String)> {
    let json = json(human, arguments);
    assert_eq!(json["projects"][0]["compared"], true, "{json}");
    listed(&json["projects"][0]["findings"])
}

/// What is told of elsewhere.
fn told_outside(human: &Human) -> Vec<(String, String)> {
    listed(&json(human, &[])["outside"])
}

fn listed(findings: &Value) -> Vec<(String, String)> {
    let findings = findings.as_array().unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let place =
        |finding: &Value| format!("{} {}", text(finding, "path"), text(finding, "part")).trim().to_owned();
    findings.iter().map(|finding| (text(finding, "rank"), place(finding))).collect()
}

fn ranks(found: &[(String, String)], rank: &str) -> Vec<String> {
    found.iter().filter(|(of, _)| of == rank).map(|(_, place)| place.clone()).collect()
}

#[test]
fn b19_planted_git_configuration_hooks_and_repositories() {
    let Some(machine) = Machine::take() else { return };
    // The guard would not let it be planted.
    machine.set_up_policy("        git: open\n");
    let human = machine.human();
    human.sh("git init -q . && git config user.name a && git config user.email a@example.com && git add . && git commit -qm one", &[]).ok();
    // The control: honest work is nothing to tell of, and a first session is what it is compared with.
    let agent = |line: &str| human.run(&["agentuser", "run", "--", "sh", "-ec", line]);
    agent("echo 3 >>prices").ok();
    assert_eq!(told(human, &[]), []);
    human.run(&["agentuser", "review", "--strict"]).ok();

    agent(
        "git config --file .git/config core.fsmonitor 'echo planted >&2'
         printf '#!/bin/sh\\n' >.git/hooks/post-checkout; chmod 755 .git/hooks/post-checkout
         git init -q nested; mkdir -p node_modules/x; git init -q node_modules/x",
    )
    .ok();
    // What is planted works where nobody looks first.
    human.sh("git status 2>&1", &[]).mentions("planted");
    until("the keeper is done", || human.sh("cat .git/config", &[]).status.success());
    let found = told(human, &[]);
    assert_eq!(
        ranks(&found, "red"),
        [".git/config core.fsmonitor", ".git/hooks/post-checkout", "nested/.git", "node_modules/x/.git"]
    );
    human.run(&["agentuser", "review", "--strict"]).exits(3).mentions("core.fsmonitor");
    human.run(&["agentuser", "review", "--accept"]).ok();
    assert_eq!(told(human, &["--strict"]), []);
}

#[test]
fn b20_other_planted_files() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.write("shop/package.json", r#"{"scripts": {"test": "true"}}"#);
    human.run(&["agentuser", "run", "--", "true"]).ok();
    let plant = r#"mkdir .vscode .claude; echo '{}' | tee .vscode/tasks.json >.claude/settings.json; echo x >.envrc
        echo '{"scripts": {"test": "false"}, "name": "x"}' >package.json; echo all: >Makefile; echo x >CLAUDE.md
        ln -s /etc/passwd out; echo x >source.c; printf x >"$(printf 'a\033]52;c;x\007b.pth')""#;
    human.run(&["agentuser", "run", "--", "sh", "-ec", plant]).ok();
    let found = told(human, &[]);
    assert_eq!(ranks(&found, "red"), [".claude/settings.json", ".envrc", ".vscode/tasks.json"]);
    let yellow = ["CLAUDE.md", "Makefile", r"a\x1b]52;c;x\x07b.pth", "out", "package.json test"];
    assert_eq!(ranks(&found, "yellow"), yellow);
    let shown = human.run(&["agentuser", "review"]).ok();
    assert!(!shown.stdout.contains(&0x1b) && !shown.stdout.contains(&7), "{shown:?}");
    // Nobody reads it as root.
    machine.agentuser(&["review"]).exits(2);
}

/// At the end of a shell what runs by itself is said without being asked for.
#[test]
fn a_shell_ends_with_what_is_red() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let mut terminal = human.terminal(&["agentuser", "shell"]);
    terminal.expect("$");
    terminal.send("echo x >.envrc; exit\n");
    terminal.expect("look at it before you go on");
    terminal.expect(".envrc");
    terminal.wait();
    // The control: what is known already is not said again.
    human.run(&["agentuser", "review", "--accept"]).ok();
    let mut terminal = human.terminal(&["agentuser", "shell"]);
    terminal.expect("$");
    terminal.send("exit\n");
    terminal.wait();
    assert!(!terminal.shown().contains("look at it"), "{}", terminal.shown());
}

/// The agent can't say what was there before: the file is the human's, in a directory of root's.
#[test]
fn the_agent_does_not_reach_what_is_compared_with() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.run(&["agentuser", "run", "--", "true"]).ok();
    let files = machine.inside(&[
        "sh",
        "-c",
        "ls /var/lib/agentuser/*/review-[0-9a-f]*[0-9a-f].json | grep -v outside",
    ]);
    let file = files.trim();
    assert!(fs::metadata(file).unwrap().len() > 0);
    for attempt in ["cat \"$1\"", "echo >\"$1\"", "rm -f \"$1\""] {
        assert!(
            !human.run(&["agentuser", "run", "--", "sh", "-c", attempt, "sh", file]).status.success(),
            "{attempt}"
        );
    }
    human.run(&["cat", file]).ok();
    machine.tear_down(AGENT);
    assert!(!Path::new(file).exists());
}

/// A directory beside the human's home, removed when it is dropped.
struct Beside(PathBuf);

impl Beside {
    fn new(path: &str, mode: u32) -> Self {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        Self(path.into())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file with a name elsewhere is written by that name too, also when the project is not shared any more.
#[test]
fn hard_links_in_and_out() {
    let Some(machine) = Machine::set_up_with(View::Plain) else { return };
    let human = machine.human();
    human.write("shop/old", "x");
    human.write("own", "x");
    human.sh("ln old ../old", &[]).ok();
    human.run(&["agentuser", "run", "--", "true"]).ok();
    assert_eq!(told(human, &[]), []);
    // The control: two names, both in the project.
    human.run(&["agentuser", "run", "--", "sh", "-ec", "echo x >one; ln one two"]).ok();
    assert_eq!(told(human, &[]), []);
    human.run(&["agentuser", "run", "--", "sh", "-ec", "echo x >lent; ln lent ~/lent"]).ok();
    // What the agent can't make, for the file is not its own to link, the human can.
    human.sh("ln ../own taken", &[]).ok();
    let names = ["lent names", "taken names"];
    assert_eq!(ranks(&told(human, &[]), "yellow"), names);
    human.run(&["agentuser", "review", "--strict"]).exits(3).mentions("1 of its 2 names");
    // It is no idle warning.
    human.run(&["agentuser", "run", "--home", "--", "sh", "-ec", "echo y >lent"]).ok();
    human.sh("cat lent", &[]).ok().mentions("y");
    human.run(&["agentuser", "review", "--accept"]).ok();
    assert_eq!(told(human, &["--strict"]), []);
}

/// A link that stays inside by its text, and leads out by way of another one.
#[test]
fn links_that_lead_out_by_others() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.run(&["agentuser", "run", "--", "true"]).ok();
    human
        .run(&[
            "agentuser",
            "run",
            "--",
            "sh",
            "-ec",
            "mkdir -p a/b; ln -s ../.. a/b/top; ln -s a/b/top/../x wound",
        ])
        .ok();
    // The control is the first link, which leads to the project itself.
    assert_eq!(ranks(&told(human, &[]), "yellow"), ["wound"]);
}

/// What is the agent's elsewhere is told, wherever the human meets it, and nobody else's.
#[test]
fn files_outside_of_the_projects() {
    let Some(machine) = Machine::set_up_with(View::Plain) else { return };
    let human = machine.human();
    let open = Beside::new("/srv/t_pv_open", 0o1777);
    let closed = Beside::new("/srv/t_pv_closed", 0o755);
    let (drop, name) = (human.make_dir("drop"), format!("/tmp/t_pv_{}", std::process::id()));
    fs::set_permissions(&drop, fs::Permissions::from_mode(0o777)).unwrap();
    human.run(&["agentuser", "run", "--", "true"]).ok();
    // The control: others' files in the same places, and the agent's in its home and in the project.
    for dir in [&open.0, &drop] {
        fs::write(dir.join("tool"), "x").unwrap();
        fs::set_permissions(dir.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    human.run(&["agentuser", "run", "--", "sh", "-ec", "echo x >mine; echo x >~/mine"]).ok();
    assert_eq!(told_outside(human), []);
    human.run(&["agentuser", "review", "--strict"]).ok().mentions("nothing of the agent's was found");

    let plant = r#"mkdir "$1"; echo x >"$1/run.sh"; chmod 755 "$1/run.sh"; echo x >"$1.txt"; ln -s /etc/passwd "$1.link""#;
    human.run(&["agentuser", "run", "--", "sh", "-ec", plant, "sh", &name]).ok();
    for dir in [&open.0, &drop] {
        let plant = r#"echo x >"$1/note"; echo x >"$1/.envrc""#;
        machine.command_as_agent(&["sh", "-ec", plant, "sh", dir.to_str().unwrap()]).ok();
    }
    // Left from a time when the directory was open.
    fs::write(closed.0.join("left"), "x").unwrap();
    let uid = machine.inside(&["id", "-u", AGENT]).trim().parse().unwrap();
    chown(closed.0.join("left"), Some(uid), None).unwrap();
    let found = told_outside(human);
    let home = human.home.display();
    assert_eq!(ranks(&found, "red"), [format!("{home}/drop/.envrc"), "/srv/t_pv_open/.envrc".into()]);
    assert_eq!(ranks(&found, "yellow"), [name.clone(), format!("{name}.link")]);
    assert_eq!(
        ranks(&found, "grey"),
        [format!("{home}/drop/note"), "/srv/t_pv_open/note".into(), format!("{name}.txt")]
    );
    human.run(&["agentuser", "review", "--strict"]).exits(3);
    human.run(&["agentuser", "review", "--accept"]).ok();
    assert_eq!(told_outside(human), []);
    human.run(&["agentuser", "review", "--strict"]).ok();
    human.run(&["agentuser", "run", "--", "sh", "-c", "echo more >>$1.txt", "sh", &name]).ok();
    assert_eq!(told_outside(human), [("grey".into(), format!("{name}.txt"))]);
}

/// Whatever a place is stuffed with, it is looked at in bounded time, and what was not looked at is told.
#[test]
fn a_stuffed_place_hides_no_other_one() {
    let Some(machine) = Machine::set_up_with(View::Plain) else { return };
    let human = machine.human();
    let name = format!("/tmp/t_pv_{}", std::process::id());
    let stuff = r#"mkdir "$1"; cd "$1"; i=0; while [ $i -lt 300 ]; do mkdir -p $i/a/b; i=$((i+1)); done
        seq 25000 | xargs touch; echo x >"$1.sh"; chmod 755 "$1.sh""#;
    human.run(&["agentuser", "run", "--", "sh", "-ec", stuff, "sh", &name]).ok();
    let found = told_outside(human);
    // That of the directory which was not counted to its end may be a program.
    assert_eq!(ranks(&found, "yellow"), [name.clone(), format!("{name}.sh")]);
    human.run(&["agentuser", "review"]).ok().mentions("20000 files or more");
}
