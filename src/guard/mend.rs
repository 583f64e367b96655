//! The quick half of a repair: what is wholly gone comes back in three processes, one for each table, side by side. The whole
//! comparison, and what is subtler, comes after it.

use crate::{
    formats::{iptables, nft},
    host::{Act, Command, HostError, Observe, Program, Query, System},
    model::Family,
    step::Netfilter,
};
use std::thread;

/// Puts the tables of an agent in force that are not, and answers how many these were. What fails is left to the whole
/// repair, which tells why.
pub(super) fn mend(step: &Netfilter) -> usize {
    thread::scope(|scope| {
        let families = step.families.iter().map(|family| scope.spawn(|| rules(step, *family)));
        // All of them are started before the first is waited for.
        let started: Vec<_> = families.chain([scope.spawn(|| mirror(step))]).collect();
        let done = started.into_iter().map(thread::ScopedJoinHandle::join);
        done.filter(|one| matches!(one, Ok(Ok(true)))).count()
    })
}

/// The chains of one family, and the jumps to them in front of all else: one transaction.
fn rules(step: &Netfilter, family: Family) -> Result<bool, HostError> {
    let mut machine = System::new();
    let output = machine.query(&Query::FilterTable(family))?;
    let table = String::from_utf8_lossy(&output.stdout);
    let (firewall, wanted) = (&step.firewall, iptables::render(&step.firewall, family));
    let jumps_hold = step.jumps_hold(&iptables::output(&table));
    if jumps_hold && iptables::parse(&table, firewall.uid) == iptables::parse(&wanted, firewall.uid) {
        return Ok(false);
    }
    let jumps = iptables::jumps(firewall).into_iter().enumerate().filter(|_| !jumps_hold);
    let jumps: String = jumps.map(|(at, rule)| format!("-I OUTPUT {} {rule}\n", at + 1)).collect();
    let program = match family {
        Family::V4 => Program::IptablesRestore,
        Family::V6 => Program::Ip6tablesRestore,
    };
    let input = wanted.replacen("COMMIT\n", &format!("{jumps}COMMIT\n"), 1);
    machine.run(&Command::new(program, ["--noflush", "--wait", "5"]).reading(input))?;
    Ok(true)
}

/// The table of nftables, where it is gone.
fn mirror(step: &Netfilter) -> Result<bool, HostError> {
    let mut machine = System::new();
    if machine.query(&Query::NftTable("inet", nft::table(&step.firewall)))?.status.success() {
        return Ok(false);
    }
    machine.run(&Command::new(Program::Nft, ["-f", "-"]).reading(nft::render(&step.firewall)))?;
    Ok(true)
}
