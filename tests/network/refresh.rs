//! `net refresh`: what is fetched and resolved is judged, shown, kept, and taken back with the rest. The programs and files
//! of the system that it looks at are the test's own, in a mount namespace.

use crate::{
    support::Outcome,
    world::{AGENT, PROGRAM, Who, World, end_guard, wait_for_guard},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Files that stand in for those of the system.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("t_nw_").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A curl(1) that writes down how it was called, and hands a document out.
    fn curl(&self, document: &str) {
        self.write("document", document);
        let (said, document) = (self.path("said"), self.path("document"));
        self.write(
            "curl",
            &format!("#!/bin/sh\n{{ id -u; id -G; echo \"$@\"; env; }} >{said}\ncat {document}\n"),
        );
    }

    /// Runs `net refresh` as root, with these files over those of the system.
    fn refresh(&self, world: &World, over: &[(&str, &str)], options: &str) -> Outcome {
        let line = self.line(over, &format!("--agent {AGENT} net refresh {options}"));
        world.run(Who::Root, &["unshare", "--mount", "--propagation", "private", "sh", "-c", &line])
    }

    /// The line of a shell that puts these files over those of the system and becomes agentuser.
    fn line(&self, over: &[(&str, &str)], arguments: &str) -> String {
        let mut line = String::new();
        for (name, path) in over {
            line += &format!("mount --bind {} {path} && ", self.path(name));
        }
        line + &format!("exec {PROGRAM} {arguments}")
    }

    /// What the guard has done now and then, with the same files and a publisher.
    fn renew(&self, world: &World, over: &[(&str, &str)]) -> Outcome {
        let line = self.line(over, "helper renew --ranges");
        world.run(Who::Root, &["unshare", "--mount", "--propagation", "private", "sh", "-c", &line])
    }

    fn fetch(&self, world: &World) -> Outcome {
        self.refresh(world, &[("curl", "/usr/bin/curl")], "--yes")
    }
}

/// What GitHub publishes, as far as it matters, with a change.
fn meta(change: impl Fn(&mut serde_json::Map<String, serde_json::Value>)) -> String {
    let snapshot: serde_json::Value =
        serde_json::from_str(include_str!("../../src/presets/ranges/github.json")).unwrap();
    let mut groups = snapshot["groups"].as_object().unwrap().clone();
    change(&mut groups);
    serde_json::Value::Object(groups).to_string()
}

fn with(net: &str) -> String {
    meta(|groups| groups["web"].as_array_mut().unwrap().push(net.into()))
}

const CACHE: &str = "/var/lib/agentuser/machine/ranges/github.json";

#[test]
fn fetched_ranges_are_judged_and_only_good_ones_count() {
    let Some(world) = World::with("{allow: [{preset: github}]}") else { return };
    let stage = Stage::new();
    // Ranges can't be documentation addresses, which are refused as such; these are far from any real host here.
    for address in ["9.9.9.2/32", "9.9.8.2/32"] {
        world.remote.sh(&format!("ip addr add {address} dev far"));
    }
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/443"]);
    let new = ["tcp/9.9.9.2/443"];
    world.open(Who::Human, &new);
    world.refused(Who::Agent, &new);
    let rules = world.root("nft list ruleset");

    let long = format!("{}{}", " ".repeat(9 << 20), meta(|_| {}));
    let few = meta(|groups| {
        let web = groups["web"].as_array_mut().unwrap();
        web.retain(|net| net.as_str().unwrap().ends_with("/32"));
    });
    let bad = [
        (with("0.0.0.0/0"), "far too wide"),
        (with("10.0.0.0/12"), "not on the public internet"),
        (with("fe80::/64"), "not on the public internet"),
        (meta(|groups| groups["git"] = serde_json::json!([])), "`git` is empty"),
        (meta(|groups| drop(groups.remove("api"))), "not of the form"),
        (few, "addresses where the ranges of"),
        (long, "said more than"),
        ("{\"message\":\"rate limit\"}".into(), "not of the form"),
        (String::new(), "not of the form"),
    ];
    for (document, why) in bad {
        stage.curl(&document);
        let said = stage.fetch(&world);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stderr.contains("are kept") && said.stderr.contains(why), "{why}: {said:?}");
        assert!(!Path::new(CACHE).exists());
        assert_eq!(world.root("nft list ruleset"), rules, "{why}");
    }

    stage.curl(&with("9.9.9.0/24"));
    let asked = stage.refresh(&world, &[("curl", "/usr/bin/curl")], "");
    assert!(asked.fails_with(2).contains("--yes"));
    world.refused(Who::Agent, &new);
    let said = stage.fetch(&world).ok();
    assert!(said.contains("github `web`: 1 networks come, 0 go"), "{said}");
    world.open(Who::Agent, &new);
    world.refused(Who::Agent, &["tcp/9.9.8.2/443"]);
    world.agentuser(&["status"]).ok();
    assert!(fs::read_to_string(CACHE).unwrap().contains("9.9.9.0/24"));

    // Who fetched it, and how.
    let said = fs::read_to_string(stage.path("said")).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(&lines[..2], ["65534", "65534"], "{said}");
    for part in ["--disable", "--proto =https", "--max-time", "--max-filesize", "https://api.github.com/meta"]
    {
        assert!(lines[2].contains(part), "{part}: {said}");
    }
    assert!(!said.contains("SUDO") && !said.contains("/root"), "{said}");

    // The same once more is nothing new; without the preset, what was fetched goes.
    let again = stage.fetch(&world).ok();
    assert!(again.contains("Nothing has changed"), "{again}");
    world.run(Who::Root, &[PROGRAM, "--agent", AGENT, "net", "deny", "preset:github"]).ok();
    assert!(!Path::new("/var/lib/agentuser/machine/ranges").exists());
    world.refused(Who::Agent, &new);
    world.agentuser(&["status"]).ok();
}

#[test]
fn names_are_resolved_into_addresses_that_stay_when_a_name_dies() {
    let network = "{dns: system, allow: [{domain: api.example.com, ports: [8000]}, {domain: in.example.com, ports: [8000]}]}";
    let Some(world) = World::with(network) else { return };
    let stage = Stage::new();
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000", "tcp/::/8000"]);
    let api = ["tcp/192.0.2.2/8000", "tcp/2001:db8::2/8000"];
    let others = ["tcp/198.51.100.2/8000", "tcp/10.98.0.2/8000"];
    world.open(Who::Human, &[api, others].concat());
    world.refused(Who::Agent, &api);

    let over = [("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf")];
    stage.write(
        "resolv.conf",
        "nameserver 127.0.0.1\nsearch evil.example.com\noptions timeout:1 attempts:1\n",
    );
    stage.write("hosts", "192.0.2.2 api.example.com\n2001:db8::2 api.example.com\n10.98.0.2 in.example.com\n198.51.100.2 in.example.com.evil.example.com\n");
    let said = stage.refresh(&world, &over, "--yes").ok();
    assert!(said.contains("api.example.com is 192.0.2.2, 2001:db8::2"), "{said}");
    world.open(Who::Agent, &api);
    // A name that leads into the local network opens nothing (rebinding).
    world.refused(Who::Agent, &others);
    let listed = world.agentuser(&["net", "list"]);
    assert!(listed.stderr.contains("10.98.0.2, which is not on the public internet"), "{listed:?}");
    // The resolvers of the stage, which the agent may ask, are not those of the machine.
    assert!(world.drift().contains("added: AU_"));

    // A dead name keeps what it had; a living one moves.
    stage.write("hosts", "10.98.0.2 in.example.com\n");
    let said = stage.refresh(&world, &over, "--yes");
    assert!(said.stderr.contains("api.example.com") && said.stderr.contains("is kept"), "{said:?}");
    world.open(Who::Agent, &api);
    stage.write("hosts", "198.51.100.2 api.example.com\n");
    stage.refresh(&world, &over, "--yes").ok();
    world.open(Who::Agent, &["tcp/198.51.100.2/8000"]);
    world.refused(Who::Agent, &api);
}

/// The guard does it unasked: addresses and ranges alone, of the policy that is in force.
#[test]
fn unasked_only_addresses_and_ranges_are_taken() {
    let network =
        "{log: none, dns: system, allow: [{preset: github}, {domain: api.example.com, ports: [8000]}]}";
    let Some(world) = World::with(network) else { return };
    let stage = Stage::new();
    world.remote.sh("ip addr add 9.9.9.2/32 dev far");
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/443", "tcp/0.0.0.0/8000"]);
    let (name, range) = (["tcp/192.0.2.2/8000"], ["tcp/9.9.9.2/443"]);
    world.open(Who::Human, &[name, range].concat());
    world.refused(Who::Agent, &[name, range].concat());
    fs::copy("/etc/resolv.conf", stage.path("resolv.conf")).unwrap();
    stage.write("hosts", "192.0.2.2 api.example.com\n");
    stage.curl(&with("9.9.9.0/24"));
    let over = [("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf"), ("curl", "/usr/bin/curl")];

    // A policy that somebody edited is for setup to take.
    let policy = fs::read_to_string("/etc/agentuser/policy.yaml").unwrap();
    let edited = policy.replace("log: none", "log: blocked");
    assert_ne!(edited, policy);
    fs::write("/etc/agentuser/policy.yaml", edited).unwrap();
    let rules = world.root("iptables-save");
    let count = |rules: &str| rules.lines().filter(|line| line.starts_with("-A")).count();
    stage.renew(&world, &over).ok();
    assert_eq!(count(&world.root("iptables-save")), count(&rules));
    world.refused(Who::Uid, &name);
    fs::write("/etc/agentuser/policy.yaml", &policy).unwrap();

    stage.renew(&world, &over).ok();
    world.open(Who::Agent, &[name, range].concat());
    assert!(fs::read_to_string(CACHE).unwrap().contains("9.9.9.0/24"));
    world.agentuser(&["status"]).ok();
    let receipt = || fs::read(format!("/var/lib/agentuser/{AGENT}/receipt.json")).unwrap();
    let before = receipt();
    stage.renew(&world, &over).ok();
    assert_eq!(receipt(), before, "nothing was new");

    // What looks wrong, or can't be had, leaves what was good.
    stage.curl(&with("0.0.0.0/0"));
    stage.write("hosts", "");
    let said = stage.renew(&world, &over).fails_with(1);
    assert!(said.contains("far too wide") && said.contains("what it had is kept"), "{said}");
    world.open(Who::Agent, &[name, range].concat());
    // At the next boot it is as it was renewed.
    world.run(Who::Root, &["iptables", "-F", "OUTPUT"]).ok();
    world.run(Who::Root, &[PROGRAM, "helper", "boot"]).ok();
    world.open(Who::Agent, &[name, range].concat());
    world.agentuser(&["status"]).ok();
}

#[test]
fn a_network_that_comes_up_has_names_resolved_anew() {
    let network = "{dns: system, allow: [{domain: api.example.com, ports: [8000]}]}";
    let Some(world) = World::with(network) else { return };
    let stage = Stage::new();
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000"]);
    fs::copy("/etc/resolv.conf", stage.path("resolv.conf")).unwrap();
    stage.write("hosts", "192.0.2.2 api.example.com\n");
    end_guard();
    let line = stage.line(&[("hosts", "/etc/hosts")], "guard");
    let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &line];
    let _guard = world.start(Who::Root, &unshare);
    wait_for_guard();
    let name = ["tcp/192.0.2.2/8000"];
    world.refused(Who::Agent, &name);
    world.host.sh("ip route replace default via 192.0.2.2 metric 7");
    let end = Instant::now() + Duration::from_secs(20);
    while world.probe(Who::Agent, &name) != ["open"] {
        assert!(Instant::now() < end, "it stays closed");
        thread::sleep(Duration::from_millis(300));
    }
}

/// Answers that there is no such name, and writes down for which.
const NO_NAMES: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', 53))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(512)
    at, labels = 12, []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    open(sys.argv[1], 'a').write('.'.join(labels) + '\\n')
    s.sendto(data[:2] + b'\\x81\\x83' + data[4:6] + bytes(6) + data[12:at + 5], peer)
";

/// Or whoever owns a domain of the search list could name the addresses of hosts that do not answer.
#[test]
fn names_are_whole_whatever_the_search_list_says() {
    let Some(world) = World::with("{dns: system, allow: [{domain: new.example.com}]}") else { return };
    let stage = Stage::new();
    let asked = stage.path("asked");
    let server = world.start(Who::Root, &["/usr/bin/python3", "-c", NO_NAMES, &asked]);
    server.wait_for("ready");
    stage.write("resolv.conf", "nameserver 127.0.0.1\nsearch evil.example.com\n");
    let names = || {
        let mut names: Vec<String> =
            fs::read_to_string(&asked).unwrap_or_default().lines().map(str::to_owned).collect();
        names.dedup();
        let _ = fs::remove_file(&asked);
        names
    };
    // The control: others look below the search list, too.
    let line = format!(
        "mount --bind {} /etc/resolv.conf && exec python3 -c 'import socket; socket.getaddrinfo(\"new.example.com\", 443)'",
        stage.path("resolv.conf")
    );
    world.run(Who::Root, &["unshare", "--mount", "--propagation", "private", "sh", "-c", &line]);
    assert!(names().contains(&"new.example.com.evil.example.com".to_owned()));
    let said = stage.refresh(&world, &[("resolv.conf", "/etc/resolv.conf")], "--yes");
    assert!(said.stderr.contains("new.example.com"), "{said:?}");
    assert_eq!(names(), ["new.example.com"]);
}
