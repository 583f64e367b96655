//! A command on a pseudo-terminal, driven as a person drives one: type, wait for words, resize.

use super::outcome;
use nix::pty::{Winsize, openpty};
use rustix::termios::tcsetwinsize;
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

/// How long words may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Screen {
    bytes: Mutex<Vec<u8>>,
    more: Condvar,
}

/// A running command and its terminal.
pub(crate) struct Terminal {
    keyboard: File,
    child: Child,
    screen: Arc<Screen>,
    /// How much of what came was looked at.
    seen: usize,
}

impl Terminal {
    /// Starts a command whose terminal this is, 80 columns by 24 rows, with echo off the way to the words waited for.
    pub(super) fn start(mut command: Command, owner: u32) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).expect("a pseudo-terminal");
        rustix::fs::fchown(&pair.slave, Some(rustix::fs::Uid::from_raw(owner)), None).expect("its owner");
        let stream = || pair.slave.try_clone().expect("a descriptor");
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().expect("a command");
        // The command keeps the only copies of its side, so that the end of all its processes is seen here.
        drop(command);
        drop(pair.slave);
        let keyboard = File::from(pair.master);
        let screen = Arc::<Screen>::default();
        let (mut from, to) = (keyboard.try_clone().expect("a descriptor"), screen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                to.bytes.lock().expect("the screen").extend_from_slice(&buffer[..count]);
                to.more.notify_all();
            }
        });
        Self { keyboard, child, screen, seen: 0 }
    }

    /// Types.
    pub(crate) fn send(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a keyboard");
    }

    /// Waits for words to come up after those that were waited for last, and answers what came with them.
    #[track_caller]
    pub(crate) fn expect(&mut self, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut bytes = self.screen.bytes.lock().expect("the screen");
        loop {
            let new = &bytes[self.seen..];
            if let Some(at) = new.windows(words.len()).position(|window| window == words.as_bytes()) {
                let text = String::from_utf8_lossy(&new[..at + words.len()]).into_owned();
                self.seen += at + words.len();
                return text;
            }
            let left = end.saturating_duration_since(Instant::now());
            let all = String::from_utf8_lossy(&bytes).into_owned();
            assert!(!left.is_zero(), "{words:?} did not come up; on the screen:\n{all}");
            bytes = self.screen.more.wait_timeout(bytes, left).expect("the screen").0;
        }
    }

    /// Answers questions by keys, in their order.
    #[track_caller]
    pub(crate) fn answer(&mut self, answers: &[(&str, &str)]) {
        for (question, keys) in answers {
            self.expect(question);
            self.send(keys);
        }
    }

    /// What came up so far.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.bytes.lock().expect("the screen")).into_owned()
    }

    /// Makes the window another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.keyboard.as_fd(), size).expect("a window");
    }

    /// Waits for the command's end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        outcome::wait(&mut self.child, "what runs on the terminal")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
