//! Presets: ranges that are built in, and hosts that the human's own tools name.

use crate::world::{AGENT, PROGRAM, Who, World};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

const HOME: &str = "/home/t_nw_ann";

/// Writes a file of the human's, with its directories.
fn theirs(world: &World, name: &str, text: &str) -> PathBuf {
    let path = Path::new(HOME).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    world.root(&format!("chown -R t_nw_ann:t_nw_ann {HOME}"));
    path
}

/// A cargo that says where it looks for its index, and writes down how it was run.
const CARGO: &str = "#!/bin/sh\nexec 3>/home/t_nw_ann/seen\n{ pwd; id -un; id -G; ls /sys/class/net; env; } >&3 2>&1\n\
                     cat /proc/net/dev | grep -c : >&3\n\
                     echo 'failed to download from `https://index.example.com/config.json`' >&2\nexit 101\n";

/// Tools that are configured for hosts of a company.
fn configure(world: &World) {
    theirs(
        world,
        ".npmrc",
        "registry=https://npm.example.com/\n@shop:registry=http://192.0.2.7:4873/\n//npm.example.com/:_authToken=secret\n",
    );
    theirs(
        world,
        ".config/pip/pip.conf",
        "[global]\nindex-url = https://user:secret@pypi.example.com/simple\nproxy = http://127.0.0.1:3128\n",
    );
    theirs(
        world,
        ".cargo/config.toml",
        "[registries.shop]\nindex = \"sparse+https://crates.example.com/\"\n",
    );
    theirs(world, ".cargo/bin/cargo", CARGO);
}

/// Files with which a project would steer tools that are run inside it.
fn plant(world: &World) -> String {
    let evil = "https://evil.example.com/";
    theirs(world, "project/.npmrc", &format!("registry={evil}\n"));
    theirs(world, "project/package.json", "{}\n");
    theirs(world, "project/pip.conf", &format!("[global]\nindex-url = {evil}\n"));
    theirs(
        world,
        "project/.cargo/config.toml",
        &format!("[source.crates-io]\nreplace-with = \"evil\"\n[source.evil]\nregistry = \"{evil}\"\n"),
    );
    theirs(world, "project/rust-toolchain.toml", "[toolchain]\npath = \"/home/t_nw_ann/project\"\n");
    theirs(world, "project/bin/npm", &format!("#!/bin/sh\necho '{{\"registry\":\"{evil}\"}}'\n"));
    // A registry that only some project named once, of which cargo keeps a copy.
    theirs(
        world,
        ".cargo/registry/index/evil.example.com-0123456789abcdef/config.json",
        "{\"dl\":\"https://evil.example.com\"}",
    );
    let dl = "{\"dl\":\"https://static.example.com/crates\",\"api\":\"\"}";
    theirs(world, ".cargo/registry/index/index.example.com-0123456789abcdef/config.json", dl);
    format!("{HOME}/project")
}

/// Runs a `net` command in a directory.
fn net_in(world: &World, who: Who, dir: &str, arguments: &str) -> crate::support::Outcome {
    let line = format!("cd {dir} && PATH=$PWD/bin:$PATH exec {PROGRAM} --agent {AGENT} net {arguments}");
    world.run(who, &["sh", "-c", &line])
}

#[test]
fn published_ranges_are_open_without_a_network_and_their_neighbours_closed() {
    let Some(world) = World::with("{allow: [{preset: github}, {preset: aws-s3, regions: [eu-central-1]}]}")
    else {
        return;
    };
    // An address of each range, on the other machine of this test.
    for address in ["140.82.112.2/32", "2606:50c0:8000::2/128", "52.219.72.2/32"] {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        world.remote.sh(&format!("ip addr add {address} dev far {nodad}"));
    }
    let _remote = world.serve(
        Who::Remote,
        &["tcp/0.0.0.0/443", "tcp/0.0.0.0/22", "tcp/0.0.0.0/80", "tcp/::/443", "tcp/::/80"],
    );
    world.open(
        Who::Agent,
        &["tcp/140.82.112.2/443", "tcp/140.82.112.2/22", "tcp/2606:50c0:8000::2/443", "tcp/52.219.72.2/443"],
    );
    let closed = [
        "tcp/140.82.112.2/80",
        "tcp/2606:50c0:8000::2/80",
        "tcp/52.219.72.2/22",
        "tcp/192.0.2.2/443",
        "tcp/2001:db8::2/443",
    ];
    world.refused(Who::Agent, &closed);
    world.open(Who::Human, &closed);
    let listed = world.agentuser(&["net", "list"]).ok();
    for part in ["preset:github", "22, 443", "preset:aws-s3:eu-central-1", "leaks", "of 2026-08-22"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    world.agentuser(&["status"]).ok();

    // Without a network nothing can be fetched: what is good stays in force.
    world.host.sh("ip route del default");
    world.host.sh("ip -6 route del default");
    let rules = world.root("nft list ruleset");
    let said = world.run(Who::Root, &[PROGRAM, "--agent", AGENT, "net", "refresh", "--yes"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("ranges of github of 2025-07-25 are kept"), "{said:?}");
    assert_eq!(world.root("nft list ruleset"), rules);
    assert!(!Path::new("/var/lib/agentuser/machine/ranges").exists());
}

#[test]
fn tools_are_asked_as_the_human_without_a_network_and_no_project_steers_them() {
    let Some(world) = World::take() else { return };
    configure(&world);
    let project = plant(&world);
    world.set_up("{dns: gate, allow: [{preset: npm}, {preset: pypi}, {preset: crates}]}");
    let hosts = fs::read_to_string(format!("/var/lib/agentuser/{AGENT}/hosts.json")).unwrap();
    for host in [
        "npm.example.com",
        "192.0.2.7",
        "pypi.example.com",
        "crates.example.com",
        "index.example.com",
        "static.example.com",
    ] {
        assert!(hosts.contains(&format!("\"{host}\"")), "{host}: {hosts}");
    }
    assert!(!hosts.contains("secret") && !hosts.contains("evil") && !hosts.contains("127.0.0.1"), "{hosts}");
    let is = fs::metadata(format!("/var/lib/agentuser/{AGENT}/hosts.json")).unwrap();
    assert_eq!((is.uid(), is.mode() & 0o7777), (0, 0o644));

    // How the tool was run.
    let seen = fs::read_to_string(format!("{HOME}/seen")).unwrap();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(&lines[..2], ["/", "t_nw_ann"], "{seen}");
    assert_eq!(lines[2].split(' ').count(), 1, "no group but the first: {seen}");
    assert!(seen.ends_with("\n1\n"), "loopback is the only interface: {seen}");
    assert!(!seen.contains("SUDO") && !seen.contains("project"), "{seen}");

    // In the project, with the project's directory first in PATH, nothing is different; as root, and as the human.
    for who in [Who::Root, Who::Human] {
        let said = net_in(&world, who, &project, "refresh --dry-run");
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.contains("Nothing has changed"), "{who:?}: {said:?}");
        assert!(said.stderr.contains("loopback:3128"), "{who:?}: {said:?}");
        assert!(!format!("{said:?}").contains("evil"), "{who:?}: {said:?}");
    }
    // The control: the same words count where the human wrote them.
    theirs(&world, ".npmrc", &fs::read_to_string(format!("{project}/.npmrc")).unwrap());
    let said = net_in(&world, Who::Root, "/", "refresh --dry-run").ok();
    assert!(said.contains("npm + evil.example.com:443"), "{said}");
}

#[test]
fn a_changed_host_is_shown_and_asked_and_never_taken_by_itself() {
    let Some(world) = World::take() else { return };
    configure(&world);
    world.set_up("{dns: gate, allow: [{preset: npm}]}");
    let file = format!("/var/lib/agentuser/{AGENT}/hosts.json");
    let before = fs::read_to_string(&file).unwrap();
    theirs(&world, ".npmrc", "registry=https://new.example.com/\n");
    world.agentuser(&["status"]).ok();
    world.run(Who::Root, &[PROGRAM, "helper", "boot"]).ok();
    let asked = net_in(&world, Who::Root, "/", "refresh");
    assert!(asked.fails_with(2).contains("--yes"));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let said = net_in(&world, Who::Root, "/", "refresh --yes").ok();
    assert!(
        said.contains("npm + new.example.com:443") && said.contains("npm - npm.example.com:443"),
        "{said}"
    );
    let after = fs::read_to_string(&file).unwrap();
    assert!(after.contains("new.example.com") && !after.contains("npm.example.com"), "{after}");
    world.agentuser(&["status"]).ok();
    let why = world.agentuser(&["net", "why", "new.example.com"]).ok();
    assert!(why.contains("is open") && why.contains("`registry` of npm"), "{why}");
    // With the preset, its hosts go.
    world.run(Who::Root, &[PROGRAM, "--agent", AGENT, "net", "deny", "preset:npm"]).ok();
    assert!(!Path::new(&file).exists());
    world.agentuser(&["status"]).ok();
}

#[test]
fn a_tool_that_others_can_write_is_not_run() {
    let Some(world) = World::take() else { return };
    configure(&world);
    // The control: as it is, it is asked.
    world.set_up("{dns: gate, allow: [{preset: crates}]}");
    assert!(Path::new(HOME).join("seen").exists());
    fs::remove_file(Path::new(HOME).join("seen")).unwrap();
    for (path, mode) in [(".cargo/bin/cargo", 0o757), (".cargo/bin", 0o777), (".cargo", 0o775)] {
        let path = Path::new(HOME).join(path);
        let was = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        net_in(&world, Who::Root, "/", "refresh --dry-run").ok();
        assert!(!Path::new(HOME).join("seen").exists(), "{}", path.display());
        fs::set_permissions(&path, was).unwrap();
    }
    net_in(&world, Who::Root, "/", "refresh --dry-run").ok();
    assert!(Path::new(HOME).join("seen").exists());
}
