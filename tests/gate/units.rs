//! The guard in its unit may not become anybody else: what has to be done as somebody else is done by processes that the
//! service manager starts, in a unit of theirs that has no right over the network.

use crate::{
    support::{Accepting, bound_by, run, until},
    world::{BUILT, UID, World, policy},
};
use agentuser::{
    host::{
        Shared,
        worker::{Identity, Task},
    },
    model::{Gid, Uid},
};
use serde_json::json;
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

const ZONE: &str = r#"{"api.example": {"A": ["192.0.2.2"]}}"#;
const GUARD: &str = include_str!("../../iptables/agentuser-guard.service");
const CHILD: &str = include_str!("../../iptables/agentuser-child@.service");

/// Of the processes of a network namespace that were started with these words: their uid, and the rights that they hold.
fn processes(netns: &Path, words: &[&str]) -> Vec<(String, String)> {
    let wanted = format!("{}\0", words.join("\0"));
    let all = fs::read_dir("/proc").unwrap().flatten();
    let ours = all.filter(|process| {
        fs::read_to_string(process.path().join("cmdline")).is_ok_and(|line| line.ends_with(&wanted))
            && fs::read_link(process.path().join("ns/net")).is_ok_and(|its| its == netns)
    });
    ours.filter_map(|process| {
        let status = fs::read_to_string(process.path().join("status")).ok()?;
        let field = |name| Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned());
        Some((field("Uid:")?.split('\t').next()?.to_owned(), field("CapEff:")?))
    })
    .collect()
}

#[test]
fn the_rights_of_the_units_are_enough_and_each_has_its_own() {
    let Some(mut world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    world.guard.as_mut().unwrap().kill();

    // Alone it can start nothing that reads what an agent sends: nothing is answered, and it says so.
    let bound = bound_by(GUARD);
    world.start_guard_by(&bound.iter().map(String::as_str).collect::<Vec<_>>());
    let netns = fs::read_link(format!("/proc/{}/ns/net", world.guard.as_ref().unwrap().pid())).unwrap();
    let fault = until("its word", || world.guard_state().agents.first()?.fault.clone());
    assert!(fault.contains("agentuser-child.socket"), "{fault}");
    assert!(processes(&netns, &["guard", "parse-dns"]).is_empty());
    assert_eq!(world.client(UID, &["connect", "192.0.2.2", "8000"])["verdict"], "ECONNREFUSED");

    let socket = format!("{}/run/agentuser/child", world.root_of_state());
    let mut child = world.enter(0, &[]);
    child.extend(bound_by(CHILD));
    child.extend([BUILT, "helper", "child"].map(Into::into));
    let children = Accepting::start(&socket, child);
    until("the gate", || (world.client(UID, &["ask", "api.example"])["code"] == 0).then_some(()));
    assert_eq!(world.client(UID, &["connect", "192.0.2.2", "8000"])["verdict"], "open");
    let none = "0000000000000000";
    for role in ["parse-dns", "read-packets"] {
        until(role, || {
            let found = processes(&netns, &["guard", role]);
            (!found.is_empty()).then(|| assert_eq!(found, [("4294967293".into(), none.into())]))
        });
    }
    // The process of a datagram is found with the rights of its account.
    let client = world.start_client(UID, &["linger", "203.0.113.2", "9"]);
    client.wait_for("E");
    let exe = until("the datagram", || world.log().into_iter().find(|line| line.port == Some(9))?.exe);
    assert!(exe.contains("python"), "{exe}");
    let finder = processes(&netns, &["guard", "find-holder"]);
    // CAP_SETGID and CAP_SETUID, capability.h.
    assert_eq!(finder, [("0".into(), format!("{:016x}", 1 << 6 | 1 << 7))]);
    let (_, of_guard) = &processes(&netns, &[BUILT, "guard"])[0];
    assert_eq!(u64::from_str_radix(of_guard, 16).unwrap() & (1 << 6 | 1 << 7), 0);

    // A parser that was killed is started again, and what was killed with the guard is gone.
    run(&[
        "pkill",
        "-KILL",
        "--uid",
        "4294967293",
        "-f",
        "parse-dns",
        "--ns",
        &client.pid().to_string(),
        "--nslist",
        "net",
    ]);
    until("the gate", || (world.client(UID, &["ask", "api.example"])["code"] == 0).then_some(()));
    assert!(world.guard_state().agents[0].restarts > 0);
    world.guard.as_mut().unwrap().kill();
    for role in ["parse-dns", "read-packets", "find-holder"] {
        until("its end", || processes(&netns, &["guard", role]).is_empty().then_some(()));
    }
    drop(children);
}

/// Whoever has taken the guard can ask for a worker, but not for one that works on anybody's files.
#[test]
fn a_service_has_no_files_to_work_on() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let identity = Identity { uid: Uid(65_534), gid: Gid(65_534), groups: vec![] };
    let shared = Shared::Traverse { dir: "/".parse().unwrap(), agent: Uid(UID), owner: Uid(0) };
    let request = json!({ "identity": identity, "task": Task::Look(shared) }).to_string();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(BUILT);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{request}").unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (done, said) = ask(&["worker"]);
    assert!(done && said.contains("passage"), "{said}");
    assert_eq!(ask(&["worker", "--bound"]), (false, String::new()));
}
