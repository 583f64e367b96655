//! Runs of programs to their end, with a bound on the time, and what came of them.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Longer than anything here takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a program ended, and what it printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Outcome {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The status and the signal, without the mark of a core dump.
    pub(crate) fn end(&self) -> (Option<i32>, Option<i32>) {
        (self.status.code(), self.status.signal())
    }

    /// Standard output as text, without the last line's end.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }

    /// Standard error as text.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The same outcome, which must be a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.success(), "{self:?}");
        self
    }

    /// The same outcome, which must have this exit status.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{self:?}");
        self
    }

    /// The same outcome, which must mention `words` on one of its streams.
    #[track_caller]
    pub(crate) fn mentions(self, words: &str) -> Self {
        assert!(self.text().contains(words) || self.said().contains(words), "{words:?} in {self:?}");
        self
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]).into_owned();
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, shown(&self.stdout), shown(&self.stderr))
    }
}

/// Runs a command to its end with this input. What it leaves running may hold its streams: they are read until they are
/// closed or the command has been gone for a while.
#[track_caller]
pub(crate) fn finish(mut command: Command, input: &[u8]) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    finish_child(child, input, &format!("{command:?}"))
}

#[track_caller]
fn finish_child(mut child: Child, input: &[u8], name: &str) -> Outcome {
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let stdout = reader(child.stdout.take().expect("a pipe"));
    let stderr = reader(child.stderr.take().expect("a pipe"));
    let status = wait(&mut child, name);
    let outcome = Outcome {
        status,
        stdout: stdout.join().expect("a reader"),
        stderr: stderr.join().expect("a reader"),
    };
    feed.join().expect("a writer");
    outcome
}

fn reader(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits for a child; one that does not end in time is killed and fails the test.
#[track_caller]
pub(crate) fn wait(child: &mut Child, name: &str) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{name} did not end in {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until `so` holds; it must within a minute.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "it never came that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a program of the system as root, which must succeed, and answers what it printed.
#[track_caller]
pub(crate) fn system(argv: &[impl AsRef<OsStr>]) -> String {
    let mut command = Command::new(argv[0].as_ref());
    command.args(&argv[1..]);
    let name = format!("{command:?}");
    let outcome = finish(command, b"");
    assert!(outcome.status.success(), "{name}: {outcome:?}");
    outcome.text()
}

/// Runs a program of the system as root, whatever comes of it.
pub(crate) fn attempt(argv: &[&str]) {
    let mut command = Command::new(argv[0]);
    let _ =
        command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// Ends every process of an account of the tests' own, each by its id.
pub(crate) fn end_processes(uid: u32) {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    for _ in 0..200 {
        let left: Vec<i32> = processes_of(uid);
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The processes of an account, without those that have ended.
pub(crate) fn processes_of(uid: u32) -> Vec<i32> {
    let is_its = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_ascii_whitespace().next()).unwrap_or_default().to_owned()
        };
        field("Uid:") == uid.to_string() && !matches!(&*field("State:"), "Z" | "X")
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_its).collect()
}
