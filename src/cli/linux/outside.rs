//! What is the agent's outside of its projects, for `review`.

use super::Brief;
use crate::{
    cli::Failure,
    host::users,
    plan,
    review::{
        Snapshot,
        outside::{Errand, outside as look},
    },
};
use std::{path::Path, time::Duration};

/// Looks for it; `patience` is how long each place may take.
pub(in crate::cli) fn outside(brief: &Brief, patience: Duration) -> Result<Option<Snapshot>, Failure> {
    let account = |name: &str| {
        users::person(name)?.ok_or_else(|| Failure::new(anyhow::anyhow!("there is no account `{name}`")))
    };
    let (agent, human) = (account(brief.name.as_str())?, account(&brief.human)?);
    let home = Path::new(&human.home).canonicalize().ok().and_then(|home| home.to_str()?.parse().ok());
    let errand = Errand {
        agent: agent.uid,
        home: home
            .ok_or_else(|| Failure::new(anyhow::anyhow!("your home `{}` can't be opened", human.home)))?,
        except: brief.projects.iter().cloned().chain([plan::home(&brief.name)]).collect(),
        patience: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
    };
    Ok(Some(look(errand)?))
}
