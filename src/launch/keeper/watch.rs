//! The keeper's loop: events from inotify(7), a sweep where events were lost, and the end.

use super::sessions;
use crate::{
    model::Uid,
    share::{Inbox, Kept},
};
use std::{
    io,
    ops::Range,
    time::{Duration, Instant},
};

/// How often it looks whether sessions run.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// How long it stays after the last one: for the next command of a script.
const LINGER: Duration = Duration::from_secs(5);
/// So many names at once are told by somebody who goes on; more, and the keeper is behind.
const FLOOD: Range<usize> = 8..1024;
/// How long it lets such a one go on.
const BREATH: Duration = Duration::from_millis(2);
/// How often it sweeps where watches ran out.
const BLIND: Duration = Duration::from_secs(10);

/// Keeps the trees until no process of `agents` has been `running` for a while. `missing` hears of agents without a keeper,
/// `left` times at most. Whoever can't tell any more whether they run ends it.
pub(super) fn run(
    trees: &[Kept],
    agents: &[Uid],
    running: impl Fn() -> io::Result<bool>,
    mut left: u32,
    missing: impl Fn(&[Uid]),
) -> io::Result<()> {
    if trees.is_empty() {
        return Ok(());
    }
    let inbox = Inbox::new()?;
    sweep(trees, &inbox);
    let (mut seen, mut looked, mut swept) = (Instant::now(), Instant::now(), Instant::now());
    let mut tidy = true;
    loop {
        let again = trees.iter().filter_map(Kept::again_at).min();
        let pause = again.map(|again| again.saturating_duration_since(Instant::now()));
        if inbox.wait(pause.map_or(LOOK, |pause| pause.min(LOOK)))? && !mend(trees, &inbox)? {
            sweep(trees, &inbox);
            swept = Instant::now();
        }
        if again.is_some_and(|again| again <= Instant::now()) {
            for tree in trees {
                tree.look_again(&inbox);
            }
        }
        if looked.elapsed() < LOOK {
            continue;
        }
        looked = Instant::now();
        let running = running()?;
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
            sweep(trees, &inbox);
            swept = Instant::now();
            tidy |= !running;
        } else if !running && seen.elapsed() > LINGER {
            return Ok(());
        }
    }
}

fn sweep(trees: &[Kept], inbox: &Inbox) {
    for tree in trees {
        // One that can't be walked has no keeper, and no harm done.
        let stale = tree.sweep(inbox).unwrap_or_default();
        // A directory that was moved to another project took its watch along.
        for watch in stale.into_iter().filter(|watch| !trees.iter().any(|tree| tree.has(*watch))) {
            inbox.unwatch(watch);
        }
    }
}

/// Mends what the waiting events name; false where some were lost.
fn mend(trees: &[Kept], inbox: &Inbox) -> io::Result<bool> {
    let began = Instant::now();
    let mut mending: Vec<_> = trees.iter().map(|tree| tree.mending(inbox)).collect();
    // Under a flood it looks up now and then, for sessions may have ended.
    while began.elapsed() < LOOK {
        inbox.take_in()?;
        let batch = inbox.batch();
        if batch.is_empty() {
            return Ok(true);
        }
        // First, for a new directory may have got a number that was theirs.
        for watch in batch.gone {
            for tree in trees {
                tree.forget(watch);
            }
        }
        if batch.lost {
            return Ok(false);
        }
        let told = batch.named.len();
        for ((watch, name), told) in batch.named {
            if !mending.iter_mut().any(|tree| tree.mend(watch, &name, told)) {
                // Moved out of all projects: nobody has to hear of it, and the watch is one of few.
                inbox.unwatch(watch);
            }
        }
        // Close behind whoever makes many files it would be woken for each, and again for each step of their making.
        if FLOOD.contains(&told) {
            std::thread::sleep(BREATH);
        }
    }
    Ok(true)
}
