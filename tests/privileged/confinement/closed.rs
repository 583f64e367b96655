//! What is closed. The control of each is the same attempt without confinement.

use super::{NONE, open_and_closed, put_in_force, python};
use crate::common::{AGENT, Machine, system, until};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Attempts system calls, each by a name, and prints what came of it.
const CALLS: &str = r#"
import ctypes, errno, fcntl, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *arguments):
    answer = libc.syscall(number, *arguments)
    print(name, "open" if answer >= 0 else errno.errorcode[ctypes.get_errno()])
def sock(name, *arguments):
    try: socket.socket(*arguments); print(name, "open")
    except OSError as error: print(name, errno.errorcode[error.errno])
def ioctl(name, request):
    try: fcntl.ioctl(os.open("/dev/null", os.O_RDWR), request, b"x"); print(name, "open")
    except OSError as error: print(name, errno.errorcode[error.errno])
arm = os.uname().machine == "aarch64"
sock("vsock", 40, socket.SOCK_STREAM)
sock("packet", 17, socket.SOCK_RAW)
sock("netfilter", socket.AF_NETLINK, socket.SOCK_RAW, 12)
sock("unix", socket.AF_UNIX); sock("inet", socket.AF_INET); sock("inet6", socket.AF_INET6)
sock("route", socket.AF_NETLINK, socket.SOCK_RAW, 0)
call("io_uring", 425, 1, 0)
call("keyctl", 219 if arm else 250, 0, -3, 0)
call("userfaultfd", 282 if arm else 323, 1)
call("bpf", 280 if arm else 321, -1, 0, 0)
ioctl("TIOCSTI", 0x5412); ioctl("TIOCLINUX", 0x541C)
"#;

fn lines(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| line.split_once(' ').map(|(name, what)| (name.to_owned(), what.to_owned()));
    text.lines().filter_map(pair).collect()
}

#[test]
fn b08_sockets_io_uring_keys_and_terminals() {
    let Some(machine) = Machine::take() else { return };
    let [open, closed] = open_and_closed(&machine, CALLS, "").map(|text| lines(&text));
    let of =
        |found: &[(String, String)], name: &str| found.iter().find(|(n, _)| n == name).unwrap().1.clone();
    for (name, answer) in [
        ("vsock", "EAFNOSUPPORT"),
        ("packet", "EAFNOSUPPORT"),
        ("netfilter", "EAFNOSUPPORT"),
        ("io_uring", "ENOSYS"),
        ("keyctl", "ENOSYS"),
        ("userfaultfd", "ENOSYS"),
        ("bpf", "ENOSYS"),
        ("TIOCSTI", "EPERM"),
        ("TIOCLINUX", "EPERM"),
    ] {
        assert_eq!(of(&closed, name), answer, "{name}");
        assert_ne!(of(&open, name), answer, "control: {name}");
    }
    assert_eq!(of(&open, "vsock"), "open", "control: vsock opens where nothing is confined");
    for name in ["unix", "inet", "inet6", "route"] {
        assert_eq!(of(&closed, name), "open", "{name}");
    }
    // Each line has its switch.
    put_in_force(&machine, "{ socket-families: allow, terminal-input: allow }");
    let found = lines(&python(&machine, CALLS).ok().text());
    assert_eq!((of(&found, "vsock").as_str(), of(&found, "io_uring").as_str()), ("open", "ENOSYS"));
    assert_eq!(of(&found, "TIOCSTI"), "ENOTTY");
}

#[test]
fn b12_siblings_of_a_project() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let sibling = human.write("notes", "a secret\n");
    fs::set_permissions(&sibling, fs::Permissions::from_mode(0o644)).unwrap();
    let script = format!(
        "try: print(open({sibling:?}).read().strip())\nexcept PermissionError: print('refused')\nprint(open('prices').read().strip())"
    );
    let [open, closed] = open_and_closed(&machine, &script, "");
    assert_eq!(
        open, "a secret\ntea 2",
        "control: the way to the project leads past files that are open to all"
    );
    assert_eq!(closed, "refused\ntea 2");
    put_in_force(&machine, &format!("{{ read: [{}] }}", sibling.display()));
    assert_eq!(python(&machine, &script).ok().text(), "a secret\ntea 2");
}

#[test]
fn b14_abstract_sockets_of_the_humans() {
    let Some(machine) = Machine::take() else { return };
    let name = format!("t_pv_{}", std::process::id());
    let serve = format!(
        "import socket\ns = socket.socket(socket.AF_UNIX); s.bind('\\0{name}'); s.listen(9)\nwhile True: s.accept()"
    );
    let mut server = machine.human().command(&["/usr/bin/python3", "-c", &serve]).spawn().unwrap();
    until("the server listens", || {
        fs::read_to_string("/proc/net/unix").is_ok_and(|text| text.contains(&name)) || {
            // The sockets of a network namespace are listed in it alone.
            machine.inside(&["cat", "/proc/net/unix"]).contains(&name)
        }
    });
    let script = format!(
        "import socket\ntry: socket.socket(socket.AF_UNIX).connect('\\0{name}'); print('open')\nexcept OSError as error: print(error.errno)\n\
         s = socket.socket(socket.AF_UNIX); s.bind('\\0mine'); s.listen(1); socket.socket(socket.AF_UNIX).connect('\\0mine'); print('own')"
    );
    let found = open_and_closed(&machine, &script, "");
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(found, ["open\nown", "1\nown"]);
}

/// A setuid program, and a rule of sudo's that somebody made: neither gives the agent anything.
#[test]
fn b16_setuid_programs_and_sudo() {
    let Some(machine) = Machine::take() else { return };
    let (program, rule) = (Path::new("/usr/local/bin/t_pv_id"), Path::new("/etc/sudoers.d/t_pv_rule"));
    system(&["install", "-m", "4755", "/usr/bin/id", program.to_str().unwrap()]);
    fs::write(rule, format!("{AGENT} ALL=(root) NOPASSWD: /usr/bin/id\n")).unwrap();
    fs::set_permissions(rule, fs::Permissions::from_mode(0o440)).unwrap();
    let script = "import subprocess\nfor argv in (['t_pv_id', '-u'], ['sudo', '-n', 'id', '-u']):\n  \
                  print(subprocess.run(argv, capture_output=True, text=True).stdout.strip() == '0')";
    let found = open_and_closed(&machine, script, "");
    let said = machine.human().run(&["agentuser", "run", "--", "sudo", "-n", "id"]);
    fs::remove_file(rule).unwrap();
    fs::remove_file(program).unwrap();
    assert_eq!(found, ["True\nTrue", "False\nFalse"]);
    said.exits(1).mentions("no new privileges");
}

/// A session ends its own processes and no other's; the human's way to end them stays.
#[test]
fn signals_stay_in_the_session() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let attempt = || {
        let mut other = human.command(&["agentuser", "run", "--", "sleep", "77"]).spawn().unwrap();
        let sleeper = || {
            let uid = nix::unistd::User::from_name(AGENT).unwrap().unwrap().uid.as_raw();
            let is = |pid: &i32| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
            };
            crate::common::processes_of(uid).into_iter().find(is)
        };
        until("the other session sleeps", || sleeper().is_some());
        let pid = sleeper().unwrap();
        let script = format!(
            "import os, subprocess\ntry: os.kill({pid}, 0); print('open')\nexcept PermissionError: print('refused')\n\
             own = subprocess.Popen(['sleep', '9']); own.terminate(); print(own.wait())"
        );
        let said = python(&machine, &script).ok().text();
        // `run` passes signals on from outside the session.
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(other.id().cast_signed()),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        other.wait().unwrap();
        assert_eq!(sleeper(), None);
        said
    };
    put_in_force(&machine, NONE);
    assert_eq!(attempt(), "open\n-15");
    put_in_force(&machine, "");
    assert_eq!(attempt(), "refused\n-15");
}

#[test]
fn user_namespaces_are_denied_where_the_policy_says_so() {
    let Some(machine) = Machine::take() else { return };
    let unshare = || machine.human().run(&["agentuser", "run", "--", "unshare", "--user", "true"]);
    put_in_force(&machine, "");
    unshare().ok();
    put_in_force(&machine, "{ user-namespaces: deny }");
    unshare().exits(1);
    machine.human().run(&["agentuser", "run", "--", "sh", "-c", "(true & wait) && /usr/bin/python3 -c 'import threading; t = threading.Thread(target=print); t.start(); t.join()'"]).ok();
}

/// `status` says how much is in force, and by which lines.
#[test]
fn status_tells_of_it() {
    let Some(machine) = Machine::take() else { return };
    put_in_force(&machine, "");
    let json = machine.human().run(&["agentuser", "status", "--json"]).ok().text();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let confinement = &json["agents"][0]["confinement"];
    assert_eq!(confinement["extent"], "full", "{confinement}");
    assert_eq!(confinement["lines"].as_array().unwrap().len(), 10);
    let said = machine.human().run(&["agentuser", "run", "--", "cat", "/proc/self/status"]).ok().text();
    assert!(said.contains("NoNewPrivs:\t1") && said.contains("Seccomp:\t2"), "{said}");
}
