//! `status --moved`: what carries an agent's entries and lies in no project, for an ACL stays on a file that is moved out.

use super::{
    Failure, Global, existing_directory, invoker,
    printer::{self, Mark},
    system,
};
use crate::{
    host::users,
    launch::quoted,
    model::{AbsPath, PathBytes, desired::Access},
};
use std::{path::PathBuf, process::ExitCode};

/// More than a person reads.
const MOST: usize = 1000;

pub(super) fn show(global: &Global, dir: Option<&PathBuf>, json: bool) -> Result<ExitCode, Failure> {
    if invoker::is_root() {
        return Err(Failure::usage(
            "`status --moved` looks through your files, and does so as you, not as root",
        )
        .hint("agentuser status --moved, without sudo"));
    }
    let brief = system::brief(global)?;
    let account = |name: &str| {
        users::person(name)?.ok_or_else(|| Failure::new(anyhow::anyhow!("there is no account `{name}`")))
    };
    let (agent, human) = (account(brief.name.as_str())?, account(&brief.human)?);
    let root: AbsPath = match dir {
        Some(dir) => existing_directory(dir)?,
        None => existing_directory(&PathBuf::from(&human.home))?,
    };
    let moved = system::moved(&brief, &agent, &human, &root, MOST)?;
    if json {
        let item =
            |(path, access): &(PathBytes, Access)| serde_json::json!({ "path": path, "access": access });
        let items: Vec<_> = moved.iter().map(item).collect();
        let answer = serde_json::json!({ "version": 1, "agent": brief.name, "below": root, "moved": items });
        printer::data(&serde_json::to_string_pretty(&answer).map_err(Failure::new)?);
    } else if !global.quiet {
        tell(&moved, &root, brief.name.as_str(), agent.uid.0);
    }
    Ok(ExitCode::from(u8::from(!moved.is_empty())))
}

fn tell(moved: &[(PathBytes, Access)], root: &AbsPath, agent: &str, uid: u32) {
    if moved.is_empty() {
        printer::data(&format!("Nothing below {root} has entries for {agent}, but for its projects."));
        return;
    }
    printer::heading(&format!("Outside of its projects, {agent} has entries on"));
    for (path, access) in moved {
        let may = if *access == Access::ReadWrite { "read and write" } else { "read" };
        printer::marked(Mark::Bad, &format!("{path}: may {may} it where it gets to it"));
    }
    if moved.len() == MOST {
        printer::warn(&format!("only the first {MOST} are told"));
    }
    let root = quoted(root.as_path());
    printer::data(&format!("To take them away: cd {root} && {}", system::take_away(agent, uid)));
}
