//! The other fixed lines of sudo's (`helper status`, `ensure`, `stop`, `secret`) under callers as in [`super::hostile`]: root
//! does what the line says or nothing, the machine is as it was, and nobody waits for long.

use super::hostile::{DIRECTORIES, LIMITS, NAMES, SIGNALS, STREAMS, VALUES, VARIABLES, called, signalled};
use crate::common::{AGENT, Machine, Outcome, Snapshot, finish, processes_of, system, until};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt, process::ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What each is given on its standard input.
const HELPERS: [(&str, &[u8]); 4] =
    [("status", b""), ("ensure", b""), ("stop", b""), ("secret", b"\"list\"")];

/// The longest that one may take, whatever its caller does.
const BOUND: Duration = Duration::from_secs(20);

/// What they must leave as it is: the machine, and what is kept of the agent with owners and modes.
struct State(Snapshot, BTreeMap<String, String>);

impl State {
    fn of(machine: &Machine) -> Self {
        let mut kept = BTreeMap::new();
        for place in ["/var/lib/agentuser", "/run/agentuser"] {
            collect(Path::new(place), &mut kept);
        }
        Self(machine.snapshot(), kept)
    }

    #[track_caller]
    fn is_still(&self, machine: &Machine, when: &str) {
        let now = Self::of(machine);
        let differ = |name: &&String| now.1.get(*name) != self.1.get(*name);
        let names: Vec<_> = now.1.keys().chain(self.1.keys()).filter(differ).collect();
        assert!(names.is_empty(), "{when}, these are not as they were: {names:?}");
        now.0.assert_same_as(&self.0, when);
    }
}

fn collect(path: &Path, kept: &mut BTreeMap<String, String>) {
    let Ok(is) = fs::symlink_metadata(path) else { return };
    // The guard writes its own state and logs all the while.
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.contains("guard") || name.contains("audit") || name.contains("answers") {
        return;
    }
    let content = if is.is_file() {
        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
    } else {
        String::new()
    };
    let state = format!("{:o} {}:{} {content}", is.mode(), is.uid(), is.gid());
    kept.insert(path.display().to_string(), state);
    if is.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), kept);
        }
    }
}

/// Runs one to its end, which must come in time.
#[track_caller]
fn in_time(command: Command, input: &[u8], what: &str) -> Outcome {
    let start = Instant::now();
    let outcome = finish(command, input);
    assert!(start.elapsed() < BOUND, "{what} took {:?}: {outcome:?}", start.elapsed());
    outcome
}

/// That it did its work as for anybody, as far as its answer tells.
#[track_caller]
fn did_its_work(helper: &str, outcome: &Outcome, what: &str) {
    let text = outcome.text();
    let right = match helper {
        "status" => {
            let lines = serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap_or_default();
            !lines.is_empty() && lines.iter().all(|line| line["state"] == "in-force")
        }
        "stop" => text == "0",
        "secret" => text == "[\"GH_TOKEN\"]",
        _ => text.is_empty(),
    };
    assert!(outcome.status.success() && right, "{helper}, {what}: {outcome:?}");
}

fn set_up() -> Option<Machine> {
    let machine = Machine::set_up()?;
    machine.human().sh("printf first | agentuser secret set GH_TOKEN", &[]).ok();
    for (helper, input) in HELPERS {
        did_its_work(helper, &finish(called(&machine, &[], helper, &[AGENT]), input), "as ever");
    }
    Some(machine)
}

#[test]
fn their_arguments() {
    let Some(machine) = set_up() else { return };
    let before = State::of(&machine);
    let long = vec![b'x'; 100_000];
    for (helper, input) in HELPERS {
        let more: [&[&[u8]]; 6] = [
            &[],
            &[AGENT.as_bytes(), AGENT.as_bytes()],
            &[AGENT.as_bytes(), b"--json"],
            &[AGENT.as_bytes(), b"--policy=/tmp/x"],
            &[b"--agent", b"root", b"--"],
            &[&long],
        ];
        let names = NAMES.iter().map(|name| vec![*name]);
        for arguments in names.chain(more.iter().map(|list| list.to_vec())) {
            let arguments: Vec<_> = arguments.iter().map(|bytes| OsStr::from_bytes(bytes)).collect();
            let outcome = in_time(called(&machine, &[], helper, &arguments), input, helper);
            // Of an agent that is gone nothing is left to load, which is no failure.
            let nothing = helper == "ensure" && outcome.code() == Some(0) && outcome.text().is_empty();
            assert!(
                nothing || matches!(outcome.code(), Some(1 | 2)),
                "{helper} {arguments:.40?}: {outcome:?}"
            );
            assert!(!outcome.said().contains('\x1b'), "{outcome:?}");
        }
    }
    before.is_still(&machine, "after odd arguments");
}

#[test]
fn their_variables_streams_and_directories() {
    let Some(machine) = set_up() else { return };
    let before = State::of(&machine);
    for (helper, input) in HELPERS {
        let variables = [&["env", "-i"][..], &VARIABLES].concat();
        let open = [
            "bash",
            "-c",
            "exec 3</root 7<>/etc/agentuser/policy.yaml 200</; umask 777; exec \"$@\"",
            "bash",
        ];
        let ignoring = ["bash", "-c", "trap '' CHLD INT TERM HUP PIPE; exec nice -n 19 \"$@\"", "bash"];
        for caller in [&variables[..], &open, &ignoring] {
            let outcome = in_time(called(&machine, caller, helper, &[AGENT]), input, helper);
            did_its_work(helper, &outcome, caller[2]);
        }
        for line in DIRECTORIES {
            let line = format!("{line}; exec \"$@\"");
            let outcome =
                in_time(called(&machine, &["bash", "-c", &line, "bash"], helper, &[AGENT]), input, helper);
            did_its_work(helper, &outcome, &line);
        }
        for streams in STREAMS {
            let line = format!("exec \"$@\" {streams}");
            let outcome =
                in_time(called(&machine, &["bash", "-c", &line, "bash"], helper, &[AGENT]), input, helper);
            // Without a request there is nothing to do; all else can be done without streams.
            let asked = helper != "secret" || !streams.contains('0');
            assert_eq!(outcome.code(), Some(i32::from(!asked)), "{helper} {streams}: {outcome:?}");
        }
        for full in ["/dev/full", "/proc/self/mem"] {
            let line = format!("exec \"$@\" >{full} 2>{full}");
            let outcome =
                in_time(called(&machine, &["bash", "-c", &line, "bash"], helper, &[AGENT]), input, helper);
            assert_eq!(outcome.code(), Some(0), "{helper} {full}: {outcome:?}");
        }
    }
    before.is_still(&machine, "after odd variables, streams and directories");
}

/// Whether root may lift what is a limit for root, too (`CAP_SYS_RESOURCE`): not in every container.
fn may_lift() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap() & 1 << 24 != 0
}

/// Limits are lifted, and nothing is cut off in the middle; where they can't be, nothing is begun.
#[test]
fn their_limits() {
    let Some(machine) = set_up() else { return };
    let before = State::of(&machine);
    let mut worked = BTreeMap::<String, u32>::new();
    for (helper, input) in HELPERS {
        for limit in LIMITS {
            for value in VALUES.into_iter().flat_map(|value| [value.to_owned(), format!("{value}:")]) {
                let option = format!("--{limit}={value}");
                let outcome =
                    in_time(called(&machine, &["prlimit", &option], helper, &[AGENT]), input, &option);
                // Where a limit is lower already, not every root may raise it to be a hostile one.
                if !may_lift() && outcome.said().starts_with("prlimit") {
                    continue;
                }
                if outcome.status.success() {
                    did_its_work(helper, &outcome, &option);
                    *worked.entry(format!("{limit} {}", value.ends_with(':'))).or_default() += 1;
                } else {
                    // It did not come to its first step: the kernel, the loader or its own judgement ended it.
                    let ended = matches!(limit, "as" | "data" | "stack" | "nofile" | "fsize");
                    assert!(ended && outcome.text().is_empty(), "{helper} {option}: {outcome:?}");
                }
            }
        }
    }
    let always = ["nproc true", "nproc false", "core true", "memlock false", "fsize true"];
    for limit in always.into_iter().chain(may_lift().then_some("fsize false")) {
        assert!(worked.get(limit).is_some_and(|count| *count >= 16), "{limit}: {worked:?}");
    }
    before.is_still(&machine, "after limits");
    // What changes something is not cut off either.
    for limit in ["--fsize=0:", "--fsize=64:", "--nproc=0"] {
        let set = br#"{"set":["GH_TOKEN","second"]}"#;
        in_time(called(&machine, &["prlimit", limit], "secret", &[AGENT]), set, limit).ok();
        did_its_work("secret", &finish(called(&machine, &[], "secret", &[AGENT]), b"\"list\""), limit);
    }
    let run = machine.human().run(&["agentuser", "run", "--", "sh", "-c", "echo $GH_TOKEN"]).ok();
    assert_eq!(run.text(), "second");
}

/// Inputs that never end, never come, or are none: no lock is held for them, and nobody waits forever.
#[test]
fn their_standard_input() {
    let Some(machine) = set_up() else { return };
    let before = State::of(&machine);
    let fifo = format!("/tmp/t_pv_fifo_{}", std::process::id());
    system(&["mkfifo", &fifo]);
    for (helper, _) in HELPERS {
        for input in ["</dev/zero", "</dev/urandom", "</", "</dev/null", "<>\"$0\""] {
            let line = format!("exec \"$@\" {input}");
            let outcome =
                in_time(called(&machine, &["bash", "-c", &line, &fifo], helper, &[AGENT]), b"", input);
            if helper == "secret" {
                outcome.exits(1);
            } else {
                did_its_work(helper, &outcome, input);
            }
        }
        let mut terminal =
            machine.human().terminal(&["sudo", "-n", crate::common::PROGRAM, "helper", helper, AGENT]);
        let start = Instant::now();
        let ended = terminal.wait();
        assert!(start.elapsed() < BOUND && ended.success() == (helper != "secret"), "{}", terminal.shown());
    }
    // While one waits for its request, another one is served.
    let line = "exec \"$@\" <>\"$0\"";
    let mut waiting = called(&machine, &["bash", "-c", line, &fifo], "secret", &[AGENT]);
    let mut waiting = waiting.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    let outcome = finish(called(&machine, &[], "secret", &[AGENT]), b"\"list\"");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    did_its_work("secret", &outcome, "beside one that waits");
    assert!(waiting.try_wait().unwrap().is_none(), "the control: the first one still waits");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    fs::remove_file(&fifo).unwrap();
    before.is_still(&machine, "after odd inputs");
}

/// Killed or stopped at any moment: what was there before is there, or what was asked for, and no half of it.
#[test]
fn their_signals() {
    let Some(machine) = set_up() else { return };
    let before = State::of(&machine);
    for (helper, input) in HELPERS {
        for signal in SIGNALS {
            for micros in (0..40_000).step_by(4000) {
                let outcome = signalled(called(&machine, &[], helper, &[AGENT]), input, signal, micros);
                assert!(
                    outcome.status.success() || outcome.status.signal().is_some(),
                    "{helper} {signal} {micros}: {outcome:?}"
                );
            }
        }
    }
    for micros in (0..24_000).step_by(400) {
        let value = format!("value-{micros}");
        let set = format!("{{\"set\":[\"GH_TOKEN\",\"{value}\"]}}");
        let held =
            |machine: &Machine| machine.inside(&["cat", &format!("/var/lib/agentuser/{AGENT}/secrets.json")]);
        let old = held(&machine);
        let outcome = signalled(called(&machine, &[], "secret", &[AGENT]), set.as_bytes(), "KILL", micros);
        let new = held(&machine);
        assert!(
            new == old && !outcome.status.success() || new.contains(&value),
            "{micros}: {old} {new} {outcome:?}"
        );
    }
    // What a kill left beside the file goes with the next change.
    finish(called(&machine, &[], "secret", &[AGENT]), br#"{"set":["GH_TOKEN","first"]}"#).ok();
    before.is_still(&machine, "after signals");
}

/// Keys of the terminal stop neither the one that holds the lock nor what it started; the control is a program that they stop.
#[test]
fn nobody_stops_them_by_a_key() {
    let Some(machine) = set_up() else { return };
    let state = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().unwrap_or_default().trim().chars().next()
    };
    let stopped = |mut command: Command, settled: &dyn Fn(u32) -> bool| {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("it has begun", || settled(child.id()));
        crate::common::attempt(&["kill", "-TSTP", &child.id().to_string()]);
        std::thread::sleep(Duration::from_millis(100));
        let is = state(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        is == Some('T')
    };
    let began = |name: &'static str| {
        move |pid: u32| {
            let is = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            // It has let go of what it was given, and waits for its request.
            std::thread::sleep(Duration::from_millis(300));
            is.file_name().is_some_and(|is| is == name)
        }
    };
    assert!(stopped(machine.root(&["sleep", "60"]), &began("sleep")));
    assert!(!stopped(called(&machine, &[], "secret", &[AGENT]), &began("agentuser")));
}

/// `stop` ends what is the agent's, and nothing else.
#[test]
fn stop_ends_the_agents_alone() {
    let Some(machine) = set_up() else { return };
    let uid = system(&["id", "-u", AGENT]).parse().unwrap();
    let mut session = machine.human().command(&["agentuser", "run", "--", "sleep", "600"]);
    let mut session = session.stdin(Stdio::null()).spawn().unwrap();
    let mut other = machine.human().command(&["sleep", "600"]).spawn().unwrap();
    until("it runs", || {
        processes_of(uid).iter().any(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep")
        })
    });
    let caller = ["prlimit", "--nproc=0", "--nofile=64", "--fsize=0:"];
    in_time(called(&machine, &caller, "stop", &[AGENT]), b"", "stop").ok();
    until("the agent's are gone", || processes_of(uid).is_empty());
    session.wait().unwrap();
    assert!(other.try_wait().unwrap().is_none(), "the human's go on");
    other.kill().unwrap();
    other.wait().unwrap();
}
