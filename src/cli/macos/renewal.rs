//! When addresses of names and published ranges are looked up anew: the job that launchd starts each minute has it done now and
//! then, by a process of its own, `helper renew`. When that was is told by files that a restart takes away.

use crate::host::{places, start_renewal};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

/// How often names are resolved anew, and how soon ranges are tried again that could not be fetched.
const NAMES: Duration = Duration::from_mins(15);
/// How often ranges are fetched: they change every few days.
const RANGES: Duration = Duration::from_hours(24);

/// The names of the files.
const STAMPS: [&str; 2] = ["names-renewed", "ranges-renewed"];

fn stamp(name: &str) -> PathBuf {
    Path::new(places::RUNTIME).join(name)
}

/// Whether it is longer ago than this, or not known to have been at all. A clock that was set back counts as long ago.
fn is_due(name: &str, after: Duration) -> bool {
    let when = fs::metadata(stamp(name)).and_then(|is| is.modified());
    !when.is_ok_and(|when| when.elapsed().is_ok_and(|ago| ago < after))
}

/// Starts it, where it is time for it. What it can't have is tried again the next time; what it says is in the job's log.
pub(super) fn start_when_due() {
    let [names, ranges] = STAMPS;
    if !is_due(names, NAMES) {
        return;
    }
    // Without a note of it, it would be done each minute.
    if File::create(stamp(names)).is_err() {
        return;
    }
    if start_renewal(is_due(ranges, RANGES)).is_err() {
        let _ = fs::remove_file(stamp(names));
    }
}

/// Notes that ranges were fetched.
pub(in crate::cli) fn ranges_are_new() {
    let _ = File::create(stamp(STAMPS[1]));
}

/// Removes the notes.
pub(super) fn forget() {
    for name in STAMPS {
        let _ = fs::remove_file(stamp(name));
    }
}
