//! Steps that are the same on every system: files that a launch reads, and the way in.

use crate::{
    formats::{gitconfig, sudoers},
    host::{Validator, places},
    model::{
        AbsPath,
        desired::{Desired, SharedDir},
    },
    step::{After, AnyStep, Content, DeployKey, File, Layer},
};

/// What git must know of an agent's projects, which belong to somebody else: that these, and no others, are meant, and which
/// keys there are for their repositories.
pub(super) fn git(desired: &Desired) -> Vec<AnyStep> {
    if desired.projects.is_empty() {
        return vec![];
    }
    let name = &desired.name;
    let include = |key: &AbsPath| key.with_ending(".gitconfig");
    let mut steps = Vec::new();
    let mut projects = Vec::new();
    for SharedDir { path, deploy_key, .. } in &desired.projects {
        let key = places::deploy_key(name, path);
        if let Some(access) = *deploy_key {
            let text = gitconfig::for_a_key(&key, &places::known_hosts(name));
            let title = format!("git uses that key in {path} alone");
            let file = settled(include(&key), text, title);
            let (account, project) = (name.clone(), path.clone());
            let key = DeployKey { path: key.clone(), project, access, account, gid: desired.gid };
            steps.extend([AnyStep::from(key), file.into()]);
        }
        projects.push(gitconfig::Project { path, include: deploy_key.map(|_| include(&key)) });
    }
    let title = "git takes the projects for the agent's to work in".into();
    steps.push(settled(places::gitconfig(name), gitconfig::render(&projects), title).into());
    steps
}

/// A file of the state that a launch reads: what was settled at setup.
pub(super) fn settled(path: AbsPath, text: String, title: String) -> File {
    File {
        path,
        content: Content::Text(text),
        mode: 0o644,
        validator: Validator::Nobody,
        after: After::Nothing,
        replaces: false,
        layer: Layer::Launch,
        title,
    }
}

/// The policy as it is put in force, after all that it asks for: `enter` refuses once the policy says something else.
pub(super) fn in_force(desired: &Desired) -> File {
    let title = "a copy of the policy as it is in force".into();
    settled(places::in_force(&desired.name), desired.policy.clone(), title)
}

/// The drop-in of sudoers(5).
pub(super) fn sudo(desired: &Desired, program: &str) -> File {
    let path = places::sudoers(&desired.name);
    File {
        title: format!("sudo: {} becomes {} without a password ({path})", desired.human.name, desired.name),
        path,
        content: Content::Text(sudoers::render(
            &desired.human.name,
            &desired.name,
            program,
            desired.view.private.is_some(),
        )),
        mode: 0o440,
        validator: Validator::Visudo,
        after: After::EndSessions(desired.uid),
        replaces: false,
        layer: Layer::Launch,
    }
}
