//! How an agent's projects are shared, as a change to the text of a policy.

use super::{EditError, change, first_key, read};
use crate::{
    model::AccountName,
    policy::{Choice as _, Sharing, render},
};

/// Says how an agent's projects are shared.
pub fn set_sharing(text: &str, agent: &AccountName, sharing: Sharing) -> Result<String, EditError> {
    let mut wanted = read(text)?;
    let there = wanted.agents.get_mut(agent).ok_or_else(|| EditError::NoAgent(agent.clone()))?;
    if there.sharing == sharing {
        return Ok(text.to_owned());
    }
    there.sharing = sharing;
    let line = format!("sharing: {sharing}");
    let mend = format!("write by hand, below the agent `{agent}`:\n    {line}");
    change(text, &wanted, &mend, |page, root| {
        let (_, node) = root.get("agents")?.1.get(agent.as_str())?;
        let Some((_, value)) = node.get("sharing") else {
            let lines = render::line_below(&[], line.clone());
            return first_key(page, node, &["human", "shell", "groups"], &lines, &line);
        };
        Some(page.replace(value.at.start..page.end(value)?, sharing.word()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{parse, render::render, render::tests as strategies};
    use proptest::prelude::*;

    const TEXT: &str = "version: 1\nagents:\n  a:\n    human: ann # me\n    # What we share.\n    projects:\n      - path: /srv/a\n  b: { human: bob }\n";

    #[test]
    fn one_key_comes_and_changes() {
        let [a, b] = ["a", "b"].map(|name| name.parse().unwrap());
        assert_eq!(set_sharing(TEXT, &a, Sharing::Acl).unwrap(), TEXT);
        let mount = set_sharing(TEXT, &a, Sharing::Mount).unwrap();
        assert_eq!(mount, TEXT.replace("# me\n", "# me\n    sharing: mount\n"));
        let back = set_sharing(&mount, &a, Sharing::Acl).unwrap();
        assert_eq!(back, mount.replace("sharing: mount", "sharing: acl"));
        let flow = set_sharing(TEXT, &b, Sharing::Mount).unwrap();
        assert_eq!(flow, TEXT.replace("human: bob", "human: bob, sharing: mount"));
        assert!(matches!(
            set_sharing(TEXT, &"c".parse().unwrap(), Sharing::Mount),
            Err(EditError::NoAgent(_))
        ));
    }

    proptest! {
        #[test]
        fn nothing_else_changes(mut policy in strategies::policies(), mount: bool) {
            let sharing = if mount { Sharing::Mount } else { Sharing::Acl };
            let Some(name) = policy.agents.keys().next().cloned() else { return Ok(()) };
            let text = set_sharing(&render(&policy), &name, sharing).unwrap();
            policy.agents.get_mut(&name).unwrap().sharing = sharing;
            prop_assert_eq!(parse(&text, "p").unwrap(), policy);
        }
    }
}
