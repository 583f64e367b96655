//! The steps on macOS.

use super::parts::{git, in_force, settled, sudo};
use crate::{
    engine::{Plan, Scope},
    formats::{launchd, seatbelt},
    gate::answers,
    host::{Validator, places},
    model::{
        AbsPath,
        desired::{Desired, Owner},
        facts::Facts,
    },
    policy::Dns,
    share::{AceJob, PassJob, aces::Party},
    step::{
        Account, After, AnyStep, Content, Daemon, Directory, DsAccount, DsGroup, File, Home, Layer, PassAces,
        PfAnchor, PfEnabled, ShareAces,
    },
};

/// What all agents share: the program, the policy, pf itself, and the job that puts rules in force.
pub(super) fn machine(text: &str, facts: &Facts) -> Plan {
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
    let program = places::mac::PROGRAM;
    let paths = Content::Text(format!("{}\n", places::mac::DIRECTORY));
    let policy = Content::Text(text.to_owned());
    let job = Content::Text(launchd::render(program));
    let gated = crate::policy::parse(text, places::POLICY)
        .is_ok_and(|policy| policy.agents.values().any(|agent| agent.network.dns == Dns::Gate));
    let mut steps: Vec<AnyStep> = vec![
        Directory { path: places::fixed("/etc/agentuser"), mode: 0o755 }.into(),
        File { replaces: true, ..file(places::POLICY, "policy /etc/agentuser/policy.yaml", policy, 0o644) }
            .into(),
        Directory { path: places::fixed(places::mac::TOOLS), mode: 0o755 }.into(),
        Directory { path: places::fixed(places::mac::DIRECTORY), mode: 0o755 }.into(),
        File {
            after: if gated { After::UnloadGates } else { After::Nothing },
            ..file(program, &format!("program {program}"), Content::Program, 0o755)
        }
        .into(),
        file(places::mac::PATHS, "the program is in the PATH of login shells", paths, 0o644).into(),
    ];
    steps.extend(super::cache::machine(&facts.catalog));
    steps.push(PfEnabled { token: places::machine_state().join("pf-token") }.into());
    let title = format!("job {}", launchd::LABEL);
    let after = After::UnloadJob;
    steps.push(File { layer: Layer::Network, after, ..file(launchd::PATH, &title, job, 0o644) }.into());
    let daemon = |path, gates| Daemon { path: places::fixed(path), program: places::fixed(program), gates };
    steps.push(daemon(launchd::PATH, false).into());
    if gated {
        let (title, job) = (format!("job {}", launchd::GATES), Content::Text(launchd::render_gates(program)));
        let file = File { layer: Layer::Network, after, ..file(launchd::GATES_PATH, &title, job, 0o644) };
        steps.extend([file.into(), daemon(launchd::GATES_PATH, true).into()]);
    }
    Plan { scope: Scope::Machine, steps }
}

/// One agent.
pub(super) fn agent(desired: &Desired, facts: &Facts) -> Plan {
    let mut steps = account(desired);
    let record = places::pf_record(&desired.name);
    let answers = desired.firewall.gate.map(|_| answers::path(&desired.name));
    steps.push(PfAnchor { firewall: desired.firewall.clone(), record, answers }.into());
    steps.extend(super::cache::agent(&desired.name, &facts.catalog));
    steps.extend(sharing(desired));
    steps.extend(git(desired));
    steps.push(view(desired).into());
    steps.extend(seatbelt(desired));
    steps.push(in_force(desired).into());
    steps.push(sudo(desired, places::mac::PROGRAM).into());
    Plan { scope: Scope::Agent(desired.name.clone()), steps }
}

/// The home comes first, so that it goes last: its removal is the one that macOS may refuse in part.
fn account(desired: &Desired) -> Vec<AnyStep> {
    let Desired { name, uid, gid, home, .. } = desired;
    let account = Account {
        name: name.clone(),
        uid: *uid,
        gid: *gid,
        home: home.clone(),
        shell: desired.shell.clone(),
        groups: desired.groups.clone(),
        marker: desired.marker.clone(),
    };
    vec![
        // The skeleton of macOS has directories that not even root may remove.
        Home { path: home.clone(), account: name.clone(), uid: *uid, gid: *gid, bare: true }.into(),
        DsGroup { name: name.clone(), gid: *gid }.into(),
        DsAccount { account, guid: places::state(name).join("guid") }.into(),
    ]
}

fn sharing(desired: &Desired) -> Vec<AnyStep> {
    let agent = Party { name: desired.name.to_string(), uid: desired.uid };
    let human = |owner: &Owner| Party { name: owner.name.clone(), uid: owner.uid };
    let pass = |dir: &AbsPath| {
        let job = PassJob { dir: dir.clone(), agent: desired.name.clone(), owner: human(&desired.human) };
        // A parent may be on the way of several agents; each has an entry and a record of its own.
        PassAces { job, records: places::state(&desired.name) }.into()
    };
    let tree = |project: &crate::model::desired::SharedDir| {
        let job = AceJob {
            root: project.path.clone(),
            agent: agent.clone(),
            human: human(&desired.human),
            access: project.access,
            break_links: false,
        };
        ShareAces { job, records: places::state(&desired.name) }.into()
    };
    desired.traverse.iter().map(pass).chain(desired.projects.iter().map(tree)).collect()
}

/// There is one view on macOS, and it is said what that leaves open, and why nothing more is closed unasked.
fn view(desired: &Desired) -> File {
    let mut title = "plain view, and git: audit only: macOS has no private mounts".to_owned();
    if !desired.seatbelt {
        title += "; no Seatbelt profile, for with one the sandboxes that agents bring along fail to start \
                  (confine.seatbelt)";
    }
    settled(places::view(&desired.name), desired.view.keep(), title)
}

/// What sessions give up, where the policy asks for it.
fn seatbelt(desired: &Desired) -> Option<AnyStep> {
    let title = "Seatbelt profile: no name service, no homes of others, no services of the login session";
    let text = seatbelt::agent(&desired.projects);
    desired.seatbelt.then(|| settled(places::seatbelt(&desired.name), text, title.into()).into())
}
