//! `guard`: the service, and its children without privilege.

use super::helper;
use crate::{
    audit,
    cli::{Failure, invoker, printer, situation},
    engine::{Receipt, Scope, State},
    gate,
    guard::{Agent, Duties, Guard},
    host::{Lock, Observe, System, catalog},
    model::{AccountName, Uid, desired::Log},
    policy::{self, Policy},
    step::AnyStep,
};
use clap::{Args, ValueEnum};
use std::{process::ExitCode, time::Duration};

/// What the guard's own children are.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Role {
    /// Reads DNS for a gate
    ParseDns,
    /// Reads packets for the audit logs
    ReadPackets,
    /// Finds the process that has a socket
    FindHolder,
}

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Go on while there is no agent
    #[arg(long)]
    stay: bool,
    /// For the guard itself to call
    #[arg(hide = true)]
    role: Option<Role>,
}

/// Guards until it is told to end.
pub(crate) fn guard(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match arguments.role {
        Some(Role::ParseDns) => gate::parser::main()?,
        Some(Role::ReadPackets) => audit::listener::main()?,
        Some(Role::FindHolder) => audit::process::main()?,
        None if !invoker::is_root() => {
            return Err(Failure::usage("the guard is root's").hint("sudo systemctl start agentuser"));
        }
        None => {
            // Root's clean start has named the process after the link that it went through.
            let _ = rustix::thread::set_name(c"agentuser");
            // It goes on when whoever started it has ended; one that a service manager started leads a session already.
            let _ = rustix::process::setsid();
            Guard::new(&mut Work).and_then(|guard| guard.run(arguments.stay)).map_err(Failure::new)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the guard has done by the rest of the program.
struct Work;

impl Duties for Work {
    fn agents(&mut self) -> anyhow::Result<Vec<Agent>> {
        let machine = System::new();
        // Without a policy nobody but root reads the logs.
        let policy = invoker::policy().ok().flatten().map(|(_, policy)| policy);
        let mut agents = Vec::new();
        for name in situation::agents_set_up(&machine).map_err(|failure| failure.error)? {
            let receipt = Receipt::load(&Scope::Agent(name.clone()), &machine)?;
            let (mut rules, mut settled) = (None, true);
            for entry in receipt.entries {
                let applied = entry.state == State::Applied;
                match entry.step {
                    AnyStep::Netfilter(step) => (rules, settled) = (Some(step), settled && applied),
                    AnyStep::NftTable(_) => settled &= applied,
                    _ => {}
                }
            }
            let renews = policy.as_ref().and_then(|policy| policy.agents.get(&name)).is_some_and(renews);
            let human = policy.as_ref().and_then(|policy| human(policy, &name, &machine));
            agents.extend(rules.map(|rules| Agent { name, rules, human, renews, settled }));
        }
        Ok(agents)
    }

    fn load(
        &mut self,
        name: &AccountName,
        whole: bool,
        mend: &mut dyn FnMut(&[AnyStep]),
    ) -> anyhow::Result<usize> {
        // While another command changes the machine there is nothing to repair: it is asked again soon.
        let _lock = Lock::take(Duration::from_millis(200), || {})?;
        let (scope, mut machine) = (Scope::Agent(name.clone()), System::new());
        let receipt = Receipt::load(&scope, &machine)?;
        let in_force = receipt.entries.into_iter().filter(|entry| entry.state == State::Applied);
        mend(&in_force.map(|entry| entry.step).collect::<Vec<_>>());
        if !whole {
            return Ok(0);
        }
        helper::load_locked(&scope, name, &mut machine).map_err(|failure| failure.error)
    }
}

/// Has the guard know of what was just put in force. Where none runs, an agent needs one, and no service manager sees to
/// it, one is started. Nothing is open for the want of a guard, so that is no failure.
pub(crate) fn start_where_needed() {
    if crate::guard::tell() || std::path::Path::new("/run/systemd/system").exists() {
        return;
    }
    let needs = |agent: &Agent| {
        agent.renews || agent.rules.firewall.gate.is_some() || agent.rules.firewall.log != Log::None
    };
    let started = match Work.agents() {
        Ok(agents) if agents.iter().any(needs) => crate::guard::start().map_err(Into::into),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = started {
        printer::warn(&format!("{error:#}: names are not answered, and refusals are not recorded"));
    }
}

/// Whether what an agent may reach is named, so that its addresses go stale: names that the system resolves, or ranges.
fn renews(agent: &policy::Agent) -> bool {
    agent.network.dns == policy::Dns::System || !catalog::used_by(agent).is_empty()
}

fn human(policy: &Policy, name: &AccountName, machine: &System) -> Option<Uid> {
    let human = &policy.agents.get(name)?.human;
    machine.person(human.as_str()).ok().flatten().map(|person| person.uid)
}
