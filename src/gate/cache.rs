//! Answers that are remembered for as long as their TTL says.

use super::message::{Answer, Kind};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The most answers that are remembered.
const ROOM: usize = 20_000;

/// What is known of names.
#[derive(Default)]
pub struct Cache {
    entries: HashMap<(String, Kind), (Answer, Instant)>,
}

impl Cache {
    /// Remembers what a resolver said; a failure is not worth it.
    pub fn put(&mut self, name: &str, kind: Kind, answer: &Answer, now: Instant) {
        let (Answer::Addresses(_, ttl @ 1..) | Answer::NoSuchName(ttl @ 1..)) = answer else { return };
        if self.entries.len() >= ROOM {
            self.entries.retain(|_, (_, end)| *end > now);
        }
        if self.entries.len() >= ROOM {
            self.entries.clear();
        }
        let end = now + Duration::from_secs((*ttl).into());
        self.entries.insert((name.to_owned(), kind), (answer.clone(), end));
    }

    /// What is known of a name, with the seconds that are left.
    pub fn get(&self, name: &str, kind: Kind, now: Instant) -> Option<Answer> {
        let (answer, end) = self.entries.get(&(name.to_owned(), kind))?;
        let left = end.checked_duration_since(now).filter(|left| !left.is_zero())?;
        // Rounded down, but never to nothing: in what is left of its last second it may still be used.
        let left = u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1);
        Some(match answer {
            Answer::Addresses(addresses, _) => Answer::Addresses(addresses.clone(), left),
            Answer::NoSuchName(_) => Answer::NoSuchName(left),
            other => other.clone(),
        })
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
        assert_eq!(cache.get("a.example", Kind::A, later(10)), Some(addresses(20)));
        assert_eq!(cache.get("a.example", Kind::A, later(30)), None);
        assert_eq!(cache.get("a.example", Kind::Aaaa, now), None);
        assert_eq!(cache.get("b.example", Kind::A, now), None);
        assert_eq!(cache.get("c.example", Kind::A, now), None);
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
