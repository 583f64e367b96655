//! `doctor`: attacks the isolation, and believes nothing that it did not see.
//!
//! ```text
//! bait        what the human lays out: servers, files, a variable, an open file
//! probe       one attempt for each way around, by the same code in two places
//! system      which of them there are on this system, and those that it has alone
//! programs    attempts by programs of macOS
//! toolchains  what of the human's own tools the agent can't reach
//! ```
//!
//! Each probe runs twice: by the human, where it must find an opening, and by the agent inside a session. Where the human's
//! found none, the agent's proves nothing, and the answer is that it can't be told.

pub mod bait;
pub mod probe;
pub mod programs;
crate::on_linux! {
    #[path = "linux.rs"]
    mod system;
}
crate::on_macos! {
    #[path = "macos.rs"]
    mod system;
}
// What is tried on macOS is tested everywhere.
#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "on macOS it is the system's as well")]
#[path = "macos.rs"]
mod of_macos;
pub mod toolchains;

pub use bait::{Bait, Laid};
pub use probe::{Probe, Seen};

use serde::Serialize;
use std::collections::BTreeMap;

/// What a probe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The human gets through, the agent does not.
    Closed,
    /// The agent gets through, and the policy or this version says so.
    Stated,
    /// The agent gets through.
    Open,
    /// The human found no opening either, or the probe did not run.
    Untold,
}

/// One line of the answer.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The probe.
    pub probe: Probe,
    /// The way around, as docs/bypasses.md numbers it.
    pub bypass: &'static str,
    /// What was attempted.
    pub what: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was seen, or why nothing can be told.
    pub detail: String,
}

/// What both looks saw.
pub type Looks = BTreeMap<Probe, Seen>;

/// Judges the agent's looks by the human's. `stated` tells where an opening is one that the policy leaves.
pub fn judge(agent: &Looks, human: &Looks, stated: impl Fn(Probe) -> Option<&'static str>) -> Vec<Finding> {
    let finding = |probe: Probe| {
        let (verdict, detail) = match (agent.get(&probe), human.get(&probe)) {
            // What the agent reached needs no control.
            (Some(Seen::Open(how)), _) => match stated(probe) {
                Some(why) => (Verdict::Stated, format!("{how}; {why}")),
                None => (Verdict::Open, how.clone()),
            },
            (Some(Seen::Closed(how)), Some(Seen::Open(_))) => (Verdict::Closed, how.clone()),
            (_, Some(Seen::Closed(why) | Seen::Untold(why))) => {
                (Verdict::Untold, format!("the control found no opening: {why}"))
            }
            (Some(Seen::Untold(why)), _) => (Verdict::Untold, why.clone()),
            _ => (Verdict::Untold, "the probe did not run".into()),
        };
        Finding { probe, bypass: probe.bypass(), what: probe.what(), verdict, detail }
    };
    system::PROBES.iter().copied().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_closed_without_a_control() {
        let (open, closed) = (Seen::Open("it answered".into()), Seen::Closed("EPERM".into()));
        let untold = Seen::Untold("there is none".into());
        let verdict = |agent: Option<&Seen>, human: Option<&Seen>, stated: Option<&'static str>| {
            let looks =
                |seen: Option<&Seen>| seen.map(|seen| (Probe::Tcp4, seen.clone())).into_iter().collect();
            let all = judge(&looks(agent), &looks(human), |_| stated);
            all.iter().find(|finding| finding.probe == Probe::Tcp4).unwrap().verdict
        };
        assert_eq!(verdict(Some(&closed), Some(&open), None), Verdict::Closed);
        for human in [&closed, &untold] {
            assert_eq!(verdict(Some(&closed), Some(human), None), Verdict::Untold);
        }
        assert_eq!(verdict(Some(&closed), None, None), Verdict::Untold);
        assert_eq!(verdict(None, Some(&open), None), Verdict::Untold);
        assert_eq!(verdict(Some(&untold), Some(&open), None), Verdict::Untold);
        for human in [&open, &closed, &untold] {
            assert_eq!(verdict(Some(&open), Some(human), None), Verdict::Open);
            assert_eq!(verdict(Some(&open), Some(human), Some("view: plain")), Verdict::Stated);
        }
    }
}
