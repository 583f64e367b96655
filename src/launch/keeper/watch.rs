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
    collections::HashMap,
    ffi::{CStr, CString},
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
    let mut again = Instant::now();
    loop {
        let pause = trees.iter().filter_map(Kept::again_in).min();
        let events =
            wait(inotify.as_fd(), pause.map_or(LOOK, |pause| pause.saturating_sub(again.elapsed())))?;
        if events && !mend(trees, inotify.as_fd())? {
            sweep(trees, inotify.as_fd());
            swept = Instant::now();
        }
        if pause.is_some_and(|pause| again.elapsed() >= pause) {
            for tree in trees {
                tree.look_again(inotify.as_fd());
            }
            again = Instant::now();
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

/// Waits for events, for some time.
fn wait(inotify: BorrowedFd<'_>, most: Duration) -> io::Result<bool> {
    let mut one = [PollFd::new(&inotify, PollFlags::IN)];
    let most = Timespec { tv_sec: most.as_secs().cast_signed(), tv_nsec: most.subsec_nanos().into() };
    match poll(&mut one, Some(&most)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Mends what the waiting events name; false where some were lost.
fn mend(trees: &[Kept], inotify: BorrowedFd<'_>) -> io::Result<bool> {
    let mut room = vec![MaybeUninit::<u8>::uninit(); 64 * 1024];
    let mut events = Reader::new(inotify, &mut room);
    let began = Instant::now();
    let mut mending: Vec<_> = trees.iter().map(|tree| tree.mending(inotify)).collect();
    let mut batch = Batch::default();
    // Under a flood it looks up now and then, for sessions may have ended; what has been read is worked off first.
    while began.elapsed() < LOOK {
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
                Err(errno) => return Err(errno.into()),
            };
            let told = event.events();
            if told.contains(ReadFlags::QUEUE_OVERFLOW) {
                return Ok(false);
            }
            batch.add(event.wd(), told, event.file_name());
            if events.is_buffer_empty() {
                break;
            }
        }
        for ((watch, name), told) in batch.named.drain(..) {
            mending.iter_mut().any(|tree| tree.mend(watch, &name, told));
        }
        for watch in batch.gone.drain(..) {
            for tree in trees {
                tree.forget(watch);
            }
        }
        batch.known.clear();
    }
    Ok(true)
}

/// Events that were read together. All of them happened before anything is looked at, so that one look at a name is enough.
#[derive(Default)]
struct Batch {
    /// Watches and names in the order in which they came up.
    named: Vec<((i32, CString), Told)>,
    /// Where each is in that list.
    known: HashMap<(i32, CString), usize>,
    /// Watches that the kernel took away: nothing comes of them after that.
    gone: Vec<i32>,
}

impl Batch {
    fn add(&mut self, watch: i32, events: ReadFlags, name: Option<&CStr>) {
        if events.contains(ReadFlags::IGNORED) {
            self.gone.push(watch);
        } else if let Some(name) = name {
            let key = (watch, name.to_owned());
            let at = *self.known.entry(key.clone()).or_insert_with(|| {
                self.named.push((key, Told::default()));
                self.named.len() - 1
            });
            let told = &mut self.named[at].1;
            told.made |= events.contains(ReadFlags::CREATE);
            told.moved_in |= events.contains(ReadFlags::MOVED_TO);
            told.changed |= events.contains(ReadFlags::ATTRIB);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_at_a_name_for_all_that_was_told_of_it() {
        let mut batch = Batch::default();
        batch.add(1, ReadFlags::CREATE | ReadFlags::ISDIR, Some(c"a"));
        batch.add(2, ReadFlags::ATTRIB, Some(c"a"));
        batch.add(1, ReadFlags::ATTRIB, Some(c"a"));
        batch.add(2, ReadFlags::IGNORED, None);
        let told = |watch, made, changed| ((watch, c"a".to_owned()), Told { made, changed, moved_in: false });
        assert_eq!(batch.named, [told(1, true, true), told(2, false, true)]);
        assert_eq!(batch.gone, [2]);
    }
}
