//! Keeping refusals few: each name is told once and then counted, and names below a wildcard have a budget.

use super::{link::Request, rules::Refusal};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How often repeats are told.
const WINDOW: Duration = Duration::from_secs(5);
/// The most names that are told in that time; others are told together.
const MOST_NAMES: usize = 500;
/// How the others are called.
const OTHERS: &str = "(others)";

/// Refusals since the last time that they were told.
pub(super) struct Refusals {
    counts: HashMap<(Refusal, String), u32>,
    since: Instant,
}

impl Refusals {
    pub(super) fn new(now: Instant) -> Self {
        Self { counts: HashMap::new(), since: now }
    }

    /// Whether there is something to tell later.
    pub(super) fn is_counting(&self) -> bool {
        !self.counts.is_empty()
    }

    /// Notes a refusal; the first one of a name is to be told now.
    pub(super) fn note(&mut self, why: Refusal, name: String) -> Option<Request> {
        let room = self.counts.len() < MOST_NAMES;
        if let Some(count) = self.counts.get_mut(&(why, name.clone())) {
            *count += 1;
            return None;
        }
        if !room {
            *self.counts.entry((why, OTHERS.into())).or_default() += 1;
            return None;
        }
        self.counts.insert((why, name.clone()), 0);
        Some(Request::Refused { why, count: 1, name })
    }

    /// The repeats, when it is time to tell them.
    pub(super) fn repeats(&mut self, now: Instant) -> Vec<Request> {
        if now.duration_since(self.since) < WINDOW {
            return Vec::new();
        }
        self.since = now;
        let counted = self.counts.drain().filter(|(_, count)| *count > 0);
        counted.map(|((why, name), count)| Request::Refused { why, count, name }).collect()
    }
}

/// How many names below wildcards may still be asked for: their spelling could carry data to whoever serves the names.
pub(super) struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    const MOST: f64 = 300.0;
    const A_SECOND: f64 = 2.0;

    pub(super) fn new(now: Instant) -> Self {
        Self { left: Self::MOST, at: now }
    }

    /// Takes one, where there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.left = (self.left + now.duration_since(self.at).as_secs_f64() * Self::A_SECOND).min(Self::MOST);
        self.at = now;
        let enough = self.left >= 1.0;
        self.left -= f64::from(u8::from(enough));
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_once_then_counted() {
        let now = Instant::now();
        let mut refusals = Refusals::new(now);
        let told = |count, name: &str| Request::Refused { why: Refusal::NotListed, count, name: name.into() };
        assert_eq!(refusals.note(Refusal::NotListed, "a.example".into()), Some(told(1, "a.example")));
        assert_eq!(refusals.note(Refusal::NotListed, "a.example".into()), None);
        assert_eq!(refusals.note(Refusal::NotListed, "a.example".into()), None);
        assert_eq!(refusals.repeats(now), []);
        assert_eq!(refusals.repeats(now + WINDOW), [told(2, "a.example")]);
        assert!(!refusals.is_counting());
        for number in 0..MOST_NAMES + 10 {
            refusals.note(Refusal::NotListed, format!("n{number}.example"));
        }
        assert_eq!(refusals.repeats(now + WINDOW * 2), [told(10, OTHERS)]);
    }

    #[test]
    fn a_budget_fills_up_again() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        assert_eq!((0..1000).filter(|_| budget.take(now)).count(), 300);
        let later = now + Duration::from_secs(5);
        assert_eq!((0..1000).filter(|_| budget.take(later)).count(), 10);
    }
}
