//! What a policy comes to on this machine, as Linux has it.

use crate::{
    cli::{Failure, invoker, situation::Situation},
    host::{Observe, cgroup, gather, places, users},
    launch::{keeper, view},
    model::{AbsPath, AccountName, facts::Facts, view::View},
    policy::{Agent, Policy, Sharing},
};

/// The facts for a policy, with what this kernel can't do.
pub(in crate::cli) fn facts(policy: &Policy, machine: &dyn Observe) -> Result<Facts, Failure> {
    let mut facts = gather::facts(policy, machine)?;
    facts.no_private_view = view::why_not();
    for agent in policy.agents.values().filter(|agent| agent.sharing == Sharing::Mount) {
        let Some(human) = facts.humans.get(agent.human.as_str()) else { continue };
        for project in &agent.projects {
            let why = view::why_not_mapped(&project.path, human);
            facts.not_mappable.extend(why.map(|why| (project.path.clone(), why)));
        }
    }
    if !invoker::is_root() {
        recall(&mut facts, policy, machine);
    }
    facts.no_cgroup = cgroup::why_not();
    Ok(facts)
}

/// What must be there before anything can be set up.
pub(in crate::cli) fn refuse_unfit_machine(facts: &Facts) -> Result<(), Failure> {
    if !facts.missing.is_empty() {
        let names: Vec<_> = facts.missing.iter().map(|(program, _)| *program).collect();
        let mut packages: Vec<_> = facts.missing.iter().map(|(_, package)| *package).collect();
        packages.sort_unstable();
        packages.dedup();
        let hint =
            format!("sudo apt-get install {}, or what your distribution calls them", packages.join(" "));
        return Err(Failure::new(anyhow::anyhow!("not installed: {}", names.join(", "))).hint(hint));
    }
    if !facts.sudo_reads_drop_ins {
        let error = anyhow::anyhow!("/etc/sudoers does not include /etc/sudoers.d");
        return Err(Failure::new(error).hint("sudo visudo, and add the line `@includedir /etc/sudoers.d`"));
    }
    Ok(())
}

/// What this machine lacks, in words for a person.
pub(in crate::cli) fn notices(situation: &Situation) -> Vec<String> {
    let mut notices = Vec::new();
    for (name, agent) in &situation.policy.agents {
        let Ok(desired) = situation.desired(name) else { continue };
        let hidden = desired.view.private.map(|_| out_of_sight(agent, &desired.human.home));
        notices.extend(hidden.into_iter().flatten().map(|path| {
            format!(
                "agent `{name}`: {path} is out of sight in its private view: agentuser share --read-only {path}, \
                 or a directory above it"
            )
        }));
    }
    if !situation.facts.systemd {
        notices.push(
            "no systemd here: nothing loads the rules at boot; the first `agentuser run` after a boot does"
                .into(),
        );
    }
    if !situation.facts.nft {
        notices.push(
            "nft is not installed: there is no second belt when another tool flushes the iptables rules"
                .into(),
        );
    }
    if situation.facts.sshd_reads_drop_ins == Some(false) {
        notices.push(
            "sshd does not read /etc/ssh/sshd_config.d: a key in the agent's own home could log in; \
             add `DenyUsers` for it to /etc/ssh/sshd_config"
                .into(),
        );
    }
    notices
}

/// Whether the kernel carries private views.
pub(in crate::cli) fn has_private_view() -> bool {
    view::why_not().is_none()
}

/// Whether sessions run that have this project otherwise than the policy now does: a private view is made once, at their begin.
/// To be asked before children of this process become the agent to see to its files.
pub(in crate::cli) fn sessions_are_behind(
    situation: &Situation,
    name: &AccountName,
    path: &AbsPath,
) -> Result<bool, Failure> {
    let view = situation.desired(name)?.view;
    let shared = view.private.is_some_and(|view| view.projects.iter().any(|seen| seen.path == *path));
    let uid = users::person(name.as_str())?.map(|account| account.uid);
    Ok(shared && uid.is_some_and(|uid| keeper::sessions_run(&[uid])))
}

/// What a policy names in the human's home and does not share: the private view masks it.
fn out_of_sight<'a>(agent: &'a Agent, home: &AbsPath) -> Vec<&'a AbsPath> {
    let named = agent.path.iter().chain(&agent.confine.read).chain(&agent.confine.write);
    let shared = |path: &AbsPath| agent.projects.iter().any(|project| path.is_within(&project.path));
    named.filter(|path| path.is_within(home) && !shared(path)).collect()
}

/// What only root can try was settled at setup: whoever can't try takes it from there.
fn recall(facts: &mut Facts, policy: &Policy, machine: &dyn Observe) {
    for name in policy.agents.keys() {
        let settled = machine.file(&places::view(name)).ok().flatten();
        if let Some(view) = settled.and_then(|file| View::kept(&file.bytes)) {
            facts.no_private_view = facts.no_private_view.take().or(view.why);
            facts.not_mappable.extend(view.not_mapped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy;

    #[test]
    fn what_the_view_hides_is_told() {
        let text = "version: 1\nagents:\n  bot:\n    human: ann\n    projects:\n      - path: /home/ann/node\n        \
                    access: read-only\n    path: [/home/ann/node/bin, /home/ann/go/bin, /opt/bin]\n    confine:\n      \
                    read: [/home/ann/data, /srv/data]\n";
        let policy = policy::parse(text, "p").unwrap();
        let hidden = out_of_sight(&policy.agents[&"bot".parse().unwrap()], &"/home/ann".parse().unwrap());
        let hidden: Vec<_> = hidden.iter().map(|path| path.as_str()).collect();
        assert_eq!(hidden, ["/home/ann/go/bin", "/home/ann/data"]);
    }
}
