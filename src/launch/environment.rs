//! The agent's environment: a few variables of its own, what the policy sets, and what it lets pass from the human.

use super::secrets::Secrets;
use crate::{
    host::places,
    model::{AbsPath, AccountName},
    policy::EnvPattern,
};
use std::collections::BTreeMap;

/// What the environment of an agent is made of.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// The agent.
    pub name: &'a AccountName,
    /// Its login shell.
    pub shell: &'a AbsPath,
    /// Directories before the standard ones in its `PATH`.
    pub path: &'a [AbsPath],
    /// Variables that pass from the human.
    pub pass: &'a [EnvPattern],
    /// Variables with fixed values.
    pub set: &'a BTreeMap<String, String>,
    /// Whether it works in a project.
    pub has_projects: bool,
}

/// Variables that `enter` itself sets; the human's values never count.
const OWN: [&str; 6] = ["HOME", "USER", "LOGNAME", "SHELL", "PATH", "AGENTUSER"];

/// The variable by which git finds the system-wide configuration that names the projects. The policy may set another value.
const GIT: &str = "GIT_CONFIG_SYSTEM";

/// Directories of programs, after those of the policy.
const STANDARD_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// Whether a variable may pass from the human to the agent.
pub fn passes(rules: &Rules, name: &str) -> bool {
    !OWN.contains(&name) && name != GIT && rules.pass.iter().any(|pattern| pattern.matches(name))
}

/// The whole environment of the command, with the agent's tokens. `passed` is what came along as arguments; it is judged
/// again here, for whoever calls `enter` by hand chooses its arguments.
pub fn build(
    rules: &Rules,
    home: &str,
    secrets: Secrets,
    passed: impl IntoIterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    let mut path = vec![format!("{home}/.local/bin")];
    path.extend(rules.path.iter().map(ToString::to_string));
    path.push(STANDARD_PATH.into());
    let name = rules.name.as_str();
    let own = [
        ("HOME", home.to_owned()),
        ("USER", name.to_owned()),
        ("LOGNAME", name.to_owned()),
        ("SHELL", rules.shell.to_string()),
        ("PATH", path.join(":")),
        ("AGENTUSER", name.to_owned()),
    ];
    let git = (rules.has_projects && !rules.set.contains_key(GIT))
        .then(|| (GIT.to_owned(), places::gitconfig(rules.name).to_string()));
    let set = rules.set.iter().map(|(name, value)| (name.clone(), value.clone()));
    let passed = passed.into_iter().filter(|(name, _)| passes(rules, name) && !rules.set.contains_key(name));
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    passed.chain(git).chain(set).chain(secrets.into_variables()).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_policy_names_passes() {
        let text = "version: 1\nagents:\n  agent:\n    human: alice\n    environment: { pass: [LANG, LC_*], set: { EDITOR: vi } }\n";
        let policy = crate::policy::parse(text, "t").unwrap();
        let (name, agent) = policy.agents.iter().next().unwrap();
        let environment = &agent.environment;
        let rules = Rules {
            name,
            shell: &agent.shell,
            path: &agent.path,
            pass: &environment.pass,
            set: &environment.set,
            has_projects: false,
        };
        let passed = ["LANG=C", "LC_TIME=C", "HOME=/root", "SECRET=x", "EDITOR=sh", "PATH=/evil"]
            .map(|pair| pair.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap());
        let mut secrets = Secrets::default();
        secrets.set("EDITOR", "ed".into()).unwrap();
        secrets.set("GH_TOKEN", "t".into()).unwrap();
        let built = build(&rules, "/home/agent", secrets, passed);
        let get =
            |name: &str| built.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
        assert_eq!(get("LANG"), ["C"]);
        assert_eq!(get("LC_TIME"), ["C"]);
        assert_eq!(get("HOME"), ["/home/agent"]);
        // The last one counts (environ(7)): the policy's, then the agent's tokens.
        assert_eq!(get("EDITOR"), ["vi", "ed"]);
        assert_eq!(get("GH_TOKEN"), ["t"]);
        assert_eq!(get("SECRET"), Vec::<&str>::new());
        assert!(get("PATH")[0].starts_with("/home/agent/.local/bin:/usr/local/bin"));
    }
}
