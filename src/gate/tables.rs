//! Addresses that a gate answered, in tables of pf. An entry of a table has no end, so what has had its time is taken out here.

use super::fill::Answer;
use crate::{
    formats::{ipset, pf},
    host::{Act, Command, HostError, Program},
    model::{Uid, desired::Firewall},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// The tables of one agent that its gate fills.
pub struct Tables {
    uid: Uid,
    names: Vec<String>,
    /// What is in them; none where that is not known.
    there: Option<BTreeSet<(String, IpAddr)>>,
}

impl Tables {
    /// The tables of a policy, with whatever is in them.
    pub fn of(firewall: &Firewall) -> Self {
        let names = ipset::answer_sets(firewall).into_iter().map(|set| set.name).collect();
        Self { uid: firewall.uid, names, there: None }
    }

    fn pfctl<'a>(&'a self, table: &'a str, verb: &'a str) -> Vec<String> {
        ["-a", &pf::anchor(self.uid), "-t", table, "-T", verb].map(str::to_owned).into()
    }

    /// Puts answers in, whether they are there or not: somebody else may have emptied a table.
    pub fn add(&mut self, answers: &[Answer], machine: &mut dyn Act) -> Result<(), HostError> {
        let mut tables: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
        for answer in answers {
            tables.entry(&answer.set).or_default().insert(answer.address);
        }
        for (table, addresses) in tables {
            let mut arguments = self.pfctl(table, "add");
            arguments.extend(addresses.iter().map(ToString::to_string));
            machine.run(&Command::new(Program::Pfctl, arguments.iter().map(String::as_str)))?;
        }
        if let Some(there) = &mut self.there {
            there.extend(answers.iter().map(|answer| (answer.set.clone(), answer.address)));
        }
        Ok(())
    }

    /// Whether nothing but this is known to be there.
    pub fn hold_only(&self, living: &[Answer]) -> bool {
        let living: BTreeSet<_> = living.iter().map(|answer| (answer.set.as_str(), answer.address)).collect();
        let lives = |(table, address): &(String, IpAddr)| living.contains(&(table.as_str(), *address));
        self.there.as_ref().is_some_and(|there| there.iter().all(lives))
    }

    /// What is there is not known any more.
    pub fn forget(&mut self) {
        self.there = None;
    }

    /// Makes each table hold this and nothing else.
    pub fn replace(&mut self, living: &[Answer], machine: &mut dyn Act) -> Result<(), HostError> {
        self.forget();
        for table in &self.names {
            let of_it = living.iter().filter(|answer| answer.set == *table);
            let text = of_it.fold(String::new(), |text, answer| text + &answer.address.to_string() + "\n");
            let mut arguments = self.pfctl(table, "replace");
            arguments.extend(["-f".to_owned(), "-".to_owned()]);
            let command = Command::new(Program::Pfctl, arguments.iter().map(String::as_str));
            machine.run(&command.reading(text))?;
        }
        self.there = Some(living.iter().map(|answer| (answer.set.clone(), answer.address)).collect());
        Ok(())
    }
}
