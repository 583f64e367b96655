//! `setup`: a policy from a file, from flags or from answers; then plan, show, ask, apply, verify.

pub(super) mod apply;
pub(super) mod draft;
mod offer;
mod sharing;
pub(super) mod show;

pub(super) use apply::apply;

use super::{Failure, Global, ask, invoker, net, printer, situation::Situation, system};
use crate::{
    host::{Lock, System},
    model::AccountName,
};
use clap::Args;
use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

/// How long a command waits for another one that changes the machine.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Args, Debug, Clone, Default)]
pub(crate) struct Arguments {
    /// Take this policy file; it becomes /etc/agentuser/policy.yaml
    #[arg(long, value_name = "FILE", conflicts_with_all = ["project", "read_only", "allow", "loopback", "sharing"])]
    pub(super) policy: Option<PathBuf>,
    /// Who may become the agent; default: you
    #[arg(long, value_name = "USER")]
    pub(super) human: Option<String>,
    /// Share this directory; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(super) project: Vec<PathBuf>,
    /// Share this directory for reading; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(super) read_only: Vec<PathBuf>,
    /// How projects are shared: entries on the files, or id-mapped mounts
    #[arg(long, value_name = "HOW")]
    pub(super) sharing: Option<sharing::How>,
    /// Let the agent reach this, as `net allow` reads it: 10.20.0.0/16:5432,8000-8099, a domain, preset:NAME; may be repeated
    #[arg(long, value_name = "DESTINATION")]
    pub(super) allow: Vec<String>,
    /// Let the agent reach this loopback port of other accounts; may be repeated
    #[arg(long, value_name = "PORT")]
    pub(super) loopback: Vec<String>,
    /// Add what a repository's agentuser.yaml asks for, after showing it
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    pub(super) from: Option<PathBuf>,
    /// The digest of that file as it was shown
    #[arg(long, hide = true, requires = "from")]
    pub(super) seen: Option<String>,
    /// Ask nothing
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Show the plan and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// The plan as JSON, with --dry-run
    #[arg(long, requires = "dry_run")]
    pub(super) json: bool,
}

pub(crate) fn setup(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let existing = invoker::policy()?;
    let mut answers = draft::ask(global, arguments, existing.as_ref())?;
    if invoker::is_root() && answers.arguments.sharing == Some(sharing::How::Ask) {
        sharing::ask(&mut answers.arguments)?;
    }
    // Checked before a password is asked for.
    let draft = draft::draft(&answers.global, &answers.arguments, existing.as_ref())?;
    if !invoker::is_root() && !arguments.dry_run {
        let situation = Situation::of(draft.text, &draft.file, &System::new())?;
        situation.refuse_unfit_machine()?;
        sharing::refuse_where_it_can_not_be(&situation, draft.agent.as_ref(), &answers.arguments)?;
        return invoker::raise(&answers.command_line(), ask::possible());
    }
    if arguments.dry_run {
        return dry_run(global, arguments, draft);
    }
    let quiet = global.quiet;
    let lock = Lock::take(PATIENCE, || printer::say("waiting for another agentuser to end …"))?;
    // Read again under the lock: another setup may have ended just now.
    let existing = invoker::policy()?;
    let draft = draft::draft(&answers.global, &answers.arguments, existing.as_ref())?;
    let mut situation = Situation::of(draft.text, &draft.file, &System::new())?;
    situation.refuse_unfit_machine()?;
    sharing::refuse_where_it_can_not_be(&situation, draft.agent.as_ref(), &answers.arguments)?;
    let names = names(&situation, global)?;
    net::propose(&mut situation, &names);
    let plan = show::Shown::of(&situation, &names, &System::new())?;
    plan.refuse_what_is_foreign()?;
    if plan.is_empty() {
        system::prove_again(&names)?;
        if !quiet {
            printer::data("Nothing to do: all of the policy is in force.");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !quiet {
        plan.print();
    }
    if !arguments.yes && !plan.agreed()? {
        printer::say("Nothing was changed.");
        return Ok(ExitCode::from(1));
    }
    apply(&situation, &names, quiet)?;
    drop(lock);
    if !quiet {
        show::next(&situation, &names);
    }
    Ok(ExitCode::SUCCESS)
}

/// The agents to set up: the one named, else all of the policy.
fn names(situation: &Situation, global: &Global) -> Result<Vec<AccountName>, Failure> {
    match &global.agent {
        Some(name) if !situation.policy.agents.contains_key(name) => {
            Err(Failure::usage(format!("the policy has no agent `{name}`")).hint("agentuser status"))
        }
        Some(name) => Ok(vec![name.clone()]),
        None => Ok(situation.policy.agents.keys().cloned().collect()),
    }
}

fn dry_run(global: &Global, arguments: &Arguments, draft: draft::Draft) -> Result<ExitCode, Failure> {
    let machine = System::new();
    let mut situation = Situation::of(draft.text, &draft.file, &machine)?;
    sharing::refuse_where_it_can_not_be(&situation, draft.agent.as_ref(), arguments)?;
    let names = names(&situation, global)?;
    net::propose(&mut situation, &names);
    let plan = show::Shown::of(&situation, &names, &machine)?;
    if arguments.json {
        printer::data(&plan.json()?);
    } else if plan.is_empty() {
        printer::data("Nothing to do: all of the policy is in force.");
    } else {
        plan.explain();
    }
    situation.refuse_unfit_machine()?;
    plan.refuse_what_is_foreign()?;
    Ok(ExitCode::SUCCESS)
}

/// Answers as they would stand on the command line.
pub(super) struct Answers {
    pub(super) global: Global,
    pub(super) arguments: Arguments,
}

impl Answers {
    fn command_line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["setup".into()];
        let mut option = |name: &str, value: OsString| line.extend([name.into(), value]);
        let Arguments { policy, human, project, read_only, sharing, allow, loopback, from, seen, .. } =
            &self.arguments;
        if let Some(agent) = &self.global.agent {
            option("--agent", agent.as_str().into());
        }
        if let Some(file) = policy {
            option("--policy", file.into());
        }
        if let Some(human) = human {
            option("--human", human.into());
        }
        if let Some(file) = from {
            option("--from", file.into());
        }
        if let Some(digest) = seen {
            option("--seen", digest.into());
        }
        for dir in project {
            option("--project", dir.into());
        }
        for dir in read_only {
            option("--read-only", dir.into());
        }
        if let Some(how) = sharing {
            option("--sharing", how.word().into());
        }
        for net in allow {
            option("--allow", net.into());
        }
        for port in loopback {
            option("--loopback", port.into());
        }
        line.extend(self.arguments.yes.then(|| "--yes".into()));
        line.extend(self.global.quiet.then(|| "--quiet".into()));
        line
    }
}
