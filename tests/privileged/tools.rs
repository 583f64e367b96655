//! What people run in a session, on a terminal and by keys, in both modes of sharing: editors, pagers, multiplexers, package
//! managers and builds, all without a network. A tool that is not installed is named and passed over.

use crate::common::{AGENT, Machine, Terminal};
use std::{fs, path::Path, time::Duration};

const SHARING: [&str; 2] = ["acl", "mount"];

/// Git as the test has it on every machine.
const GIT: &str = "export PATH=/usr/bin:/bin GIT_CONFIG_SYSTEM=/dev/null; git config --global user.name a; \
                   git config --global user.email a@example.com; ";

/// The machine with the agent set up by this mode, the human's files as before.
fn set_up(sharing: &str) -> Option<Machine> {
    let machine = Machine::take()?;
    machine.set_up_policy(&format!("    sharing: {sharing}\n"));
    let status = machine.human().run(&["agentuser", "status"]).ok().text();
    assert_eq!(status.contains("by an id-mapped mount"), sharing == "mount", "{status}");
    Some(machine)
}

/// Whether a program is there; where it is not, a test that needs it says so.
fn there(program: &str) -> bool {
    let there = Path::new(program).exists();
    if !there {
        eprintln!("passed over: {program} is not installed");
    }
    there
}

/// A line of bash as the agent on a terminal of its own.
fn start(machine: &Machine, line: &str) -> Terminal {
    machine.human().terminal(&["agentuser", "run", "--", "bash", "-c", line])
}

/// Runs a line on a terminal, which must succeed.
#[track_caller]
fn run(machine: &Machine, line: &str) {
    let mut terminal = start(machine, line);
    let status = terminal.wait();
    assert!(status.success(), "{line}: {status}\n{}", terminal.shown());
}

/// What a file of the project holds, as the human reads it.
#[track_caller]
fn read(machine: &Machine, name: &str) -> String {
    machine.human().run(&["cat", name]).ok().text()
}

#[test]
fn an_editor() {
    if !there("/usr/bin/vim") {
        return;
    }
    for sharing in SHARING {
        let Some(machine) = set_up(sharing) else { return };
        // An agent that edits a file of the human's, and a new one.
        for (file, keys, text) in
            [("prices", "Gocake 5\x1b:wq\r", "tea 2\ncake 5"), ("new", "inone\x1b:wq\r", "none")]
        {
            let mut terminal = start(&machine, &format!("exec /usr/bin/vim -u NONE {file}"));
            terminal.expect(file);
            terminal.send(keys);
            assert!(terminal.wait().success(), "{sharing}: {}", terminal.shown());
            assert_eq!(read(&machine, file), text, "{sharing}");
        }
        // And the human edits what the agent's editor wrote.
        machine.human().sh("echo tart 3 >>prices && echo two >>new", &[]).ok();
    }
}

#[test]
fn a_rebase_by_hand() {
    if !there("/usr/bin/vim") {
        return;
    }
    for sharing in SHARING {
        let Some(machine) = set_up(sharing) else { return };
        let commits = "git init -q work && cd work && for n in 1 2 3 4; do echo $n >f$n; git add .; git commit -qm c$n; done";
        run(&machine, &format!("{GIT}{commits}"));
        let rebase = "cd work && GIT_EDITOR='/usr/bin/vim -u NONE' git rebase -i HEAD~3";
        let mut terminal = start(&machine, &format!("{GIT}{rebase}"));
        // The second of the three commits goes, the third gets another message in a second editor.
        terminal.expect("git-rebase-");
        terminal.send(":2d\r:2s/pick/reword/\r:wq\r");
        terminal.expect("COMMIT_EDITMSG");
        terminal.send(":1s/c4/last/\r:wq\r");
        assert!(terminal.wait().success(), "{sharing}: {}", terminal.shown());
        run(&machine, &format!("{GIT}cd work && git log --format=%s >../log && ls >../files"));
        assert_eq!(read(&machine, "log"), "last\nc2\nc1", "{sharing}");
        assert_eq!(read(&machine, "files"), "f1\nf2\nf4", "{sharing}");
    }
}

#[test]
fn a_pager() {
    if !there("/usr/bin/less") {
        return;
    }
    for sharing in SHARING {
        let Some(machine) = set_up(sharing) else { return };
        let lines: Vec<_> = (1..=200).map(|n| format!("line {n}.\n")).collect();
        machine.human().write("shop/long", &lines.concat());
        let mut terminal = start(&machine, "/usr/bin/less long; echo ended");
        terminal.expect("line 20.");
        assert!(!terminal.shown().contains("line 200."), "control: it shows one page");
        terminal.send("G");
        terminal.expect("line 200.");
        terminal.send("q");
        terminal.expect("ended");
        assert!(terminal.wait().success(), "{sharing}");
    }
}

/// Types a key of tmux's after its prefix, as slowly as no paste comes (`assume-paste-time` in tmux(1)).
fn prefixed(terminal: &mut Terminal, key: &str) {
    for key in ["\x02", key] {
        std::thread::sleep(Duration::from_millis(50));
        terminal.send(key);
    }
}

#[test]
fn a_multiplexer() {
    if !there("/usr/bin/tmux") {
        return;
    }
    for sharing in SHARING {
        let Some(machine) = set_up(sharing) else { return };
        let tmux = "/usr/bin/tmux -L t_pv -f /dev/null";
        let mut terminal = start(&machine, &format!("{tmux} new-session -s one \"PS1='ready> ' sh\""));
        terminal.expect("ready> ");
        terminal.send("echo $((6*7)) >made; echo do''ne\r");
        terminal.expect("done");
        // Detached, it goes on; another session of the agent's comes back to it.
        prefixed(&mut terminal, "d");
        terminal.expect("[detached");
        assert!(terminal.wait().success(), "{sharing}: {}", terminal.shown());
        assert_eq!(read(&machine, "made"), "42", "{sharing}");
        let mut terminal = start(&machine, &format!("{tmux} attach -t one"));
        terminal.expect("ready> ");
        terminal.send("exit\r");
        terminal.expect("[exited]");
        assert!(terminal.wait().success(), "{sharing}: {}", terminal.shown());
    }
}

#[test]
fn jobs_by_keys() {
    for sharing in SHARING {
        let Some(machine) = set_up(sharing) else { return };
        let mut terminal = machine.human().terminal(&["agentuser", "shell"]);
        terminal.expect("$ ");
        terminal.send("PS1='rea''dy> '\n");
        for _ in 0..2 {
            terminal.expect("ready> ");
            terminal.send("sh -c 'trap \"echo again=$((1+1))\" CONT; echo u''p; until read word; do :; done; echo got=$word'\n");
            terminal.expect("up");
            terminal.send("\x1a");
            terminal.expect("Stopped");
            terminal.expect("ready> ");
            terminal.send("fg\n");
            terminal.expect("again=2");
            terminal.send("hello\n");
            terminal.expect("got=hello");
        }
        terminal.expect("ready> ");
        terminal.send("exit 3\n");
        assert_eq!(terminal.wait().code(), Some(3), "{sharing}");
    }
}

/// Jobs that take no keys, each with the program that it needs. What it makes stands in a directory of its own in the project,
/// and the human removes it.
const JOBS: [(&str, &str); 4] = [
    (
        "/usr/bin/cargo",
        "cargo new --quiet --vcs none --lib thing && cd thing && cargo test --offline | tee log && grep -q '1 passed' log",
    ),
    ("/usr/bin/npm", NPM),
    ("/usr/bin/pip3", PIP),
    (
        "/usr/bin/go",
        "export GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local
         printf 'module example.com/thing\n\ngo 1.18\n' >go.mod
         printf 'package main\n\nfunc answer() int { return 42 }\n\nfunc main() { println(answer()) }\n' >main.go
         printf 'package main\n\nimport (\n\"net\"\n\"testing\"\n)\n\nfunc TestAnswer(t *testing.T) {
            if answer() != 42 { t.Fatal() }
            server, err := net.Listen(\"tcp\", \"127.0.0.1:0\")
            if err != nil { t.Fatal(err) }
            if _, err := net.Dial(\"tcp\", server.Addr().String()); err != nil { t.Fatal(err) }
         }\n' >main_test.go
         go build -o thing . && ./thing 2>&1 | grep -x 42
         go test -v . | tee log && grep -q '^--- PASS: TestAnswer' log",
    ),
];

/// A package that stands in the cache alone, and a project that names it by its digest.
const NPM: &str = r#"
    mkdir dep app && cd dep && echo 'module.exports = 42' >index.js && echo '{"name":"dep","version":"1.0.0"}' >package.json
    npm pack --silent --offline && npm cache add --offline ./dep-1.0.0.tgz
    export SUM=$(node -p 'require("crypto").createHash("sha512").update(require("fs").readFileSync("dep-1.0.0.tgz")).digest("base64")')
    cd ../app && rm -r ../dep && node -e '
        const name = { name: "app", version: "1.0.0", dependencies: { dep: "1.0.0" } };
        const dep = { version: "1.0.0", resolved: "https://packages.example.com/dep-1.0.0.tgz", integrity: "sha512-" + process.env.SUM };
        const lock = { ...name, lockfileVersion: 3, packages: { "": name, "node_modules/dep": dep } };
        require("fs").writeFileSync("package.json", JSON.stringify(name));
        require("fs").writeFileSync("package-lock.json", JSON.stringify(lock));'
    npm ci --offline && node -e 'process.exit(require("dep") === 42 ? 0 : 1)'"#;

/// A wheel is a zip with a few names in it.
const PIP: &str = r#"
    python3 -c '
import zipfile
with zipfile.ZipFile("thing-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("thing.py", "def main(): print(42)\n")
    info = "thing-1.0.dist-info/"
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "entry_points.txt", "[console_scripts]\nthing = thing:main\n")
    wheel.writestr(info + "RECORD", "".join(f"{name},,\n" for name in wheel.namelist() + [info + "RECORD"]))'
    python3 -m venv --without-pip env
    pip3 --python env/bin/python install --no-index --no-cache-dir thing-1.0-py3-none-any.whl
    env/bin/thing | grep -x 42"#;

#[test]
fn builds_and_packages() {
    let mut tried = 0;
    for sharing in SHARING {
        let Some(machine) = set_up(sharing) else { return };
        for (i, (_, job)) in JOBS.iter().enumerate().filter(|(_, (program, _))| there(program)) {
            run(
                &machine,
                &format!("set -eo pipefail; export PATH=/usr/bin:/bin; mkdir w{i}; cd w{i}; {job}"),
            );
            // Whose the files are is what differs.
            let uid = |name: &str| nix::unistd::User::from_name(name).unwrap().unwrap().uid.as_raw();
            let made = fs::metadata(machine.human().project().join(format!("w{i}"))).unwrap();
            let owner = if sharing == "acl" { uid(AGENT) } else { machine.human().uid };
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), owner, "{sharing}");
            machine
                .human()
                .sh(&format!("find w{i} -type f -exec cat {{}} + >/dev/null && rm -rf w{i}"), &[])
                .ok();
            tried += 1;
        }
    }
    assert!(tried > 0, "none of the tools is installed");
}
