//! What was refused is in the log, and the log is nobody's but the human's to read.

use crate::{
    support::until,
    world::{AGENT, BUILT, HUMAN, UID, World, policy},
};
use agentuser::audit::Act;
use std::collections::HashSet;

const ZONE: &str = r#"{"api.example": {"A": ["192.0.2.2"]}}"#;

#[test]
fn refusals_are_logged_with_names_and_reasons() {
    let Some(world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    world.client(UID, &["ask", "api.example"]);
    world.client(UID, &["connect", "192.0.2.2", "8001"]);
    world.client(UID, &["connect", "2001:db8::2", "8000"]);
    world.client(UID, &["connect", "192.0.2.2", "8000"]);
    world.client(UID, &["ask", "evil.example"]);
    let find = |act: Act, what: &str| {
        until(what, || {
            world.log().into_iter().find(|line| {
                let target = line.q.clone().or_else(|| line.dst.map(|address| address.to_string()));
                line.act == act && target.as_deref() == Some(what)
            })
        })
    };
    let named = find(Act::Deny, "192.0.2.2");
    assert_eq!((named.port, named.name.as_deref()), (Some(8001), Some("api.example")));
    assert_eq!((named.agent.as_str(), named.uid, named.n), (AGENT, UID, 1));
    assert_eq!((named.proto.as_deref(), named.why.as_deref()), (Some("tcp"), Some("no rule")));
    assert_eq!(find(Act::Deny, "2001:db8::2").name, None);
    assert_eq!(find(Act::DnsRefused, "evil.example").why.as_deref(), Some("not in the policy"));
    // A datagram's socket is still there when its packet is read: so is its process.
    for address in ["203.0.113.2", "2001:db8::2"] {
        let client = world.start_client(UID, &["linger", address, "9"]);
        client.wait_for("E");
        let dst = address.parse().ok();
        let line = until("the datagram", || {
            world.log().into_iter().find(|line| line.dst == dst && line.port == Some(9))
        });
        assert!(line.exe.as_deref().is_some_and(|exe| exe.contains("python")), "{line:?}");
        assert!(line.pid.is_some());
    }
    // What was let out is not in a log of what was blocked.
    assert!(
        world.log().iter().all(|line| line.port != Some(8000) || line.dst.is_some_and(|dst| dst.is_ipv6()))
    );
}

#[test]
fn the_human_reads_it_and_the_agent_does_not() {
    let Some(mut world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    world.guard.as_mut().unwrap().kill();
    // People that exist for this test alone.
    let passwd = std::fs::read_to_string(format!("{}/etc/passwd", world.root_of_state())).unwrap();
    world.write(
        "/etc/passwd",
        &format!("{passwd}t_gt_ann:x:{HUMAN}:{HUMAN}::/:/bin/sh\n{AGENT}:x:{UID}:{UID}::/:/bin/sh\n"),
    );
    world.write(
        "/etc/agentuser/policy.yaml",
        &format!("version: 1\nagents:\n  {AGENT}:\n    human: t_gt_ann\n"),
    );
    world.start_guard();
    world.client(UID, &["ask", "evil.example"]);
    until("the line", || world.log().into_iter().find(|line| line.q.is_some()));
    let path = format!("/var/log/agentuser/{AGENT}.jsonl");
    let told = world.run(HUMAN, &[BUILT, "net", "log", "--blocked"]).ok();
    assert!(told.contains("evil.example") && told.contains("agentuser net allow evil.example"), "{told}");
    let json = world.run(HUMAN, &[BUILT, "net", "log", "--json", "--since", "1h"]).ok();
    assert!(json.lines().all(|line| line.starts_with(r#"{"t":"20"#)), "{json}");
    assert_eq!(world.run(HUMAN, &["sh", "-c", &format!("echo >>{path}")]).code, Some(2));
    for command in [format!("cat {path}"), format!("echo >>{path}"), format!("rm -f {path}")] {
        assert_ne!(world.run(UID, &["sh", "-c", &command]).code, Some(0), "{command}");
        assert_ne!(world.run(61_113, &["sh", "-c", &command]).code, Some(0), "{command}");
    }
    let acl = world.root(&format!("getfacl -cn {path}"));
    assert_eq!(acl.trim(), format!("user::rw-\nuser:{HUMAN}:r--\ngroup::r--\nmask::r--\nother::---"));
}

#[test]
fn ten_thousand_refusals_at_once_lose_no_destination() {
    let Some(world) = World::with(&policy(&["api.example"]), ZONE) else { return };
    let said = world.client(UID, &["spray", "10000"]);
    let took = said["seconds"].as_f64().unwrap();
    let destinations = || {
        let lines = world.log().into_iter().filter(|line| line.act == Act::Deny);
        lines.map(|line| (line.dst, line.port)).collect::<HashSet<_>>().len()
    };
    until("10,000 destinations", || (destinations() == 10_000).then_some(()));
    assert!(took < 2.0, "{took} s");
    assert_eq!(world.guard_state().lost_lines, 0);
    eprintln!("10,000 refusals in {took:.3} s");
}
