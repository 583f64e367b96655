//! Services that resolve names for whoever asks them over a unix socket, under an account that no rule is about.

use crate::{
    support::{Accepting, Running, bound_by},
    world::{AGENT, PROGRAM, Who, World},
};
use std::{fs, path::Path, thread, time::Duration};

const DIRECTORY: &str = "/run/nscd";

/// Answers everybody at nscd's socket.
const SERVICE: &str = "
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
if os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
os.chown(sys.argv[1], int(sys.argv[2]), int(sys.argv[2]))
s.listen()
print('ready', flush=True)
while True:
    s.accept()[0].close()
";

const CALL: &str = "
import errno, socket, sys
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
    print('open')
except OSError as error:
    print(errno.errorcode[error.errno])
";

/// The service's directory, where the machine has none of its own.
struct Service(String);

impl Service {
    fn new() -> Option<Self> {
        if fs::create_dir(DIRECTORY).is_err() {
            eprintln!("skipped: a name service is installed here");
            return None;
        }
        Some(Self(format!("{DIRECTORY}/socket")))
    }

    fn start(&self, world: &World, owner: &str) -> Running {
        let running = world.start(Who::Root, &["/usr/bin/python3", "-c", SERVICE, &self.0, owner]);
        running.wait_for("ready");
        running
    }

    fn call(&self, world: &World, who: Who) -> String {
        world.run(who, &["/usr/bin/python3", "-c", CALL, &self.0]).ok().trim().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(DIRECTORY);
    }
}

#[test]
fn name_services_are_closed_to_the_agent_alone() {
    let Some(world) = World::take() else { return };
    let Some(service) = Service::new() else { return };
    let _first = service.start(&world, "0");
    let acl = || world.root(&format!("getfacl --absolute-names --numeric {}", service.0));
    let before = acl();
    // Without a log there is no guard.
    world.set_up("{log: none}");
    assert_eq!(service.call(&world, Who::Agent), "EACCES");
    assert_eq!(service.call(&world, Who::Human), "open");
    world.agentuser(&["status"]).ok();

    let _second = service.start(&world, "0");
    assert_eq!(service.call(&world, Who::Uid), "open");
    let said = world.run(Who::Agent, &["/bin/true"]).fails_with(125);
    assert!(said.contains(&service.0), "{said}");
    assert!(world.drift().contains(&format!("the agent can reach {}", service.0)));
    world.run(Who::Root, &[PROGRAM, "helper", "boot"]).ok();
    assert_eq!(service.call(&world, Who::Agent), "EACCES");

    // Where everything may leave, so may this.
    world.set_up("{log: none, outbound: allow}");
    assert_eq!(service.call(&world, Who::Agent), "open");
    world.set_up("{log: none}");
    assert_eq!(service.call(&world, Who::Agent), "EACCES");
    world.run(Who::Root, &[PROGRAM, "--quiet", "--agent", AGENT, "teardown", "--yes"]).ok();
    assert_eq!(acl(), before);
}

/// In its unit root is not the owner of everybody's sockets, and becomes no owner either: another unit does.
#[test]
fn the_rights_of_the_units_close_the_socket_of_another_account() {
    let Some(world) = World::take() else { return };
    let Some(service) = Service::new() else { return };
    let _first = service.start(&world, "0");
    world.set_up("{log: none}");
    let _second = service.start(&world, "65534");
    let boot = bound_by(include_str!("../../iptables/agentuser.service"));
    let boot: Vec<_> = boot.iter().map(String::as_str).chain([PROGRAM, "helper", "boot"]).collect();
    let said = world.run(Who::Root, &boot).fails_with(1);
    assert!(said.contains("agentuser-child.socket"), "{said}");
    assert_eq!(service.call(&world, Who::Uid), "open");
    let mut child = bound_by(include_str!("../../iptables/agentuser-child@.service"));
    child.extend([PROGRAM, "helper", "child"].map(Into::into));
    let _children = Accepting::start("/run/agentuser/child", child);
    world.run(Who::Root, &boot).ok();
    assert_eq!(service.call(&world, Who::Uid), "EACCES");
    assert_eq!(service.call(&world, Who::Human), "open");
}

#[test]
fn the_guard_closes_one_that_starts_again() {
    let Some(world) = World::take() else { return };
    let Some(service) = Service::new() else { return };
    let _first = service.start(&world, "0");
    world.set_up("{}");
    assert!(Path::new("/run/agentuser/guard.json").exists());
    let _second = service.start(&world, "0");
    for _ in 0..40 {
        if service.call(&world, Who::Uid) == "EACCES" {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("the new socket stayed open");
}
