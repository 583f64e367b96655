//! Root's half of a launch under arguments, variables, descriptors, directories, limits and signals that nobody sane gives
//! it: the command runs as the agent in its view, or nothing is started; nothing is left on the machine either way.

use crate::common::{AGENT, Machine, Outcome, PROGRAM, View, finish, processes_of, system, until};
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    process::{Command, Stdio},
    time::Duration,
};

/// Prints who runs it, what it may, and whether the view is there.
const WHO: &str =
    "id -u; id -g; id -G; grep ^CapEff /proc/self/status; test ! -e /home/t_pv_ann/notes && echo hidden";

fn expected(outcome: &Outcome) -> bool {
    let (uid, gid) = (system(&["id", "-u", AGENT]), system(&["id", "-g", AGENT]));
    outcome.text() == format!("{uid}\n{gid}\n{gid}\nCapEff:\t0000000000000000\nhidden")
}

/// It ran as it should, or it was refused and nothing ran.
#[track_caller]
fn ran_well_or_not_at_all(outcome: &Outcome, what: &str) {
    let refused = !outcome.status.success() && outcome.text().is_empty();
    assert!(refused || expected(outcome), "{what}: {outcome:?}");
}

fn set_up() -> Option<Machine> {
    let machine = Machine::set_up_with(View::Private)?;
    machine.human().write("notes", "everybody's\n");
    Some(machine)
}

/// Root's half as sudo starts it, but by root itself: nothing of sudo's own care is in the way. `before` is what stands before
/// the program on its command line.
pub(super) fn called<S: AsRef<OsStr>>(
    machine: &Machine,
    before: &[&str],
    helper: &str,
    arguments: &[S],
) -> Command {
    let mut argv: Vec<OsString> = before.iter().map(Into::into).collect();
    argv.extend([PROGRAM, "helper", helper].map(Into::into));
    argv.extend(arguments.iter().map(|argument| argument.as_ref().to_owned()));
    machine.root(&argv)
}

fn by_root<S: AsRef<OsStr>>(machine: &Machine, before: &[&str], arguments: &[S]) -> Command {
    called(machine, before, "session", arguments)
}

/// Variables that steer a loader, a shell, a runtime or a C library.
pub(super) const VARIABLES: [&str; 12] = [
    "LD_PRELOAD=/nonexistent.so",
    "LD_LIBRARY_PATH=/tmp",
    "PATH=/tmp",
    "HOME=/root",
    "RUST_BACKTRACE=full",
    "RUST_LOG=trace",
    "TMPDIR=/tmp",
    "IFS=/",
    "BASH_ENV=/tmp/x",
    "LC_ALL=\u{1b}[2J",
    "AGENTUSER_KILL_AT=1",
    "A=",
];

/// Standard streams that are closed, or are no streams, as bash(1) writes it.
pub(super) const STREAMS: [&str; 10] = [
    "0<&-",
    "1>&-",
    "2>&-",
    "0<&- 1>&-",
    "0<&- 2>&-",
    "1>&- 2>&-",
    "0<&- 1>&- 2>&-",
    "0</",
    "1</",
    "2</root",
];

/// Lines of sh(1) that go to a directory which is gone, closed or somebody else's.
pub(super) const DIRECTORIES: [&str; 4] = [
    "mkdir /tmp/t_pv_gone; cd /tmp/t_pv_gone; rmdir /tmp/t_pv_gone",
    "cd /root",
    "cd /proc/1",
    "cd /home/t_pv_ann",
];

/// What setrlimit(2) limits, and to how much it is.
pub(super) const LIMITS: [&str; 11] =
    ["nofile", "fsize", "as", "data", "stack", "core", "memlock", "nproc", "rss", "msgqueue", "sigpending"];
pub(super) const VALUES: [&str; 5] = ["0", "4", "64", "4096", "2000000"];

/// Names that are no agent's.
pub(super) const NAMES: [&[u8]; 8] =
    [b"root", b"machine", b"", b"../t_pv_bot", b"t_pv_ann", b"t_pv_bot\n", b"\xff\xfe", b"x\x1b[2J"];

/// Signals that end or stop.
pub(super) const SIGNALS: [&str; 5] = ["KILL", "TERM", "INT", "HUP", "STOP"];

/// Starts a command, sends it a signal after a while, wakes it where that stopped it, and waits for its end.
pub(super) fn signalled(mut command: Command, input: &[u8], signal: &str, micros: u64) -> Outcome {
    use std::io::Write;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    std::thread::sleep(Duration::from_micros(micros));
    let pid = child.id().to_string();
    crate::common::attempt(&["kill", &format!("-{signal}"), &pid]);
    crate::common::attempt(&["kill", "-CONT", &pid]);
    let output = child.wait_with_output().unwrap();
    Outcome { status: output.status, stdout: output.stdout, stderr: vec![] }
}

/// The arguments of a whole session, in the project.
fn session(machine: &Machine) -> Vec<String> {
    let directory = format!("--directory={}", machine.human().project().display());
    [AGENT, "--", &directory, "--", "sh", "-c", WHO].map(String::from).into()
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

#[test]
fn arguments() {
    let Some(machine) = set_up() else { return };
    assert!(expected(&finish(by_root(&machine, &[], &session(&machine)), b"").ok()));
    let before = (mounts(), machine.snapshot());
    // A name that is no agent's, or no arguments for `enter`.
    let odd: [&[&[u8]]; 5] = [
        &[],
        &[b"t_pv_bot"],
        &[b"t_pv_bot", b"true"],
        &[b"--", b"t_pv_bot", b"--", b"id"],
        &[b"t_pv_bot", b"-- ", b"--", b"id"],
    ];
    let of_nobody = NAMES.map(|name| [name, b"--", b"--", b"id"].map(<[u8]>::to_vec).to_vec());
    let odd = odd.iter().map(|arguments| arguments.iter().map(|argument| argument.to_vec()).collect());
    for arguments in odd.chain(of_nobody).collect::<Vec<Vec<Vec<u8>>>>() {
        let arguments: Vec<_> = arguments.iter().map(|bytes| OsStr::from_bytes(bytes)).collect();
        let outcome = finish(by_root(&machine, &[], &arguments), b"");
        assert!(outcome.code() == Some(125) && outcome.text().is_empty(), "{arguments:?}: {outcome:?}");
    }
    // Whatever follows the dashes is the agent's to read.
    let mut hostile: Vec<Vec<u8>> = [
        "--directory=/root",
        "--directory=/proc/1/root",
        "--directory=/home/t_pv_ann",
        "--directory=..",
        "--umask=0",
        "--umask=77777777777",
        "--env=LD_PRELOAD=/x",
        "--env=",
        "--env==",
        "--signal=9",
        "--pid=1",
        "--signal=-1",
        "--pid=-1",
        "--",
        "",
        "-",
        "\x1b[2J",
        "$(id)",
        "`id`",
        "a\nb",
        "--policy=/tmp/x",
        "--agent=root",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    hostile.extend([vec![0xff; 9], vec![b'x'; 100_000], b"--directory=\xff\xfe".to_vec()]);
    for argument in &hostile {
        for at in 2..4 {
            let mut arguments: Vec<OsString> = session(&machine).iter().map(Into::into).collect();
            arguments.insert(at, OsString::from_vec(argument.clone()));
            let outcome = finish(by_root(&machine, &[], &arguments), b"");
            ran_well_or_not_at_all(&outcome, &String::from_utf8_lossy(&argument[..argument.len().min(40)]));
            // What is said of it can't speak to the terminal.
            assert!(!outcome.said().contains('\x1b'), "{outcome:?}");
        }
    }
    assert_eq!(mounts(), before.0);
    machine.snapshot().assert_same_as(&before.1, "after hostile arguments");
}

#[test]
fn variables_and_descriptors() {
    let Some(machine) = set_up() else { return };
    let plain = finish(by_root(&machine, &[], &[AGENT, "--", "--directory=", "--", "env"]), b"").ok().text();
    let before = [&["env", "-i"][..], &VARIABLES].concat();
    let outcome = finish(by_root(&machine, &before, &[AGENT, "--", "--directory=", "--", "env"]), b"").ok();
    assert_eq!(outcome.text(), plain);

    let open = ["bash", "-c", "exec 3</root 7<>/etc/agentuser/policy.yaml 200</; exec \"$@\"", "bash"];
    let list = [AGENT, "--", "--directory=", "--", "sh", "-c", "ls /proc/$$/fd"];
    assert_eq!(finish(by_root(&machine, &open, &list), b"").ok().text(), "0\n1\n2");
    for closed in STREAMS {
        let line = format!("exec \"$@\" {closed}");
        let outcome = finish(by_root(&machine, &["bash", "-c", &line, "bash"], &session(&machine)), b"");
        assert!(outcome.text().is_empty() || expected(&outcome), "{closed}: {outcome:?}");
    }
}

#[test]
fn directories_and_limits() {
    let Some(machine) = set_up() else { return };
    let before = mounts();
    for line in DIRECTORIES {
        let line = format!("{line}; exec \"$@\"");
        let outcome = finish(by_root(&machine, &["bash", "-c", &line, "bash"], &session(&machine)), b"").ok();
        assert!(expected(&outcome), "{line}: {outcome:?}");
    }
    let project = machine.human().project();
    for limit in LIMITS {
        for value in VALUES {
            let limit = format!("--{limit}={value}");
            let line = format!("cd {} && exec \"$@\"", project.display());
            let before = ["bash", "-c", &line, "bash", "prlimit", &limit];
            let outcome = finish(by_root(&machine, &before, &session(&machine)), b"");
            // A shell that runs out of processes or memory itself prints the half of it.
            let whole = outcome.text();
            let ran = whole.lines().next().is_none_or(|uid| uid == system(&["id", "-u", AGENT]));
            assert!(ran && !whole.lines().any(|line| line == "0"), "{limit}: {outcome:?}");
        }
    }
    assert_eq!(mounts(), before);
    // Nor did one of them leave a core of root's.
    let names: Vec<_> = fs::read_dir(&project).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["prices"]);
}

/// A kill, a stop or an end by the terminal's signals, from before the first step until after the last one.
#[test]
fn signals_at_each_step() {
    let Some(machine) = set_up() else { return };
    let before = (mounts(), machine.snapshot());
    for signal in SIGNALS {
        for micros in (0..6000).step_by(300) {
            let outcome = signalled(by_root(&machine, &[], &session(&machine)), b"", signal, micros);
            let text = outcome.text();
            let first = text.lines().next().map(str::to_owned);
            assert!(
                first.is_none_or(|uid| uid == system(&["id", "-u", AGENT])),
                "{signal} {micros}: {outcome:?}"
            );
        }
    }
    let uid = system(&["id", "-u", AGENT]).parse().unwrap();
    until("nothing is left", || processes_of(uid).is_empty());
    assert_eq!(mounts(), before.0);
    machine.snapshot().assert_same_as(&before.1, "after signals");
    assert!(expected(&finish(by_root(&machine, &[], &session(&machine)), b"").ok()));
}
