//! What does not come along: variables, descriptors, keys of the human. Each has the plain child that gets it as control.

use super::Way;
use crate::common::{AGENT, Machine};

/// Variables that the human may well have, and the agent never gets.
const SECRETS: [&str; 12] = [
    "AWS_SECRET_ACCESS_KEY=secret",
    "GITHUB_TOKEN=secret",
    "SSH_AUTH_SOCK=/run/agent.sock",
    "SSH_AGENT_PID=1",
    "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/bus",
    "XAUTHORITY=/home/x/.Xauthority",
    "DISPLAY=:0",
    "LD_LIBRARY_PATH=/nonexistent",
    "PYTHONPATH=/nonexistent",
    "BASH_ENV=/nonexistent",
    "GIT_DIR=/nonexistent",
    "SUDO_ASKPASS=/nonexistent",
];

fn names(text: &str) -> Vec<&str> {
    let mut names: Vec<_> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_environment_is_what_the_policy_lists() {
    let Some(machine) = Machine::set_up() else { return };
    let with = |way: Way| {
        let argv =
            [&["env"][..], &SECRETS, &["LC_TIME=C", "COLORTERM=truecolor"], way.before(), &["env"]].concat();
        machine.human().run(&argv).ok().text()
    };
    let plain = with(Way::Plain);
    for secret in SECRETS {
        assert!(plain.lines().any(|line| line == secret), "{secret}: {plain}");
    }
    let agent = with(Way::Agent);
    assert_eq!(
        names(&agent),
        [
            "AGENTUSER",
            "COLORTERM",
            "GIT_CONFIG_SYSTEM",
            "HOME",
            "LANG",
            "LC_TIME",
            "LOGNAME",
            "PATH",
            "SHELL",
            "TERM",
            "USER"
        ]
    );
    for line in [format!("HOME=/home/{AGENT}"), format!("USER={AGENT}"), "LC_TIME=C".into()] {
        assert!(agent.lines().any(|is| is == line), "{line}: {agent}");
    }
}

/// `LD_PRELOAD` is taken by the loader of each program on the way, the human's; the agent's gets none.
#[test]
fn the_loader_is_not_steered() {
    let Some(machine) = Machine::set_up() else { return };
    let line = r#"LD_PRELOAD=/nonexistent.so "$@" sh -c 'echo "<$LD_PRELOAD>"' 2>/dev/null"#;
    assert_eq!(Way::Plain.sh(&machine, line).ok().text(), "</nonexistent.so>");
    assert_eq!(Way::Agent.sh(&machine, line).ok().text(), "<>");
}

/// B07
#[test]
fn descriptors_stay_behind() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.write("secret", "the human's own\n");
    let open = "exec 3<\"$HOME\"/secret 8<\"$HOME\" 9<>\"$HOME\"/secret; ";
    let read = format!("{open} exec \"$@\" sh -c 'cat <&3'");
    assert_eq!(Way::Plain.sh(&machine, &read).ok().text(), "the human's own");
    let agent = Way::Agent.sh(&machine, &read);
    assert!(!agent.status.success() && !agent.text().contains("own"), "{agent:?}");
    let list = format!("{open} exec \"$@\" sh -c 'ls /proc/$$/fd'");
    let plain = Way::Plain.sh(&machine, &list).ok().text();
    assert!(["3", "8", "9"].iter().all(|fd| plain.lines().any(|line| line == *fd)), "{plain}");
    assert_eq!(Way::Agent.sh(&machine, &list).ok().text().replace('\n', " "), "0 1 2");
}

/// A session keyring with a key in it, and a search for that key from the session keyring of whoever runs it.
const KEYRING: &str = r#"
import ctypes, os, platform, sys
call = ctypes.CDLL(None, use_errno=True).syscall
add, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[platform.machine()]
SESSION, JOIN, SEARCH, SETPERM = -3, 1, 10, 5
if sys.argv[1] == "find":
    key = call(keyctl, SEARCH, SESSION, b"user", b"t_pv_secret", 0)
    print("found" if key >= 0 else "errno %d" % ctypes.get_errno())
else:
    assert call(keyctl, JOIN, b"t_pv_session", 0, 0, 0) >= 0
    key = call(add, b"user", b"t_pv_secret", b"words", 5, SESSION)
    assert key >= 0
    # Everybody who possesses it, and everybody else, may find and read it: only the keyring itself is in the way.
    assert call(keyctl, SETPERM, key, 0x3f3f3f3f, 0, 0) == 0
    assert call(keyctl, SETPERM, SESSION, 0x3f3f3f3f, 0, 0) == 0
    os.execvp(sys.argv[2], sys.argv[2:])
"#;

/// B29
#[test]
fn the_session_keyring_stays_behind() {
    let Some(machine) = Machine::set_up() else { return };
    let find = |before: &[&str]| {
        let keep = ["python3", "-c", KEYRING, "keep"];
        machine.human().run(&[&keep, before, &["python3", "-c", KEYRING, "find"]].concat()).ok().text()
    };
    assert_eq!(find(&[]), "found");
    // ENOSYS: the filter closes the key service.
    assert_eq!(find(Way::Agent.before()), "errno 38");
    // Without the filter it is seen that the keyring stayed behind: ENOKEY.
    let policy = std::fs::read_to_string("/etc/agentuser/policy.yaml").unwrap();
    let open = machine.human().write("policy.yaml", &format!("{policy}    confine: {{ keyrings: allow }}\n"));
    machine.agentuser(&["setup", "--yes", "--policy", open.to_str().unwrap()]).ok();
    assert_eq!(find(Way::Agent.before()), "errno 126");
}
