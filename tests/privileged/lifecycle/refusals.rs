//! What a setup refuses, each before its first change.

use super::{first_setup, policy_text};
use crate::common::{AGENT, Machine, PROGRAM, Snapshot, system};
use std::{fs, os::unix::fs::symlink};

/// A setup that must be refused, and the machine as it was before.
#[track_caller]
fn refused(machine: &Machine, arguments: &[&str], before: &Snapshot, words: &str) {
    let outcome = machine.agentuser(arguments);
    assert!(matches!(outcome.code(), Some(1 | 2)), "{arguments:?}: {outcome:?}");
    let outcome = outcome.mentions(words).mentions("\nhint: ");
    assert!(!outcome.said().contains("panicked"), "{outcome:?}");
    machine.snapshot().assert_same_as(before, &format!("after {arguments:?}"));
}

#[test]
fn directories_that_are_no_projects() {
    let Some(machine) = Machine::with_humans(2) else { return };
    let human = machine.human();
    for dir in [".ssh", ".config/tool", ".aws"] {
        human.make_dir(dir);
    }
    human.write("file", "x\n");
    let other = machine.humans[1].project();
    let before = machine.snapshot();
    let home = human.home.to_str().unwrap();
    let inside = |name: &str| human.home.join(name).to_str().unwrap().to_owned();
    let cases = [
        (home.to_owned(), "home"),
        ("/".into(), "`/`"),
        ("/home".into(), "/home"),
        ("/etc".into(), "/etc"),
        ("/root".into(), "/root"),
        (inside(".ssh"), ".ssh"),
        (inside(".aws"), ".aws"),
        (inside(".config/tool"), ".config"),
        (other.to_str().unwrap().to_owned(), "belongs to"),
        (inside("file"), "not a directory"),
        (inside("missing"), "No such file"),
    ];
    for (project, words) in &cases {
        refused(&machine, &first_setup(&human.name, project), &before, words);
    }
    machine.agentuser(&first_setup(&human.name, human.project().to_str().unwrap())).ok();
}

/// In a policy file a path says what it says: a link would be followed by whoever can change it.
#[test]
fn projects_behind_links() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    symlink(human.project(), human.home.join("link")).unwrap();
    human.make_dir("real/shop");
    symlink("real", human.home.join("dir")).unwrap();
    let policy = |project: &str| {
        let text = format!(
            "version: 1\nagents:\n  {AGENT}:\n    human: {}\n    projects:\n      - path: {}/{project}\n",
            human.name,
            human.home.display()
        );
        human.write("policy.yaml", &text).to_str().unwrap().to_owned()
    };
    for project in ["link", "dir/shop"] {
        let file = policy(project);
        let before = machine.snapshot();
        refused(&machine, &["setup", "--yes", "--policy", &file], &before, "a symbolic link");
    }
    machine.agentuser(&["setup", "--yes", "--policy", &policy("real/shop")]).ok();
}

/// B27: an account, a group or a home of the name that somebody else made is neither taken over nor removed.
#[test]
fn names_that_are_taken() {
    let Some(machine) = Machine::take() else { return };
    let project = machine.human().project();
    let setup = first_setup(&machine.human().name, project.to_str().unwrap());
    let makers: [(&[&str], &[&str], &str); 3] = [
        (&["useradd", "--create-home", AGENT], &["userdel", "--remove", "--force", AGENT], "exists"),
        (&["groupadd", AGENT], &["groupdel", AGENT], "exists"),
        (&["mkdir", "/home/t_pv_bot"], &["rmdir", "/home/t_pv_bot"], "exists already"),
    ];
    for (make, remove, words) in makers {
        system(make);
        let before = machine.snapshot();
        refused(&machine, &setup, &before, words);
        machine.agentuser(&["teardown", "--yes", "--agent", AGENT]).exits(2);
        machine.snapshot().assert_same_as(&before, "after a teardown");
        crate::common::finish(machine.root(remove), b"");
    }
    machine.agentuser(&setup).ok();
}

#[test]
fn files_that_are_somebody_elses() {
    let Some(machine) = Machine::take() else { return };
    let project = machine.human().project();
    let setup = first_setup(&machine.human().name, project.to_str().unwrap());
    let sudoers = format!("/etc/sudoers.d/zz-agentuser-{AGENT}");
    let sshd = format!("/etc/ssh/sshd_config.d/agentuser-{AGENT}.conf");
    for (path, text) in [(PROGRAM, "#!/bin/sh\n"), (&sudoers, "# theirs\n"), (&sshd, "# theirs\n")] {
        let theirs = Theirs::new(path, text);
        let before = machine.snapshot();
        refused(&machine, &setup, &before, "is not agentuser's");
        drop(theirs);
    }
    machine.agentuser(&setup).ok();
}

/// A file that is removed when it is dropped.
struct Theirs<'a>(&'a str);

impl<'a> Theirs<'a> {
    fn new(path: &'a str, text: &str) -> Self {
        fs::write(path, text).unwrap();
        Self(path)
    }
}

impl Drop for Theirs<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

#[test]
fn humans_that_are_none() {
    let Some(machine) = Machine::take() else { return };
    let project = machine.human().project();
    let project = project.to_str().unwrap();
    let before = machine.snapshot();
    for human in ["root", "t_pv_nobody", "nobody\nroot", "%sudo", "ALL"] {
        let outcome = machine.agentuser(&first_setup(human, project)).exits(2);
        assert!(!outcome.said().is_empty());
    }
    machine.snapshot().assert_same_as(&before, "after setups for nobody");
}

/// Without a terminal a setup asks nothing, and says which flag answers.
#[test]
fn questions_without_a_terminal() {
    let Some(machine) = Machine::take() else { return };
    let project = machine.human().project();
    let before = machine.snapshot();
    let all = first_setup(&machine.human().name, project.to_str().unwrap());
    let without: Vec<_> = all.into_iter().filter(|argument| *argument != "--yes").collect();
    machine.agentuser(&without).exits(2).mentions("add --yes");
    machine.snapshot().assert_same_as(&before, "after a question that nobody answered");
    assert_eq!(policy_text(), "");
}
