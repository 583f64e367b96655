//! Addresses that the DNS gate answered and that a policy still allows: they are open in it from its first packet on, for a
//! changed list of names has other sets, and the guard fills these a moment later.

use crate::{
    gate::answers::{Answers, still_allowed},
    host::{HostError, Observe},
    model::{AbsPath, desired::Firewall},
};
use std::{net::IpAddr, time::SystemTime};

/// What of the answers in this file belongs into which set of a policy, and for how many seconds.
pub(super) fn carried(
    answers: Option<&AbsPath>,
    firewall: &Firewall,
    machine: &dyn Observe,
) -> Result<Vec<(String, IpAddr, u32)>, HostError> {
    let Some(path) = answers.filter(|_| !firewall.names.is_empty()) else { return Ok(vec![]) };
    let Some(file) = machine.file(path)? else { return Ok(vec![]) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    Ok(still_allowed(&Answers::from_json(&file.bytes), firewall, now))
}
