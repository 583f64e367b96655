//! A system-wide configuration of git, as git-config(1) reads it.
//!
//! git refuses to work in a repository of somebody else's (`safe.directory`). Shared projects are the human's, so each is
//! named; never `*`, which would also take what anybody left in a public directory. The account's own configuration stays
//! its own to write, and the machine's is included.

use crate::model::AbsPath;

/// Files that git reads where nobody names another one: those of the usual places of installation.
const OF_THE_MACHINE: [&str; 2] = ["/etc/gitconfig", "/usr/local/etc/gitconfig"];

/// The configuration. Repositories inside a project count as well (git 2.46; older ones pass the pattern over).
pub fn render(projects: &[AbsPath]) -> String {
    let mut text = String::from("# Made by agentuser; `agentuser teardown` removes it.\n[include]\n");
    text.extend(OF_THE_MACHINE.iter().flat_map(|path| ["\tpath = ", path, "\n"]));
    text.push_str("[safe]\n");
    for project in projects {
        let path = project.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        text.extend(["\tdirectory = \"", &path, "\"\n\tdirectory = \"", &path, "/*\"\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered() {
        let projects = ["/home/ann/shop", "/srv/a \"b\" \\#c"].map(|path| path.parse().unwrap());
        insta::assert_snapshot!(render(&projects));
    }
}
