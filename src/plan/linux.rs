//! The steps on Linux.

use super::{
    DesireError,
    parts::{git, in_force, settled, sudo},
};
use crate::{
    engine::{Plan, Scope},
    formats::{dbus, systemd},
    gate::answers,
    host::{Validator, places},
    model::{
        AbsPath, Family,
        desired::Desired,
        facts::{Denial, Facts},
        view::{Private, View},
    },
    share,
    step::{
        Account, After, AnyStep, Content, Directory, File, FilterTable, Group, Home, Layer, Line, List,
        Netfilter, NftTable, OutputChain, PrivateTmp, Service, ShareAcl, ShareMount, Sockets, Traverse,
    },
};

use std::collections::BTreeSet;

/// What all agents share: the program, the policy, the unit that loads the rules at boot.
pub(super) fn machine(policy: &str, facts: &Facts) -> Plan {
    let file = |path, title: &str, content, mode| File {
        path: places::fixed(path),
        content,
        mode,
        validator: Validator::Nobody,
        after: After::Nothing,
        replaces: false,
        layer: Layer::Program,
        title: title.into(),
    };
    let policy = Content::Text(policy.to_owned());
    let mut steps: Vec<AnyStep> = vec![
        Directory { path: places::fixed("/etc/agentuser"), mode: 0o755 }.into(),
        File { replaces: true, ..file(places::POLICY, "policy /etc/agentuser/policy.yaml", policy, 0o644) }
            .into(),
        File {
            after: if facts.systemd { After::RestartGuard } else { After::Nothing },
            ..file(places::PROGRAM, "program /usr/local/bin/agentuser", Content::Program, 0o755)
        }
        .into(),
    ];
    let denials = facts.cron.values().chain(facts.at.values());
    let lists: BTreeSet<_> = denials.filter_map(Denial::list).collect();
    steps.extend(lists.into_iter().map(|path| AnyStep::from(List { path: path.clone() })));
    steps.extend(super::cache::machine(&facts.catalog));
    if facts.systemd {
        let unit = |path, title: &str, text, after| {
            AnyStep::from(File {
                layer: Layer::Network,
                after,
                ..file(path, title, Content::Text(text), 0o644)
            })
        };
        let service = |unit: &str, runs| AnyStep::from(Service { unit: unit.into(), runs });
        let (program, reload) = (places::PROGRAM, After::ReloadUnits);
        steps.extend([
            unit(
                systemd::CHILD_PATH,
                "unit agentuser-child@.service",
                systemd::render_child(program),
                reload,
            ),
            unit(
                systemd::CHILD_SOCKET_PATH,
                "unit agentuser-child.socket",
                systemd::render_child_socket(),
                reload,
            ),
            service(systemd::CHILD_NAME, true),
            unit(systemd::PATH, "unit agentuser.service", systemd::render(program), reload),
            service(systemd::NAME, false),
            unit(
                systemd::GUARD_PATH,
                "unit agentuser-guard.service",
                systemd::render_guard(program),
                After::RenewGuard,
            ),
            service(systemd::GUARD_NAME, true),
        ]);
    }
    if facts.iptables_is_nft {
        for family in families(facts) {
            steps.extend([FilterTable { family }.into(), OutputChain { family }.into()]);
        }
    }
    Plan { scope: Scope::Machine, steps }
}

/// One agent.
pub(super) fn agent(desired: &Desired, facts: &Facts) -> Result<Plan, DesireError> {
    let mut steps = account(desired, facts)?;
    steps.extend(network(desired, facts));
    steps.extend(super::cache::agent(&desired.name, &facts.catalog));
    steps.extend(sharing(desired));
    steps.extend(git(desired));
    steps.extend(view(desired));
    steps.push(in_force(desired).into());
    steps.push(sudo(desired, places::PROGRAM).into());
    Ok(Plan { scope: Scope::Agent(desired.name.clone()), steps })
}

fn account(desired: &Desired, facts: &Facts) -> Result<Vec<AnyStep>, DesireError> {
    let Desired { name, uid, gid, home, .. } = desired;
    let mut steps: Vec<AnyStep> = vec![
        Group { name: name.clone(), gid: *gid }.into(),
        Account {
            name: name.clone(),
            uid: *uid,
            gid: *gid,
            home: home.clone(),
            shell: desired.shell.clone(),
            groups: desired.groups.clone(),
            marker: desired.marker.clone(),
        }
        .into(),
        Home { path: home.clone(), account: name.clone(), uid: *uid, gid: *gid, bare: false }.into(),
    ];
    for (denials, service) in [(&facts.cron, "cron"), (&facts.at, "at")] {
        match denials.get(name).cloned().unwrap_or_default() {
            Denial::Unneeded => {}
            Denial::AddTo(path) => {
                let title = format!("no {service} jobs (a line in {path})");
                steps.push(Line { path, line: name.to_string(), title }.into());
            }
            Denial::Allowed(path) => return Err(DesireError::AllowedElsewhere(path, name.clone())),
        }
    }
    if facts.sshd_reads_drop_ins == Some(true) {
        steps.push(ssh(desired, facts).into());
    }
    Ok(steps)
}

/// A locked password does not stop a key of the agent's own, so sshd is told by name.
fn ssh(desired: &Desired, facts: &Facts) -> File {
    let name = &desired.name;
    let path = AbsPath::fixed("/etc/ssh/sshd_config.d").join(&format!("agentuser-{name}.conf"));
    File {
        title: format!("no ssh login ({path})"),
        path,
        content: Content::Text(format!(
            "# Made by agentuser; `agentuser teardown` removes it.\nDenyUsers {name}\n"
        )),
        mode: 0o644,
        validator: Validator::Sshd,
        after: if facts.systemd { After::ReloadSshd } else { After::Nothing },
        replaces: false,
        layer: Layer::Account,
    }
}

/// The families that the kernel has.
fn families(facts: &Facts) -> Vec<Family> {
    Family::BOTH.into_iter().filter(|family| *family == Family::V4 || facts.ipv6).collect()
}

fn network(desired: &Desired, facts: &Facts) -> Vec<AnyStep> {
    let (firewall, answers) = (&desired.firewall, Some(answers::path(&desired.name)));
    let answers = answers.filter(|_| !firewall.names.is_empty());
    let rules = Netfilter { firewall: firewall.clone(), families: families(facts), answers: answers.clone() };
    let mut steps: Vec<AnyStep> = vec![rules.into()];
    if facts.nft {
        let record = places::state(&desired.name).join("nft.json");
        steps.push(NftTable { firewall: firewall.clone(), record, answers }.into());
    }
    if !desired.firewall.outbound_allowed {
        let paths = places::NAME_SERVICES.map(places::fixed).into();
        steps.push(Sockets { uid: desired.uid, paths }.into());
        if facts.dbus {
            steps.push(message_bus(desired).into());
        }
    }
    steps
}

/// Services that reach the network for whoever asks them over the message bus: resolvers.
fn message_bus(desired: &Desired) -> File {
    let path = AbsPath::fixed("/etc/dbus-1/system.d").join(&format!("agentuser-{}.conf", desired.name));
    File {
        title: format!("no resolver on the message bus ({path})"),
        path,
        content: Content::Text(dbus::render(&desired.name)),
        mode: 0o644,
        validator: Validator::Nobody,
        after: After::Nothing,
        replaces: false,
        layer: Layer::Network,
    }
}

fn sharing(desired: &Desired) -> Vec<AnyStep> {
    let state = places::state(&desired.name);
    // A parent may be on the way of several agents: the record of what it was before the first is the machine's.
    let machine = places::machine_state();
    let traverse = desired.traverse.iter().map(|dir| {
        Traverse {
            dir: dir.clone(),
            agent: desired.uid,
            owner: desired.human.clone(),
            records: machine.clone(),
        }
        .into()
    });
    let trees = desired.projects.iter().map(|project| {
        let job = share::Job {
            root: project.path.clone(),
            agent: desired.uid,
            human: desired.human.uid,
            access: project.access,
            threads: 2,
            break_links: false,
        };
        if desired.view.maps(&project.path) {
            ShareMount { job, owner: desired.human.clone(), records: state.clone() }.into()
        } else {
            ShareAcl { job, owner: desired.human.clone(), records: state.clone() }.into()
        }
    });
    traverse.chain(trees).collect()
}

fn private_title(private: &Private) -> String {
    let tmp = if private.tmp { ", /tmp" } else { "" };
    let open: Vec<_> =
        private.projects.iter().filter(|project| project.writable && !project.guarded).collect();
    let git = match open[..] {
        [] => "git: guard".into(),
        [one] => format!("git: open in {}", one.path),
        _ => format!("git: open in {} projects", open.len()),
    };
    format!("private view: other homes and processes{tmp} and /dev/shm are out of sight; {git}")
}

/// Projects whose files keep entries on the disk though the policy asks for mounts.
fn not_mapped(view: &View) -> String {
    let lines = view.not_mapped.iter().map(|(path, why)| format!("; sharing: acl in {path}, for {why}"));
    lines.collect::<Vec<_>>().concat()
}

/// How the agent sees the machine, and its own place for temporary files.
fn view(desired: &Desired) -> Vec<AnyStep> {
    let private = desired.view.private.as_ref();
    let tmp = private.is_some_and(|private| private.tmp).then(|| {
        AnyStep::from(PrivateTmp { path: places::private_tmp(&desired.name), account: desired.name.clone() })
    });
    let title = match (private, &desired.view.why) {
        (Some(private), _) => private_title(private) + &not_mapped(&desired.view),
        (None, Some(why)) => format!("plain view, and git: audit only, for {why}"),
        (None, None) => "plain view, as the policy says, and so git: audit only".into(),
    };
    let settled = settled(places::view(&desired.name), desired.view.keep(), title);
    tmp.into_iter().chain([settled.into()]).collect()
}
