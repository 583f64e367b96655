//! Tables of pf, as long as the agent's anchor is loaded.

use super::{Answer, Fill};
use crate::{
    gate::{Order, tables::Tables},
    host::{System, places},
};
use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

/// How often it is looked at whether something has had its time.
const LOOK: Duration = Duration::from_secs(5);

struct Loaded {
    tables: Tables,
    /// Written with each load of the anchor, and removed with it.
    record: PathBuf,
    when: Option<SystemTime>,
    looked: Option<Instant>,
}

/// The tables of an agent.
pub(crate) fn open(order: &Order) -> io::Result<Box<dyn Fill>> {
    let name = order.agent.parse().map_err(io::Error::other)?;
    let record = places::pf_record(&name).as_path().to_owned();
    Ok(Box::new(Loaded { tables: Tables::of(&order.firewall), record, when: None, looked: None }))
}

impl Loaded {
    /// Fails where the anchor is not loaded: pfctl(8) would make one of the tables alone. A load that came since has emptied
    /// them, but for what its step carried over.
    fn follow(&mut self) -> io::Result<()> {
        let when = fs::metadata(&self.record)?.modified()?;
        if self.when.replace(when) != Some(when) {
            self.tables.forget();
            self.looked = None;
        }
        Ok(())
    }
}

impl Fill for Loaded {
    fn add(&mut self, answers: &[Answer]) -> io::Result<()> {
        self.follow()?;
        self.tables.add(answers, &mut System::new()).map_err(io::Error::other)
    }

    fn keep(&mut self, living: &dyn Fn() -> Vec<Answer>) {
        if self.follow().is_err() || self.looked.is_some_and(|last| last.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        let living = living();
        if !self.tables.hold_only(&living) {
            // What failed is tried again at the next look.
            let _ = self.tables.replace(&living, &mut System::new());
        }
    }
}
