//! A repository's `agentuser.yaml`: shown beside the policy in force, asked about, and taken only as it was seen.

use super::{Answers, draft};
use crate::{
    cli::{
        Failure, ask as question,
        net::about,
        printer::{self, Mark},
    },
    host::{Observe, System},
    model::{AbsPath, AccountName},
    policy::{self, Access, Inbound, OFFER, Offer, Outbound, Policy, Setting, Wish},
};
use sha2::{Digest, Sha256};
use std::path::Path;

/// The file as it was read.
struct Found {
    path: AbsPath,
    offer: Offer,
    digest: String,
}

/// The file, where there is one: no symbolic link, for whoever works in the repository may have made it.
fn read(path: &AbsPath) -> Result<Option<Found>, Failure> {
    let Some(file) = System::new().file(path)? else { return Ok(None) };
    let digest = format!("{:x}", Sha256::digest(&file.bytes));
    let text = String::from_utf8(file.bytes)
        .map_err(|_| Failure::usage(format!("`{path}` is not UTF-8 text")).hint("write it as UTF-8"))?;
    let dir = path.parent().unwrap_or(AbsPath::root());
    let offer = policy::parse_offer(&text, path.as_str(), &dir)?;
    Ok(Some(Found { path: path.clone(), offer, digest }))
}

fn absolute(file: &Path) -> Result<AbsPath, Failure> {
    let missing = |error: std::io::Error| {
        Failure::usage(format!("`{}`: {error}", file.display())).hint("name a file that is there")
    };
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir: AbsPath = std::fs::canonicalize(dir)
        .map_err(missing)?
        .into_os_string()
        .into_string()
        .map_err(|path| Failure::usage(format!("`{}` is not valid text", path.display())))?
        .parse()
        .map_err(Failure::new)?;
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or(OFFER);
    dir.join(name).as_str().parse().map_err(Failure::new)
}

/// Asks whether what the file names is to be added: the one that was given, or the one in this directory where somebody
/// can answer. A yes stands in the answers, with the digest of what was seen.
pub(super) fn consider(answers: &mut Answers, existing: Option<&(String, Policy)>) -> Result<(), Failure> {
    let arguments = &mut answers.arguments;
    if arguments.seen.is_some() || arguments.policy.is_some() {
        return Ok(());
    }
    let given = arguments.from.take();
    let asked_for = given.is_some();
    let path = absolute(given.as_deref().unwrap_or(Path::new(OFFER)));
    let found = match path.and_then(|path| Ok((read(&path)?, path))) {
        Ok((Some(found), _)) => found,
        Ok((None, path)) if asked_for => return Err(Failure::usage(format!("there is no {path}"))),
        Ok((None, _)) => return Ok(()),
        Err(failure) if asked_for => return Err(failure),
        Err(failure) => {
            printer::warn(&format!("{OFFER} in this directory can't be used: {:#}", failure.error));
            return Ok(());
        }
    };
    let draft = match draft::draft(&answers.global, arguments, existing) {
        Ok(draft) => draft,
        Err(failure) if asked_for => return Err(failure),
        Err(_) => return Ok(()),
    };
    let Some((name, wishes)) = wishes(&found, &draft)?.filter(|(_, wishes)| !wishes.is_empty()) else {
        return Ok(());
    };
    if !asked_for && (arguments.yes || arguments.dry_run || !question::possible()) {
        let more = format!("{} asks for more, and nothing of it is taken:", found.path);
        printer::say(&format!("{more} agentuser setup --from {OFFER}"));
        return Ok(());
    }
    printer::heading(&format!("{} asks for, beyond the policy of {name}", found.path));
    wishes.iter().for_each(show);
    let agreed = arguments.yes || arguments.dry_run || question::consent("Add this to the policy?", "--yes")?;
    if agreed {
        arguments.from = Some(found.path.as_path().to_owned());
        arguments.seen = Some(found.digest);
    } else if asked_for {
        let error = anyhow::anyhow!("nothing of {} was taken, and nothing was changed", found.path);
        return Err(Failure { error, hint: None, code: 1 });
    }
    Ok(())
}

/// The policy with what was agreed to.
pub(super) fn add(draft: draft::Draft, file: &Path, seen: Option<&str>) -> Result<draft::Draft, Failure> {
    let path = absolute(file)?;
    let found = read(&path)?.filter(|found| Some(found.digest.as_str()) == seen).ok_or_else(|| {
        Failure::new(anyhow::anyhow!("{path} was changed after you saw it; nothing was changed"))
            .hint(format!("agentuser setup --from {path}"))
    })?;
    let Some((name, wishes)) = wishes(&found, &draft)? else {
        return Err(Failure::usage("the policy has several agents").hint("add --agent NAME"));
    };
    let mut text = draft.text;
    for wish in &wishes {
        text = wish.add_to(&text, &name).map_err(draft::edit_failure)?;
    }
    Ok(draft::Draft { text, ..draft })
}

fn wishes(found: &Found, draft: &draft::Draft) -> Result<Option<(AccountName, Vec<Wish>)>, Failure> {
    let Some(name) = &draft.agent else { return Ok(None) };
    let policy = policy::parse(&draft.text, &draft.file)?;
    let wishes = found.offer.wishes(&policy, name).map_err(draft::edit_failure)?;
    Ok(Some((name.clone(), wishes)))
}

fn show(wish: &Wish) {
    let access = |access: Access| match access {
        Access::ReadWrite => "read and write",
        Access::ReadOnly => "read only",
    };
    match wish {
        Wish::Project { project, now } => {
            let now = now.map_or(String::new(), |now| format!(", which is {} now", access(now)));
            printer::marked(
                Mark::Open,
                &format!("project {}: {}{now}", project.path, access(project.access)),
            );
            if project.git == Some(policy::Git::Open) {
                printer::marked(Mark::Bad, "  with git's configuration and hooks open to the agent");
            }
        }
        Wish::Setting { setting, now } => {
            let opens =
                matches!(setting, Setting::Outbound(Outbound::Allow) | Setting::Inbound(Inbound::Any));
            let mark = if opens { Mark::Bad } else { Mark::Open };
            printer::marked(mark, &format!("network {setting}, which is {} now", now.word()));
            if opens {
                printer::detail("leaks  everything that the agent can read");
            }
        }
        Wish::Allow(allow) => {
            let (opens, leaks) = about(allow);
            printer::marked(Mark::Open, &format!("let through {}", allow.target()));
            printer::detail(&format!("opens  {opens}"));
            printer::detail(&format!("leaks  {leaks}"));
        }
        Wish::Deny(deny) => printer::marked(Mark::Open, &format!("refuse {}", deny.target())),
    }
}
