//! `net allow` and `net deny`: an edit of the policy that keeps its comments and order, and what follows from it.

use super::list::about;
use crate::{
    cli::{
        Failure, Global, ask, invoker,
        printer::{self, Mark},
        setup::{self, PATIENCE, draft::edit_failure, show::Shown},
        situation::Situation,
    },
    host::{Lock, System, places},
    model::AccountName,
    policy::{Agent, Allow, Deny, Dns, Network, Outbound, Setting, edit},
    presets::verdict::quoted,
};
use clap::Args;
use std::{ffi::OsString, process::ExitCode};

#[derive(Args, Debug)]
pub(crate) struct AllowArguments {
    /// preset:NAME, a domain or a network with ports behind a colon, or loopback:PORT; see README
    #[arg(required = true, value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
    /// Resolve names this way from now on
    #[arg(long, value_name = "HOW")]
    dns: Option<How>,
    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DenyArguments {
    /// What `net list` names, or a network
    #[arg(required = true, value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// How names are resolved.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// By a gate that answers for allowed names only
    Gate,
    /// By the system's resolvers
    System,
}

impl How {
    fn dns(self) -> Dns {
        match self {
            Self::Gate => Dns::Gate,
            Self::System => Dns::System,
        }
    }

    fn word(self) -> String {
        self.dns().to_string()
    }
}

fn read(destinations: &[String]) -> Result<Vec<Allow>, Failure> {
    let one = |text: &String| {
        Allow::read_target(text).map_err(|refusal| Failure::usage(refusal.to_string()).hint(refusal.hint()))
    };
    destinations.iter().map(one).collect()
}

pub(crate) fn allow(global: &Global, arguments: &AllowArguments) -> Result<ExitCode, Failure> {
    let targets = read(&arguments.destinations)?;
    let mut line: Vec<OsString> = vec!["net".into(), "allow".into()];
    line.extend(arguments.destinations.iter().map(Into::into));
    line.extend(arguments.yes.then(|| "--yes".into()));
    line.extend(arguments.dns.into_iter().flat_map(|how| ["--dns".into(), how.word().into()]));
    let edit =
        |text: &str, name: &AccountName, agent: &Agent| open(text, name, agent, &targets, arguments.dns);
    let change = Change { line, dry_run: arguments.dry_run, yes: arguments.yes, opens: &targets };
    change.make(global, edit)
}

pub(crate) fn deny(global: &Global, arguments: &DenyArguments) -> Result<ExitCode, Failure> {
    let targets = read(&arguments.destinations)?;
    let mut line: Vec<OsString> = vec!["net".into(), "deny".into()];
    line.extend(arguments.destinations.iter().map(Into::into));
    let edit = |text: &str, name: &AccountName, agent: &Agent| close(text, name, agent, &targets);
    Change { line, dry_run: arguments.dry_run, yes: true, opens: &[] }.make(global, edit)
}

/// The policy with these destinations let through: what refuses just them is taken out, and they are added where no entry
/// says the same already.
fn open(
    text: &str,
    name: &AccountName,
    agent: &Agent,
    targets: &[Allow],
    dns: Option<How>,
) -> Result<String, Failure> {
    let mut text = text.to_owned();
    let mut allow = agent.network.allow.clone();
    for target in targets {
        if let Some(deny) = as_deny(target).filter(|deny| agent.network.deny.contains(deny)) {
            text = edit::remove_deny(&text, name, &deny).map_err(edit_failure)?;
        }
        if !allow.iter().any(|entry| entry.covers(target)) {
            text = edit::add_allow(&text, name, target).map_err(edit_failure)?;
            allow.push(target.clone());
        }
    }
    match dns.map(How::dns).filter(|dns| *dns != agent.network.dns) {
        Some(dns) => edit::set(&text, name, Setting::Dns(dns)).map_err(edit_failure),
        None => Ok(text),
    }
}

/// The same network as an entry of `deny`.
fn as_deny(target: &Allow) -> Option<Deny> {
    match target {
        Allow::Cidr { net, ports } => Some(Deny { net: *net, ports: ports.clone() }),
        _ => None,
    }
}

/// The policy with these destinations closed: entries that let just them through are taken out; a network that is still
/// open, because a wider entry holds it, is denied.
fn close(text: &str, name: &AccountName, agent: &Agent, targets: &[Allow]) -> Result<String, Failure> {
    let mut text = text.to_owned();
    for target in targets {
        let network = &agent.network;
        let taken: Vec<&Allow> = network.allow.iter().filter(|entry| is_meant(entry, target)).collect();
        for entry in &taken {
            text = edit::remove_allow(&text, name, entry).map_err(edit_failure)?;
        }
        let deny = as_deny(target);
        if deny.is_none() && taken.is_empty() {
            return Err(not_closable(network, target));
        }
        let open = |deny: &Deny| still_open(network, &taken, deny) && !network.deny.contains(deny);
        if let Some(deny) = deny.filter(open) {
            text = edit::add_deny(&text, name, &deny).map_err(edit_failure)?;
        }
    }
    Ok(text)
}

/// Whether an entry is the one that a person means to take out: the very same, or the same domain, preset or network
/// named without its ports or parts.
fn is_meant(entry: &Allow, target: &Allow) -> bool {
    let bare = match (entry, target) {
        (Allow::Preset { name, .. }, Allow::Preset { name: other, parts }) => {
            name == other && *parts == crate::policy::Parts::Whole
        }
        // A domain that names no ports reads as 443, so that only another set of ports tells entries apart.
        (Allow::Domain { name, .. }, Allow::Domain { name: other, .. }) => {
            name == other && target.target() == other.to_string()
        }
        (Allow::Cidr { net, .. }, Allow::Cidr { net: other, ports: None }) => net == other,
        _ => false,
    };
    bare || entry == target
}

/// Whether something lets packets to a network through once some entries are gone.
fn still_open(network: &Network, taken: &[&Allow], deny: &Deny) -> bool {
    let overlaps = |entry: &&Allow| match entry {
        Allow::Cidr { net, .. } => net.contains(&deny.net) || deny.net.contains(net),
        // Ranges, and what names resolve to, may hold it.
        Allow::Preset { .. } | Allow::Domain { .. } => true,
        Allow::Loopback(_) => false,
    };
    network.outbound == Outbound::Allow
        || network.allow.iter().filter(|entry| !taken.contains(entry)).any(|entry| overlaps(&entry))
}

fn not_closable(network: &Network, target: &Allow) -> Failure {
    let failure = Failure::usage(format!("no entry of the policy is `{}`", target.target()));
    let Allow::Domain { name, .. } = target else { return failure.hint("agentuser net list") };
    let wider = network.allow.iter().find(|entry| {
        matches!(entry, Allow::Domain { name: entry, .. } if crate::presets::verdict::covers(entry, name))
    });
    match wider {
        Some(entry) => {
            failure.hint(format!("agentuser net deny {}, which opens it", quoted(&entry.target())))
        }
        None => failure.hint(format!("agentuser net why {name}")),
    }
}

/// An edit of the policy on its way into force. Whoever types the command has decided; there is no further question, unless
/// hosts come with it that only the tools of this machine name.
struct Change<'a> {
    line: Vec<OsString>,
    dry_run: bool,
    yes: bool,
    opens: &'a [Allow],
}

impl Change<'_> {
    fn make(
        mut self,
        global: &Global,
        edit: impl Fn(&str, &AccountName, &Agent) -> Result<String, Failure>,
    ) -> Result<ExitCode, Failure> {
        let edited = || -> Result<(AccountName, String, bool), Failure> {
            let (text, policy) = invoker::policy()?
                .ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
            let name = invoker::agent(&policy, global)?;
            let new = edit(&text, &name, &policy.agents[&name])?;
            let differs = new != text;
            Ok((name, new, differs))
        };
        let (name, text, differs) = edited()?;
        // Judged as the human first, so that a refusal costs no password.
        let situation = Situation::of(text, places::POLICY, &System::new())?;
        situation.desired(&name)?;
        if !differs {
            if !global.quiet {
                printer::data("The policy says so already: nothing was changed.");
            }
            return Ok(ExitCode::SUCCESS);
        }
        if self.dry_run {
            self.say(&name);
            Shown::of(&situation, std::slice::from_ref(&name), &System::new())?.explain();
            return Ok(ExitCode::SUCCESS);
        }
        if !invoker::is_root() {
            self.line.extend(["--agent".into(), name.as_str().into()]);
            self.line.extend(global.quiet.then(|| "--quiet".into()));
            return invoker::raise(&self.line, ask::possible());
        }
        let _lock = Lock::take(PATIENCE, || printer::say("waiting for another agentuser to end …"))?;
        let (name, text, _) = edited()?;
        let mut situation = Situation::of(text, places::POLICY, &System::new())?;
        let names = std::slice::from_ref(&name);
        let hosts = if self.opens.is_empty() {
            super::propose_addresses(&mut situation, names);
            vec![]
        } else {
            super::propose(&mut situation, names)
        };
        let plan = Shown::of(&situation, names, &System::new())?;
        plan.refuse_what_is_foreign()?;
        if !global.quiet {
            self.say(&name);
            plan.print();
        }
        for host in &hosts {
            printer::marked(Mark::Open, host);
        }
        if !hosts.is_empty() && !self.yes && !ask::confirm("Open these hosts of your tools?", "--yes")? {
            printer::say("Nothing was changed.");
            return Ok(ExitCode::from(1));
        }
        setup::apply(&situation, names, global.quiet)?;
        if !global.quiet {
            printer::data("In force for the next connection.");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Says what is opened, and what could leak through it.
    fn say(&self, name: &AccountName) {
        for entry in self.opens {
            let (opens, leaks) = about(entry);
            printer::marked(Mark::Open, &format!("{} for {name}", entry.target()));
            printer::detail(&format!("opens  {opens}"));
            printer::detail(&format!("leaks  {leaks}"));
        }
    }
}

#[cfg(test)]
mod tests;
