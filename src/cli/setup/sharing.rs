//! How projects are shared: the flag, the question, and where one of the ways can't be had.

use super::{Arguments, Situation};
use crate::{
    cli::{Failure, ask as question, existing_directory, printer, system},
    host::users,
    model::AccountName,
    policy::Sharing,
};

/// What each way means, as `setup` asks; the first is suggested.
const ANSWERS: [&str; 2] = [
    "acl    entries for the agent on your files; what it makes is its own, and git asks you before it trusts a repository of its",
    "mount  nothing is put on your files; what it makes is yours at once, so git no longer asks",
];

/// How projects are shared.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum How {
    /// By entries on the files themselves (acl(5)); any filesystem with ACLs
    Acl,
    /// By id-mapped mounts: nothing on the disk changes; ext4, xfs, btrfs, tmpfs
    Mount,
    /// As is answered to root, who can try
    #[value(hide = true)]
    Ask,
}

impl How {
    /// What it says; nothing before the answer.
    pub(in crate::cli) fn sharing(self) -> Option<Sharing> {
        match self {
            Self::Acl => Some(Sharing::Acl),
            Self::Mount => Some(Sharing::Mount),
            Self::Ask => None,
        }
    }

    /// The word on the command line.
    pub(in crate::cli) fn word(self) -> String {
        self.sharing().map_or_else(|| "ask".into(), |sharing| sharing.to_string())
    }
}

/// Asks, as root, where mounts can be had for all of these projects; elsewhere there is nothing to choose.
pub(super) fn ask(arguments: &mut Arguments) -> Result<(), Failure> {
    arguments.sharing = None;
    if arguments.yes || !question::possible() {
        return Ok(());
    }
    let human = arguments.human.as_deref().map(users::person).transpose()?.flatten();
    let Some(human) = human.filter(|_| system::has_private_view()) else { return Ok(()) };
    for dir in arguments.project.iter().chain(&arguments.read_only) {
        let path = existing_directory(dir)?;
        if let Some(why) = system::why_not_mapped(&path, &human) {
            printer::say(&format!("{path} is shared by entries, for mounts can't be had there: {why}"));
            return Ok(());
        }
    }
    let answer = question::one_of("How are projects shared?", &ANSWERS)?;
    arguments.sharing = Some(if answer == 0 { How::Acl } else { How::Mount });
    Ok(())
}

/// Who asks for mounts by the flag has them, or hears why not: what a policy file says falls back to entries.
pub(super) fn refuse_where_it_can_not_be(
    situation: &Situation,
    agent: Option<&AccountName>,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let Some(agent) = agent.filter(|_| arguments.sharing == Some(How::Mount)) else { return Ok(()) };
    let refused = |why: String| {
        let error = anyhow::anyhow!("agent `{agent}` can't have --sharing mount: {why}");
        Err(Failure::new(error).hint("--sharing acl, which puts entries on the files"))
    };
    if let Some(why) = &situation.facts.no_private_view {
        return refused(why.clone());
    }
    let projects = &situation.policy.agents[agent].projects;
    let facts = &situation.facts.not_mappable;
    match projects.iter().find_map(|project| facts.get_key_value(&project.path)) {
        Some((path, why)) => refused(format!("{path}: {why}")),
        None => Ok(()),
    }
}
