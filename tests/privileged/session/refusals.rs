//! What `run` refuses, each with the same launch accepted once the reason is gone.

use super::Way;
use crate::common::{Machine, Outcome, PROGRAM, View, finish};
use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt, chown},
            net::UnixStream,
        },
    },
    path::Path,
    process::Stdio,
};

#[track_caller]
fn run(machine: &Machine) -> Outcome {
    Way::Agent.run(machine, &["true"], b"")
}

#[test]
fn directories_that_are_not_shared() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.make_dir("shopping");
    run(&machine).ok();
    for place in ["$HOME", "$HOME/shopping", "/", "/etc", "/tmp"] {
        let line = format!("cd {place} && exec \"$@\" true");
        let refused = Way::Agent.sh(&machine, &line).exits(125).mentions("is not shared with the agent");
        refused.mentions("agentuser share ");
    }
    let project = human.project();
    let project = project.to_str().unwrap();
    let named = human.sh("cd / && exec agentuser run --project \"$1\" -- pwd", &[project]).ok();
    assert_eq!(named.text(), project);
    let home = human.sh("cd / && exec agentuser run --home -- pwd", &[]).ok();
    assert_eq!(home.text(), format!("/home/{}", crate::common::AGENT));
}

/// A link in the project does not make its target shared.
#[test]
fn links_out_of_the_project() {
    let Some(machine) = Machine::set_up() else { return };
    human_link(&machine);
    for way_in in ["cd out && exec agentuser run -- true", "exec agentuser run --project out -- true"] {
        machine.human().sh(way_in, &[]).exits(125).mentions("is not shared with the agent");
    }
    run(&machine).ok();
}

fn human_link(machine: &Machine) {
    std::os::unix::fs::symlink("/etc", machine.human().project().join("out")).unwrap();
}

/// Standard input from a directory would open files below it, and a network socket carries the rights of whoever opened it.
#[test]
fn streams_that_are_more_than_streams() {
    let Some(machine) = Machine::set_up() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (unix, _other) = UnixStream::pair().unwrap();
    let (pipe, _writer) = std::io::pipe().unwrap();
    let cases: [(&str, OwnedFd, i32); 7] = [
        ("a directory", File::open(&machine.human().home).unwrap().into(), 125),
        ("a TCP connection", stream.into(), 125),
        ("a TCP listener", listener.into(), 125),
        ("a UDP socket", datagram.into(), 125),
        ("a unix socket", unix.into(), 0),
        ("a pipe", pipe.into(), 0),
        ("a file", File::open("/etc/passwd").unwrap().into(), 0),
    ];
    for (what, fd, code) in cases {
        let fd = || fd.try_clone().unwrap();
        let command = |way: Way, argv: &[&str]| machine.human().command(&way.argv(argv));
        let status = command(Way::Agent, &["true"]).stdin(fd()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(code), "standard input is {what}");
        assert!(command(Way::Plain, &["true"]).stdin(fd()).status().unwrap().success());
        let mut errors = command(Way::Agent, &["true"]);
        errors.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fd());
        assert_eq!(errors.status().unwrap().code(), Some(code), "standard error is {what}");
    }
}

/// A change of mode or owner that is taken back when it is dropped, also by a test that fails.
struct Changed<'a>(&'a Path, u32);

impl<'a> Changed<'a> {
    fn mode(path: &'a Path, add: u32) -> Self {
        let before = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        fs::set_permissions(path, fs::Permissions::from_mode(before | add)).unwrap();
        Self(path, before)
    }

    fn owner(path: &'a Path, uid: u32) -> Self {
        let before = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        chown(path, Some(uid), None).unwrap();
        Self(path, before)
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        let _ = chown(self.0, Some(0), None);
        let _ = fs::set_permissions(self.0, fs::Permissions::from_mode(self.1));
    }
}

/// B23: both halves of a launch look, so that going around the first one helps nobody.
#[test]
fn a_program_or_policy_that_others_can_write() {
    let Some(machine) = Machine::set_up() else { return };
    let by_hand = || {
        let argv = [&View::Private.way_in()[..], &["--directory=", "--", "true"]].concat();
        machine.human().run(&argv)
    };
    let places = ["/etc/agentuser/policy.yaml", "/etc/agentuser", PROGRAM, "/usr/local/bin"].map(Path::new);
    for path in places {
        for mode in [0o002, 0o020] {
            run(&machine).ok();
            let changed = Changed::mode(path, mode);
            run(&machine).exits(125).mentions("can be written by others than root");
            assert_ne!(by_hand().code(), Some(0), "{path:?} {mode:o}");
            drop(changed);
            by_hand().ok();
        }
        let changed = Changed::owner(path, machine.human().uid);
        run(&machine).exits(125).mentions("not to root");
        assert_ne!(by_hand().code(), Some(0), "{path:?}");
        drop(changed);
        run(&machine).ok();
    }
}

#[test]
fn a_launch_where_nothing_is_set_up() {
    let Some(machine) = Machine::take() else { return };
    let built = env!("CARGO_BIN_EXE_agentuser");
    finish(machine.root(&[built, "run", "--", "true"]), b"").exits(125).mentions("agentuser setup");
}

#[test]
fn the_agent_of_another_human() {
    let Some(machine) = Machine::with_humans(2) else { return };
    machine.set_up_agent(0, crate::common::AGENT);
    let other = &machine.humans[1];
    other.run(&["agentuser", "run", "--", "true"]).exits(125).mentions("no agent of the policy is for");
    other
        .run(&["agentuser", "--agent", crate::common::AGENT, "run", "--home", "--", "true"])
        .exits(125)
        .mentions("not yours");
    run(&machine).ok();
}
