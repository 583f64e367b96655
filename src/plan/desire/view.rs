//! What an agent is shown of the machine, and what it may use of it.

use super::DesireError;
use crate::{
    model::{AbsPath, AccountName, facts::Facts, view},
    policy,
};

/// Directories for temporary files, of which the private view has its own.
const PRIVATE_PLACES: [&str; 2] = ["/tmp", "/var/tmp"];

/// The view that the policy asks for, or else the best that the kernel carries. What only a private view can give is refused
/// where it is asked for by name and can't be had.
pub(super) fn view(
    name: &AccountName,
    agent: &policy::Agent,
    facts: &Facts,
) -> Result<view::View, DesireError> {
    let no = |asked, why: &str| DesireError::NoPrivateView { agent: name.clone(), asked, why: why.into() };
    let why = match (agent.view, &facts.no_private_view) {
        (Some(policy::View::Plain), _) => Some("it needs `view: private`"),
        (Some(policy::View::Private), Some(why)) => return Err(no("view: private", why)),
        (None, Some(why)) => Some(why.as_str()),
        (_, None) => None,
    };
    if let Some(why) = why {
        if agent.confine.private_tmp == Some(true) {
            return Err(no("confine.private-tmp: true", why));
        }
        if agent.projects.iter().any(|project| project.git == Some(policy::Git::Guard)) {
            return Err(no("git: guard", why));
        }
        let wants_mount = agent.sharing == policy::Sharing::Mount;
        if wants_mount && agent.view.is_some() {
            return Err(no("sharing: mount", why));
        }
        let not_mapped = |project: &policy::Project| (project.path.clone(), why.to_owned());
        return Ok(view::View {
            version: 1,
            private: None,
            why: agent.view.is_none().then(|| why.to_owned()),
            not_mapped: agent.projects.iter().filter(|_| wants_mount).map(not_mapped).collect(),
        });
    }
    let tmp = agent.confine.private_tmp != Some(false);
    let seen = |project: &policy::Project| {
        let writable = project.access == policy::Access::ReadWrite;
        let guarded = writable && project.git != Some(policy::Git::Open);
        let mapped =
            agent.sharing == policy::Sharing::Mount && !facts.not_mappable.contains_key(&project.path);
        view::Seen { path: project.path.clone(), writable, guarded, mapped }
    };
    let projects: Vec<_> = agent.projects.iter().map(seen).collect();
    for project in &projects {
        let hidden = PRIVATE_PLACES.iter().find(|place| project.path.is_within(&AbsPath::fixed(place)));
        if let Some(place) = hidden.filter(|_| tmp) {
            let why = format!(
                "each account has a {place} of its own in the private view; move it, or write \
                 `private-tmp: false` under `confine`"
            );
            return Err(DesireError::Project { path: project.path.clone(), why });
        }
    }
    let not_mapped = projects.iter().filter_map(|seen| facts.not_mappable.get_key_value(&seen.path));
    let not_mapped = not_mapped.map(|(path, why)| (path.clone(), why.clone())).collect();
    let private = view::Private { groups: agent.groups.clone(), tmp, projects };
    Ok(view::View { version: 1, private: Some(private), why: None, not_mapped })
}

/// Limits that root has to put in force need a control group, and root's half of a launch to join it.
pub(super) fn refuse_limits(
    name: &AccountName,
    limits: &policy::Limits,
    view: &view::View,
    facts: &Facts,
) -> Result<(), DesireError> {
    let asked = match (limits.memory, limits.cpus) {
        (None, None) => return Ok(()),
        (Some(_), _) => "limits.memory",
        (None, Some(_)) => "limits.cpus",
    };
    let why = match (&view.private, &facts.no_cgroup) {
        (Some(_), None) => return Ok(()),
        (Some(_), Some(why)) => why.clone(),
        (None, _) => "it needs `view: private`".into(),
    };
    Err(DesireError::NoPrivateView { agent: name.clone(), asked, why })
}
