//! A system-wide configuration of git, as git-config(1) reads it.
//!
//! git refuses to work in a repository of somebody else's (`safe.directory`). Shared projects are the human's, so each is
//! named; never `*`, which would also take what anybody left in a public directory. The account's own configuration stays
//! its own to write, and the machine's is included.
//!
//! A project's deploy key counts for repositories in that project alone: a condition leads to a file with the command line
//! of ssh(1) that names the key.

use crate::model::AbsPath;

/// Files that git reads where nobody names another one: those of the usual places of installation.
const OF_THE_MACHINE: [&str; 2] = ["/etc/gitconfig", "/usr/local/etc/gitconfig"];

/// A file in the agent's home, with what [`repositories`] makes.
pub const OF_THE_AGENT: &str = ".config/agentuser/repositories";

/// Hosts that ssh(1) knows machine-wide.
const KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// A project, and the file that counts in it alone.
pub struct Project<'a> {
    /// The directory.
    pub path: &'a AbsPath,
    /// What [`for_a_key`] made for it, if it has a key.
    pub include: Option<AbsPath>,
}

/// The configuration. Repositories inside a project count as well (git 2.46; for older ones the
/// agent's own file names them).
pub fn render(projects: &[Project]) -> String {
    let mut text = String::from("# Made by agentuser; `agentuser teardown` removes it.\n[include]\n");
    text.extend(OF_THE_MACHINE.iter().flat_map(|path| ["\tpath = ", path, "\n"]));
    text.extend(["\tpath = ~/", OF_THE_AGENT, "\n"]);
    text.push_str("[safe]\n");
    for project in projects {
        let path = escape(project.path.as_str());
        text.extend(["\tdirectory = \"", &path, "\"\n\tdirectory = \"", &path, "/*\"\n"]);
    }
    for (project, include) in projects.iter().filter_map(|it| Some((it.path, it.include.as_ref()?))) {
        // The condition is a pattern, in which these characters stand for others (git-config(1), "Conditional includes").
        let mut pattern = String::new();
        for c in project.as_str().chars() {
            pattern.extend(matches!(c, '\\' | '*' | '?' | '[').then_some('\\'));
            pattern.push(c);
        }
        let (pattern, include) = (escape(&pattern), escape(include.as_str()));
        text.extend(["[includeIf \"gitdir:", &pattern, "/\"]\n\tpath = \"", &include, "\"\n"]);
    }
    text
}

/// Entries for repositories inside of projects, for a git that knows no patterns.
pub fn repositories(paths: &[String]) -> String {
    let mut text = String::from("# Written by agentuser at each launch.\n[safe]\n");
    for path in paths.iter().filter(|path| !path.chars().any(char::is_control)) {
        text.extend(["\tdirectory = \"", &escape(path), "\"\n"]);
    }
    text
}

/// What counts where a key is used: it, no other one that ssh(1) finds or an agent holds, and hosts that the human knows.
/// Neither path has characters that a shell would take for others.
pub fn for_a_key(key: &AbsPath, known_hosts: &AbsPath) -> String {
    let ssh = format!(
        "ssh -i {key} -o IdentitiesOnly=yes -o IdentityAgent=none -o 'GlobalKnownHostsFile={KNOWN_HOSTS} {known_hosts}'"
    );
    format!(
        "# Made by agentuser; `agentuser teardown` removes it.\n[core]\n\tsshCommand = \"{}\"\n",
        escape(&ssh)
    )
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered() {
        let paths: [AbsPath; 3] =
            ["/home/ann/shop", "/srv/a \"b\" \\#c", "/srv/[x]*"].map(|path| path.parse().unwrap());
        let include = |name: &str| Some(AbsPath::root().join(name));
        let includes = [None, include("a"), include("b")];
        let projects: Vec<_> =
            paths.iter().zip(includes).map(|(path, include)| Project { path, include }).collect();
        insta::assert_snapshot!(render(&projects));
        let [key, hosts] = ["/var/lib/agentuser/bot/deploy-1", "/var/lib/agentuser/bot/known_hosts"]
            .map(|path| path.parse().unwrap());
        insta::assert_snapshot!(for_a_key(&key, &hosts));
        let text = repositories(&["/srv/a \"b\"".into(), "/srv/new\nline".into()]);
        assert!(text.ends_with("[safe]\n\tdirectory = \"/srv/a \\\"b\\\"\"\n"), "{text}");
    }
}
