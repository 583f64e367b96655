//! What a policy comes to on a Mac.

use super::renewal;
use crate::{
    cli::{Failure, situation::Situation},
    host::{Observe, macos},
    model::{
        AbsPath, AccountName,
        facts::{Facts, Person},
    },
    policy::{Inbound, Policy},
};

/// The facts for a policy.
pub(in crate::cli) fn facts(policy: &Policy, machine: &dyn Observe) -> Result<Facts, Failure> {
    Ok(macos::facts(policy, machine)?)
}

/// What must be there before anything can be set up.
pub(in crate::cli) fn refuse_unfit_machine(facts: &Facts) -> Result<(), Failure> {
    if let Some((program, _)) = facts.missing.first() {
        return Err(Failure::new(anyhow::anyhow!("`{program}`, which is part of macOS, is not there")));
    }
    if !facts.sudo_reads_drop_ins {
        let error = anyhow::anyhow!("/etc/sudoers does not include /etc/sudoers.d");
        let hint = "sudo visudo, and add the line `#includedir /private/etc/sudoers.d`";
        return Err(Failure::new(error).hint(hint));
    }
    Ok(())
}

/// What a person should know of the policy.
pub(in crate::cli) fn notices(situation: &Situation) -> Vec<String> {
    let closed = situation.policy.agents.iter().filter(|(_, agent)| agent.network.inbound == Inbound::None);
    let notice = |(name, _): (&AccountName, _)| {
        format!("agent `{name}`: with `inbound: none` not even itself can call its own servers here")
    };
    closed.map(notice).collect()
}

/// There are no private views.
pub(in crate::cli) fn has_private_view() -> bool {
    false
}

/// Nor mounts that map ids.
#[expect(clippy::unnecessary_wraps, reason = "on Linux a filesystem may carry them")]
pub(in crate::cli) fn why_not_mapped(_: &AbsPath, _: &Person) -> Option<String> {
    Some("macOS has no such mounts".into())
}

/// What is shared is seen by every session.
#[expect(clippy::unnecessary_wraps, reason = "on Linux it can fail")]
pub(in crate::cli) fn sessions_are_behind(
    _: &Situation,
    _: &AccountName,
    _: &AbsPath,
) -> Result<bool, Failure> {
    Ok(false)
}

/// No service and no process of the human's belongs to an agent here.
pub(in crate::cli) fn before_teardown(_: &AccountName) {}

/// The job of launchd goes with the plan of the machine.
pub(in crate::cli) fn after_the_last() {
    renewal::forget();
}
