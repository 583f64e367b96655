//! The quick half of a repair: each table is read by one process and loaded by another, all tables side by side. The whole
//! comparison, which looks at sets too and tells what failed, comes when it is quiet again.

use crate::{
    formats::iptables,
    host::{Act, HostError, Observe, Query, System},
    model::Family,
    step::{AnyStep, Check, Netfilter, NftTable, Step},
};
use std::thread;

/// Puts the tables of an agent in force that are not, and answers how many these were. What fails is left to the whole
/// repair, which tells why.
pub(super) fn mend(steps: &[AnyStep]) -> usize {
    thread::scope(|scope| {
        // All of them are started before the first is waited for.
        let mut started = Vec::new();
        for step in steps {
            match step {
                AnyStep::Netfilter(step) => {
                    started.extend(step.families.iter().map(|family| scope.spawn(|| rules(step, *family))));
                }
                AnyStep::NftTable(step) => started.push(scope.spawn(|| mirror(step))),
                _ => {}
            }
        }
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
    let output = iptables::output(&table);
    if step.jumps_hold(&output)
        && iptables::parse(&table, firewall.uid) == iptables::parse(&wanted, firewall.uid)
    {
        return Ok(false);
    }
    machine.run(&step.transaction(family, &output))?;
    Ok(true)
}

/// The table of nftables.
fn mirror(step: &NftTable) -> Result<bool, HostError> {
    let mut machine = System::new();
    if step.check(&machine)? == Check::Satisfied {
        return Ok(false);
    }
    step.apply(&mut machine).map(|_| true)
}
