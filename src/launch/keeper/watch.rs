//! The keeper's loop: events from inotify(7), a sweep where events were lost, and the end.

use super::sessions;
use crate::{
    model::Uid,
    share::{Kept, Told},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{CreateFlags, ReadFlags, Reader, init},
    io::Errno,
};
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

/// How often it looks whether sessions run.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// How long it stays after the last one: for the next command of a script.
const LINGER: Duration = Duration::from_secs(5);
/// How often it sweeps where watches ran out.
const BLIND: Duration = Duration::from_secs(10);

/// Keeps the trees until no process of `agents` has been `running` for a while. `missing` hears of agents without a keeper,
/// `left` times at most.
pub(super) fn run(
    trees: &[Kept],
    agents: &[Uid],
    running: impl Fn() -> bool,
    mut left: u32,
    missing: impl Fn(&[Uid]),
) -> io::Result<()> {
    if trees.is_empty() {
        return Ok(());
    }
    let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    sweep(trees, inotify.as_fd());
    let (mut seen, mut looked, mut swept) = (Instant::now(), Instant::now(), Instant::now());
    let mut tidy = true;
    loop {
        let events = wait(inotify.as_fd())?;
        if events && !mend(trees, inotify.as_fd())? {
            sweep(trees, inotify.as_fd());
            swept = Instant::now();
        }
        if looked.elapsed() < LOOK {
            continue;
        }
        looked = Instant::now();
        let running = running();
        if left > 0 && (running || !tidy) {
            let alone = sessions::without_keeper(agents);
            if !alone.is_empty() {
                left -= 1;
                missing(&alone);
            }
        }
        let blind = trees.iter().any(Kept::is_blind) && swept.elapsed() > BLIND;
        if running {
            (seen, tidy) = (Instant::now(), false);
        }
        if blind || !running && !tidy {
            // The last process is gone: what an event has not told of is found now.
            sweep(trees, inotify.as_fd());
            swept = Instant::now();
            tidy |= !running;
        } else if !running && seen.elapsed() > LINGER {
            return Ok(());
        }
    }
}

fn sweep(trees: &[Kept], inotify: BorrowedFd<'_>) {
    for tree in trees {
        // One that can't be walked has no keeper, and no harm done.
        let _ = tree.sweep(inotify);
    }
}

/// Waits for events until it is time to look for sessions.
fn wait(inotify: BorrowedFd<'_>) -> io::Result<bool> {
    let mut one = [PollFd::new(&inotify, PollFlags::IN)];
    let most = Timespec { tv_sec: 1, tv_nsec: 0 };
    match poll(&mut one, Some(&most)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Mends what the waiting events name; false where some were lost.
fn mend(trees: &[Kept], inotify: BorrowedFd<'_>) -> io::Result<bool> {
    let mut room = [MaybeUninit::<u8>::uninit(); 16 * 1024];
    let mut events = Reader::new(inotify, &mut room);
    let began = Instant::now();
    let mut mending: Vec<_> = trees.iter().map(|tree| tree.mending(inotify)).collect();
    // Under a flood it looks up now and then, for sessions may have ended; what has been read is worked off first.
    while !events.is_buffer_empty() || began.elapsed() < LOOK {
        let event = match events.next() {
            Ok(event) => event,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        let told = event.events();
        if told.contains(ReadFlags::QUEUE_OVERFLOW) {
            return Ok(false);
        }
        if told.contains(ReadFlags::IGNORED) {
            for tree in trees {
                tree.forget(event.wd());
            }
        } else if let Some(name) = event.file_name() {
            let told = match told {
                told if told.contains(ReadFlags::MOVED_TO) => Told::MovedIn,
                told if told.contains(ReadFlags::CREATE) => Told::Made,
                _ => Told::Changed,
            };
            mending.iter_mut().any(|tree| tree.mend(event.wd(), name, told));
        }
    }
    Ok(true)
}
