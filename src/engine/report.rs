//! A plan compared with the system: what `status` shows and what `setup` would do.

use super::{Plan, Receipt, State};
use crate::{
    host::Observe,
    step::{AnyStep, Check, Description},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// How many steps are looked at side by side.
const AT_ONCE: usize = 4;

/// One step, compared.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// The step's id.
    pub id: String,
    /// The step in words.
    pub description: Description,
    /// How the system compares.
    pub check: Check,
    /// It is in the receipt and no longer in the plan: `setup` takes it back.
    pub left_over: bool,
}

/// Compares each step of a plan with the system, and names what the receipt holds beyond the plan.
///
/// What can't be read is unknown, never satisfied.
pub fn report(plan: &Plan, receipt: &Receipt, machine: &dyn Observe) -> Vec<StepReport> {
    let checks = checks(&plan.steps, receipt, machine);
    let mut reports: Vec<_> = plan
        .steps
        .iter()
        .zip(checks)
        .map(|(step, check)| StepReport {
            id: step.id(),
            description: step.describe(),
            check,
            left_over: false,
        })
        .collect();
    let in_plan = |id: &String| plan.steps.iter().any(|step| step.id() == *id);
    for entry in &receipt.entries {
        let id = entry.step.id();
        if !in_plan(&id) {
            let check = Check::Drifted(vec!["the policy no longer asks for it".into()]);
            reports.push(StepReport { id, description: entry.step.describe(), check, left_over: true });
        }
    }
    reports
}

/// How the system compares with each of these steps. Most of the time goes to programs that are asked, so several are
/// asked at once.
pub(super) fn checks(steps: &[AnyStep], receipt: &Receipt, machine: &dyn Observe) -> Vec<Check> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((at, step)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            steps.get(at).map(|step| (at, step))
        } {
            found.push((at, check(step, receipt, machine)));
        }
        found
    };
    let mut found: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.flat_map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, check)| check).collect()
}

/// How the system compares with a step, in the light of its receipt.
pub(super) fn check(step: &AnyStep, receipt: &Receipt, machine: &dyn Observe) -> Check {
    let check = match step.check(machine) {
        Ok(check) => check,
        Err(error) => return Check::Unknown(error.to_string()),
    };
    match receipt.entry(&step.id()).map(|entry| entry.state) {
        None => step.unclaimed(check),
        Some(State::Applying) if check == Check::Satisfied => {
            Check::Drifted(vec!["an earlier setup was interrupted here".into()])
        }
        Some(_) => check,
    }
}
