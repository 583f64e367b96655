//! Keys of one project, as changes to the text of a policy.

use super::{EditError, Page, change, insert, read};
use crate::{
    model::{AbsPath, AccountName},
    policy::{
        Access, Choice, DeployKey, Project, render,
        yaml::{Kind, Node},
    },
};

/// Says what the agent may do in a project that it has.
pub fn set_access(
    text: &str,
    agent: &AccountName,
    path: &AbsPath,
    access: Access,
) -> Result<String, EditError> {
    set(text, agent, path, "access", access, |project| &mut project.access)
}

/// Says whether there is a key of the agent's own for a project that it has.
pub fn set_deploy_key(
    text: &str,
    agent: &AccountName,
    path: &AbsPath,
    key: DeployKey,
) -> Result<String, EditError> {
    set(text, agent, path, "deploy-key", key, |project| &mut project.deploy_key)
}

fn set<T: Choice + PartialEq>(
    text: &str,
    agent: &AccountName,
    path: &AbsPath,
    key: &str,
    value: T,
    of: impl FnOnce(&mut Project) -> &mut T,
) -> Result<String, EditError> {
    let mut wanted = read(text)?;
    let there = wanted.agents.get_mut(agent).ok_or_else(|| EditError::NoAgent(agent.clone()))?;
    let index = there.projects.iter().position(|project| project.path == *path);
    let index = index.ok_or_else(|| EditError::NoProject(path.clone()))?;
    let now = of(&mut there.projects[index]);
    if *now == value {
        return Ok(text.to_owned());
    }
    *now = value;
    let line = format!("{key}: {}", value.word());
    let mend = format!("write by hand, below `path: {path}`:\n    {line}");
    change(text, &wanted, &mend, |page, root| {
        let (_, node) = root.get("agents")?.1.get(agent.as_str())?;
        let Kind::List(projects) = &node.get("projects")?.1.kind else { return None };
        let project = projects.get(index)?;
        let Some((_, there)) = project.get(key) else {
            return last_key(page, project, &line);
        };
        Some(page.replace(there.at.start..page.end(there)?, value.word()))
    })
}

/// A key for a project that does not have it yet, after all others: as a line, or in braces.
fn last_key(page: Page<'_>, project: &Node<'_>, line: &str) -> Option<String> {
    let extents = page.entries(project)?;
    let (first, last) = (extents.first()?.first, extents.last()?);
    if page.is_flow(project) {
        return Some(insert(page, last.end, &format!(", {line}")));
    }
    // The first key stands behind the dash of its item.
    let before = &page.0[page.line_start(first)..first];
    let column = before.chars().all(|c| matches!(c, ' ' | '-')).then_some(before.len())?;
    Some(insert(page, page.lines(last)?.end, &render::line_below(&[], line.into()).text(column)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{parse, render::render, render::tests as strategies};
    use proptest::prelude::*;

    const TEXT: &str = "version: 1\nagents:\n  a:\n    human: ann\n    projects:\n      - path: /srv/a # shop\n        \
                        git: open\n      # The other.\n      - { path: /srv/b, access: read-only }\n";

    #[test]
    fn one_key_comes_and_changes_and_the_rest_stays() {
        let agent = "a".parse().unwrap();
        let [a, b, c] = ["/srv/a", "/srv/b", "/srv/c"].map(|path| path.parse().unwrap());
        let key = |text: &str, path, key| set_deploy_key(text, &agent, path, key).unwrap();
        assert_eq!(key(TEXT, &a, DeployKey::None), TEXT);
        let one = key(TEXT, &a, DeployKey::ReadOnly);
        assert_eq!(one, TEXT.replace("git: open\n", "git: open\n        deploy-key: read-only\n"));
        let more = key(&one, &a, DeployKey::ReadWrite);
        assert_eq!(more, one.replace("deploy-key: read-only", "deploy-key: read-write"));
        let flow = key(TEXT, &b, DeployKey::ReadOnly);
        assert_eq!(flow, TEXT.replace("access: read-only", "access: read-only, deploy-key: read-only"));
        let access = set_access(&one, &agent, &a, Access::ReadOnly).unwrap();
        assert_eq!(parse(&access, "p").unwrap().agents[&agent].projects[0].access, Access::ReadOnly);
        assert!(access.contains("# shop") && access.contains("git: open"), "{access}");
        assert_eq!(
            set_access(TEXT, &agent, &b, Access::ReadWrite).unwrap(),
            TEXT.replace("read-only", "read-write")
        );
        assert!(matches!(
            set_deploy_key(TEXT, &agent, &c, DeployKey::None),
            Err(EditError::NoProject(path)) if path == c
        ));
    }

    proptest! {
        #[test]
        fn nothing_else_changes(mut policy in strategies::policies(), kind in 0..3_usize, write: bool) {
            let (key, access) = (DeployKey::ALL[kind], Access::ALL[usize::from(write)]);
            let Some((name, path)) = policy.agents.iter().find_map(|(name, agent)| {
                Some((name.clone(), agent.projects.last()?.path.clone()))
            }) else { return Ok(()) };
            let text = set_deploy_key(&render(&policy), &name, &path, key).unwrap();
            let text = set_access(&text, &name, &path, access).unwrap();
            let project = policy.agents.get_mut(&name).unwrap().projects.last_mut().unwrap();
            (project.deploy_key, project.access) = (key, access);
            prop_assert_eq!(parse(&text, "p").unwrap(), policy);
        }
    }
}
