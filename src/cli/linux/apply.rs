//! What goes with putting plans in force on Linux, and its proof.

use super::{guard, helper};
use crate::{
    cli::{Failure, review, setup::apply, situation::Situation},
    host::{System, places, users},
    launch::{brief::Stamp, keeper::end_keepers, relay},
    model::{AbsPath, AccountName},
};
use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    fs::File,
    io::{self, Read, Seek},
    os::unix::process::CommandExt,
    process::Stdio,
    time::{Duration, Instant},
};

/// Applies the plan of the machine and those of these agents. The next session of each proves it, or does not begin.
pub(in crate::cli) fn put_in_force(
    situation: &Situation,
    names: &[AccountName],
    break_links: Option<&AbsPath>,
    quiet: bool,
) -> Result<(), Failure> {
    let has_sub_uids = gives_sub_uids(situation, names)?;
    if has_sub_uids {
        let accounts = names.iter().filter_map(|name| users::person(name.as_str()).ok().flatten());
        end_keepers(&accounts.map(|account| account.uid).collect::<Vec<_>>());
    }
    apply::plans(situation, names, break_links, quiet)?;
    if has_sub_uids {
        // Rules held what ran under the ranges until they were taken away. Now the rules go, too.
        let now = Situation::of(situation.text.clone(), places::POLICY, &System::new())?;
        apply::plans(&now, names, break_links, quiet)?;
    }
    prepare_sessions(names)
}

/// Whether one of these agents has sub-uids.
fn gives_sub_uids(situation: &Situation, agents: &[AccountName]) -> Result<bool, Failure> {
    for agent in agents {
        if !situation.desired(agent)?.firewall.sub_uids.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes ready what sessions read of the policy, and what they need.
fn prepare_sessions(names: &[AccountName]) -> Result<(), Failure> {
    guard::start_where_needed();
    for name in names {
        helper::stamp(name, &mut System::new())?;
        // At boot the unit may neither read what is the human's nor give a file away.
        if let Some(brief) = Stamp::read(name).and_then(|stamp| stamp.brief) {
            review::make_room(name, &brief.human, &brief.projects, &mut System::new())?;
        }
    }
    Ok(())
}

/// Each agent starts a command through the whole way in, as its human would, which refuses where the policy does not hold.
pub(in crate::cli) fn prove(names: &[AccountName]) -> Result<(), Failure> {
    for name in names {
        if let Err(said) = start_command(name)? {
            let error = anyhow::anyhow!("{name} can't start a command: {said}");
            let by_sudo = said.starts_with("sudo: ");
            let refused = || relay::RunError::NotLetIn(name.clone()).hint();
            return Err(Failure::new(error).hint(if by_sudo {
                refused()
            } else {
                "agentuser status".into()
            }));
        }
    }
    Ok(())
}

/// The same where all is in force already.
pub(in crate::cli) fn prove_again(names: &[AccountName]) -> Result<(), Failure> {
    prepare_sessions(names)?;
    prove(names)
}

/// Starts a command as the agent, in the way of its human; where that fails, answers what was said, escaped.
///
/// From the start on, the agent's other processes may stop it, or write to its descriptors and hold them. So the time is
/// limited, and what it says goes to a file, of which no end has to be waited for.
fn start_command(name: &AccountName) -> Result<Result<(), String>, Failure> {
    const PATIENCE: Duration = Duration::from_secs(10);
    const LONGEST: u64 = 4096;
    let mut said = File::from(memfd_create("said", MemfdFlags::CLOEXEC).map_err(io::Error::from)?);
    let Some(brief) = Stamp::read(name).and_then(|stamp| stamp.brief) else {
        return Ok(Err("its part of the policy is not in force".into()));
    };
    let Some(human) = users::person(&brief.human)? else {
        return Ok(Err(format!("there is no account `{}`", brief.human)));
    };
    let mut child = relay::way_in(&brief)?
        .args(["--directory=", "--alone", "--", "/bin/true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone()?)
        .uid(human.uid.0)
        .gid(human.gid.0)
        .spawn()?;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Ok(Err(format!("it did not start in {} seconds", PATIENCE.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    if status.success() {
        return Ok(Ok(()));
    }
    let mut text = Vec::new();
    said.rewind()?;
    said.take(LONGEST).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).trim().escape_debug().to_string();
    Ok(Err(text.replace("\\'", "'").replace("\\\"", "\"").replace("\\n", "\n")))
}
