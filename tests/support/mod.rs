//! Programs and network namespaces of the tests, which end with them, also after a panic.
#![allow(dead_code, reason = "each crate of tests uses a part of it")]

use std::{
    io::{BufRead, BufReader},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long a line may take to come. Far more than any takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a program ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// What it printed; it must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// All that it said; it must have ended with this status.
    #[track_caller]
    pub(crate) fn fails_with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stdout + &self.stderr
    }
}

/// Runs a program to its end, within two minutes.
pub(crate) fn run(argv: &[impl AsRef<str>]) -> Outcome {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120"]).args(argv.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Splits a line into an argument list, and runs it; it must succeed.
#[track_caller]
pub(crate) fn sh(line: &str) -> String {
    run(&line.split_ascii_whitespace().collect::<Vec<_>>()).ok()
}

/// A network namespace. Its name begins with `t_` and the kind of its tests.
pub(crate) struct Netns(pub(crate) String);

impl Netns {
    pub(crate) fn new(kind: &str, name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let netns = Self(format!("t_{kind}_{name}_{}_{number}", std::process::id()));
        sh(&format!("ip netns add {}", netns.0));
        netns.sh("ip link set lo up");
        netns
    }

    /// The beginning of a command line inside.
    pub(crate) fn inside(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--net=/run/netns/{}", self.0)]
    }

    /// Runs a line inside; it must succeed.
    #[track_caller]
    pub(crate) fn sh(&self, line: &str) -> String {
        let mut argv = self.inside();
        argv.extend(line.split_ascii_whitespace().map(Into::into));
        run(&argv).ok()
    }

    /// Sets a variable of sysctl(8) inside.
    #[track_caller]
    pub(crate) fn set(&self, name: &str, value: &str) {
        let mut argv = self.inside();
        argv.extend(["sysctl", "-q", "-w", &format!("{name}={value}")].map(Into::into));
        run(&argv).ok();
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        for pid in run(&["ip", "netns", "pids", &self.0]).stdout.split_ascii_whitespace() {
            run(&["kill", "-KILL", pid]);
        }
        run(&["ip", "netns", "delete", &self.0]);
    }
}

#[derive(Default)]
struct Lines {
    so_far: Mutex<Vec<String>>,
    more: Condvar,
}

/// A program that runs beside the test, and the lines that it prints.
pub(crate) struct Running {
    child: Child,
    lines: Arc<Lines>,
}

impl Running {
    pub(crate) fn start(argv: &[String]) -> Self {
        let mut command = Command::new(&argv[0]);
        let mut child = command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = Arc::<Lines>::default();
        let (to, from) = (lines.clone(), BufReader::new(child.stdout.take().unwrap()));
        std::thread::spawn(move || {
            for line in from.lines().map_while(Result::ok) {
                to.so_far.lock().unwrap().push(line);
                to.more.notify_all();
            }
        });
        Self { child, lines }
    }

    /// The lines up to now.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.so_far.lock().unwrap().clone()
    }

    /// Waits until a line after the first `from` begins with these words, and answers the line.
    #[track_caller]
    pub(crate) fn wait_after(&self, from: usize, words: &str) -> String {
        let mut lines = self.lines.so_far.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().skip(from).find(|line| line.starts_with(words)) {
                return line.clone();
            }
            let (next, waited) = self.lines.more.wait_timeout(lines, PATIENCE).unwrap();
            assert!(!waited.timed_out(), "`{words}` did not come; what came: {next:?}");
            lines = next;
        }
    }

    /// Waits for a line that begins with these words.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) -> String {
        self.wait_after(0, words)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it is gone.
    #[track_caller]
    pub(crate) fn wait_end(&mut self) {
        until("its end", || self.has_ended().then_some(()));
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The port of a server's `index`th listener.
    pub(crate) fn port(&self, index: usize) -> String {
        self.wait_for("ready");
        let lines = self.lines();
        let mut listening = lines.iter().filter_map(|line| line.strip_prefix("listening "));
        listening.nth(index).unwrap().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until there is something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a service manager does at a socket: for each that connects it starts a program, with the connection as its standard
/// input.
pub(crate) struct Accepting {
    path: String,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Accepting {
    pub(crate) fn start(path: &str, argv: Vec<String>) -> Self {
        std::fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        let listener = UnixListener::bind(path).unwrap();
        let end = Arc::<AtomicBool>::default();
        let ends = end.clone();
        let thread = std::thread::spawn(move || {
            let mut children = Vec::new();
            for connection in listener.incoming() {
                if ends.load(Ordering::Acquire) {
                    break;
                }
                let stdin = OwnedFd::from(connection.unwrap());
                let child =
                    Command::new(&argv[0]).args(&argv[1..]).stdin(stdin).stdout(Stdio::null()).spawn();
                children.push(child.unwrap());
            }
            for mut child in children {
                let _ = child.kill();
                let _ = child.wait();
            }
        });
        Self { path: path.into(), end, thread: Some(thread) }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        let _ = UnixStream::connect(&self.path);
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The calls of systemd's `@privileged` that are there to become others or to give files away, on x86-64: refused as a unit
/// does it.
const BOUND: &str = "
import ctypes, os, struct, sys
calls = [92, 93, 94, 260, 105, 106, 113, 114, 116, 117, 119, 122, 123, 161, 155] if os.uname().machine == 'x86_64' else []
code = struct.pack('=HBBI', 0x20, 0, 0, 0)
code += b''.join(struct.pack('=HBBI', 0x15, 0, 1, call) + struct.pack('=HBBI', 0x06, 0, 0, 0x50001) for call in calls)
code += struct.pack('=HBBI', 0x06, 0, 0, 0x7fff0000)
text = ctypes.create_string_buffer(code)
libc = ctypes.CDLL(None, use_errno=True)
program = ctypes.create_string_buffer(struct.pack('@HP', len(code) // 8, ctypes.addressof(text)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execvp(sys.argv[1], sys.argv[1:])
";

/// The beginning of a command line that leaves root the rights that a unit leaves it.
pub(crate) fn bound_by(unit: &str) -> Vec<String> {
    let rights = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=CAP_")).unwrap();
    let rights = format!("-all,+{}", rights.to_lowercase().replace(" cap_", ",+"));
    let mut words = vec!["setpriv".into(), "--bounding-set".into(), rights, "--".into()];
    if !unit.contains("SystemCallFilter=@setuid") {
        words.extend(["python3", "-c", BOUND].map(String::from));
    }
    words
}
