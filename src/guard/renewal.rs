//! When addresses of names and published ranges are looked up anew: now and then, and when the network comes up.
//!
//! It is done by this program again, `helper renew`, as a process of its own: the guard goes on meanwhile. What fetches and
//! resolves is a child of that one, without privilege. What it says is in the journal of the service.

use super::{complain, jittered};
use crate::host::start_renewal;
use std::{
    process::Child,
    time::{Duration, Instant},
};

/// How often names are resolved anew.
const NAMES: Duration = Duration::from_mins(15);
/// How often ranges are fetched: they change every few days.
const RANGES: Duration = Duration::from_hours(24);
/// The pause after ranges could not be fetched.
const RANGES_AGAIN: Duration = Duration::from_hours(1);
/// So long after it started the guard does both for the first time, for it is started anew by each setup.
const FIRST: Duration = Duration::from_mins(10);
/// So long after a default route came a name server answers, as a rule.
const SETTLED: Duration = Duration::from_secs(2);
/// The least time between two of them, for a network can come up again and again.
const PAUSE: Duration = Duration::from_mins(1);

/// When it is done, and by whom at the moment.
pub(super) struct Renewal {
    running: Option<(Child, bool)>,
    last: Option<Instant>,
    names: Instant,
    ranges: Instant,
}

impl Renewal {
    /// Nothing done yet.
    pub(super) fn new(now: Instant) -> Self {
        let first = now + jittered(FIRST);
        Self { running: None, last: None, names: first, ranges: first }
    }

    /// The network came up: what could not be had without it can now.
    pub(super) fn network_is_up(&mut self, now: Instant) {
        let soon = now + jittered(SETTLED);
        let soon = self.last.map_or(soon, |last| soon.max(last + PAUSE));
        self.names = self.names.min(soon);
    }

    /// When there is something to do next.
    pub(super) fn next(&self) -> Instant {
        // A process that ends is not waited for: it is found at the next look.
        self.names.min(self.ranges)
    }

    /// Does what it is time for.
    pub(super) fn go_on(&mut self, now: Instant) {
        if let Some((child, ranges)) = &mut self.running {
            match child.try_wait() {
                Ok(None) => {
                    (self.names, self.ranges) = (self.names.max(now + PAUSE), self.ranges.max(now + PAUSE));
                    return;
                }
                Ok(Some(status)) if status.success() => {}
                _ if *ranges => self.ranges = now + jittered(RANGES_AGAIN),
                _ => {}
            }
            self.running = None;
        }
        let ranges = self.ranges <= now;
        if !ranges && self.names > now {
            return;
        }
        self.last = Some(now);
        self.names = now + jittered(NAMES);
        if ranges {
            self.ranges = now + jittered(RANGES);
        }
        match start_renewal(ranges) {
            Ok(child) => self.running = Some((child, ranges)),
            Err(error) => complain(&format!("names and ranges are not looked up anew: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_comes_up_makes_it_soon_but_not_often() {
        let now = Instant::now();
        let mut renewal = Renewal::new(now);
        assert!(renewal.next() >= now + FIRST);
        renewal.network_is_up(now);
        assert!(renewal.next() >= now + SETTLED && renewal.next() <= now + SETTLED * 2);
        renewal.last = Some(now);
        renewal.names = now + NAMES;
        renewal.network_is_up(now);
        assert_eq!(renewal.next(), now + PAUSE);
        let first = renewal.ranges;
        renewal.network_is_up(now + PAUSE);
        assert_eq!(renewal.ranges, first);
    }
}
