//! Answers that are remembered for as long as their TTL says.

use super::message::{Answer, Kind};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The most answers that are remembered.
const ROOM: usize = 20_000;

/// How long an answer that was put into the sets is not put there again. It stays there for minutes; but somebody else may
/// empty them and tell nobody, and then the next question has to open the way again. So it is the length of a burst: a
/// program that asks for the same name again and again costs one addition.
const IN_SETS: Duration = Duration::from_millis(250);

/// What is known of names.
#[derive(Default)]
pub struct Cache {
    entries: HashMap<(String, Kind), Entry>,
}

struct Entry {
    answer: Answer,
    end: Instant,
    opened: Option<Instant>,
}

impl Cache {
    /// Remembers what a resolver said; a failure is not worth it.
    pub fn put(&mut self, name: &str, kind: Kind, answer: &Answer, now: Instant) {
        let (Answer::Addresses(_, ttl @ 1..) | Answer::NoSuchName(ttl @ 1..)) = answer else { return };
        if self.entries.len() >= ROOM {
            self.entries.retain(|_, entry| entry.end > now);
        }
        if self.entries.len() >= ROOM {
            self.entries.clear();
        }
        let end = now + Duration::from_secs((*ttl).into());
        let entry = Entry { answer: answer.clone(), end, opened: None };
        self.entries.insert((name.to_owned(), kind), entry);
    }

    /// Remembers that the addresses of a name are in the sets, for they were put there at `since`.
    pub fn opened(&mut self, name: String, kind: Kind, since: Instant) {
        if let Some(entry) = self.entries.get_mut(&(name, kind)) {
            entry.opened = Some(since);
        }
    }

    /// What is known of a name, with the seconds that are left, and whether its addresses were just put into the sets.
    pub fn get(&self, name: &str, kind: Kind, now: Instant) -> Option<(Answer, bool)> {
        let Entry { answer, end, opened } = self.entries.get(&(name.to_owned(), kind))?;
        let left = end.checked_duration_since(now).filter(|left| !left.is_zero())?;
        // Rounded down, but never to nothing: in what is left of its last second it may still be used.
        let left = u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1);
        let answer = match answer {
            Answer::Addresses(addresses, _) => Answer::Addresses(addresses.clone(), left),
            Answer::NoSuchName(_) => Answer::NoSuchName(left),
            other => other.clone(),
        };
        Some((answer, opened.is_some_and(|since| now.saturating_duration_since(since) < IN_SETS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_grows_old() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        let addresses = |ttl| Answer::Addresses(vec!["192.0.2.1".parse().unwrap()], ttl);
        cache.put("a.example", Kind::A, &addresses(30), now);
        cache.put("b.example", Kind::A, &addresses(0), now);
        cache.put("c.example", Kind::A, &Answer::Failed, now);
        assert_eq!(cache.get("a.example", Kind::A, later(10)), Some((addresses(20), false)));
        assert_eq!(cache.get("a.example", Kind::A, later(30)), None);
        assert_eq!(cache.get("a.example", Kind::Aaaa, now), None);
        assert_eq!(cache.get("b.example", Kind::A, now), None);
        assert_eq!(cache.get("c.example", Kind::A, now), None);
    }

    #[test]
    fn what_was_just_opened_is_told_for_a_moment() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put("a.example", Kind::A, &Answer::Addresses(vec!["192.0.2.1".parse().unwrap()], 30), now);
        let is_open =
            |cache: &Cache, kind, after| cache.get("a.example", kind, now + after).map(|(_, open)| open);
        assert_eq!(is_open(&cache, Kind::A, Duration::ZERO), Some(false));
        cache.opened("a.example".into(), Kind::A, now);
        cache.opened("a.example".into(), Kind::Aaaa, now);
        assert_eq!(is_open(&cache, Kind::A, IN_SETS / 2), Some(true));
        assert_eq!(is_open(&cache, Kind::A, IN_SETS), Some(false));
        assert_eq!(is_open(&cache, Kind::Aaaa, Duration::ZERO), None);
    }

    #[test]
    fn it_has_an_end() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for number in 0..=ROOM {
            cache.put(&format!("n{number}.example"), Kind::A, &Answer::NoSuchName(60), now);
        }
        assert!(cache.entries.len() <= ROOM);
    }
}
