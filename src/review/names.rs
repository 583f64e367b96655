//! Which files are of which kind, by their path.

use super::Kind::{
    self, AgentSettings, AgentWords, Build, Cargo, Container, Editor, GitAttributes, GitTools, Packages,
    Pipeline, Python, ShellEntry, Style,
};

/// Directories of what package managers and compilers make: their content is as many foreign programs as the project uses,
/// and is not listed.
const MADE: [&str; 8] =
    ["node_modules", ".venv", "venv", "target", "__pycache__", ".tox", ".direnv", "site-packages"];

/// Files by their name, in lower case, wherever they are.
const NAMES: &[(&str, Kind)] = &[
    (".envrc", ShellEntry),
    (".env", ShellEntry),
    (".autoenv", ShellEntry),
    (".autoenv.zsh", ShellEntry),
    ("mise.toml", ShellEntry),
    (".mise.toml", ShellEntry),
    (".tool-versions", ShellEntry),
    (".nvmrc", Packages),
    (".node-version", Packages),
    (".python-version", Packages),
    (".vimrc", Editor),
    (".exrc", Editor),
    (".nvim.lua", Editor),
    (".nvimrc", Editor),
    (".dir-locals.el", Editor),
    (".dir-locals-2.el", Editor),
    (".mcp.json", AgentSettings),
    ("claude.md", AgentWords),
    ("claude.local.md", AgentWords),
    ("agents.md", AgentWords),
    ("gemini.md", AgentWords),
    (".cursorrules", AgentWords),
    (".windsurfrules", AgentWords),
    (".clinerules", AgentWords),
    ("makefile", Build),
    ("gnumakefile", Build),
    ("justfile", Build),
    (".justfile", Build),
    ("taskfile.yml", Build),
    ("taskfile.yaml", Build),
    ("rakefile", Build),
    ("build.rs", Build),
    ("build.gradle", Build),
    ("build.gradle.kts", Build),
    ("settings.gradle", Build),
    ("settings.gradle.kts", Build),
    ("gradlew", Build),
    ("gradle-wrapper.properties", Build),
    ("mvnw", Build),
    ("cmakelists.txt", Build),
    ("cmakepresets.json", Build),
    ("cmakeuserpresets.json", Build),
    ("meson.build", Build),
    ("configure", Build),
    ("gemfile", Build),
    ("vite.config.js", Build),
    ("vite.config.ts", Build),
    ("webpack.config.js", Build),
    ("rollup.config.js", Build),
    ("jest.config.js", Build),
    ("eslint.config.js", Build),
    (".eslintrc.js", Build),
    ("setup.py", Python),
    ("setup.cfg", Python),
    ("pyproject.toml", Python),
    ("conftest.py", Python),
    ("sitecustomize.py", Python),
    ("usercustomize.py", Python),
    ("tox.ini", Python),
    ("noxfile.py", Python),
    (".npmrc", Packages),
    (".yarnrc", Packages),
    (".yarnrc.yml", Packages),
    (".pnpmfile.cjs", Packages),
    ("pnpm-workspace.yaml", Packages),
    ("bunfig.toml", Packages),
    ("pip.conf", Packages),
    ("uv.toml", Packages),
    ("rust-toolchain", Cargo),
    ("rust-toolchain.toml", Cargo),
    (".pre-commit-config.yaml", GitTools),
    ("lefthook.yml", GitTools),
    (".lefthook.yml", GitTools),
    (".gitmodules", GitTools),
    ("dockerfile", Container),
    ("containerfile", Container),
    ("compose.yaml", Container),
    ("compose.yml", Container),
    ("docker-compose.yml", Container),
    ("docker-compose.yaml", Container),
    (".devcontainer.json", Container),
    ("vagrantfile", Container),
    (".gitlab-ci.yml", Pipeline),
    ("jenkinsfile", Pipeline),
    (".editorconfig", Style),
    (".gitattributes", GitAttributes),
];

/// Files in directories of this name.
const INSIDE: &[(&str, Kind)] = &[
    (".vscode", Editor),
    (".idea", Editor),
    (".zed", Editor),
    (".fleet", Editor),
    (".claude", AgentSettings),
    (".cursor", AgentSettings),
    (".codex", AgentSettings),
    (".gemini", AgentSettings),
    (".husky", GitTools),
    (".devcontainer", Container),
    (".github", Pipeline),
    (".cargo", Cargo),
    (".mise", ShellEntry),
    (".yarn", Packages),
];

const ENDINGS: &[(&str, Kind)] = &[
    (".code-workspace", Editor),
    (".sublime-project", Editor),
    (".pth", Python),
    (".mk", Build),
    (".cmake", Build),
];

/// Whether a directory of this name holds what was made, not written.
pub fn is_made(name: &[u8]) -> bool {
    MADE.iter().any(|made| made.as_bytes() == name)
}

/// The kind of a file, by its path below the project; none for ordinary ones. Names are compared without regard to case,
/// for some file systems open them so.
pub fn kind(path: &[u8]) -> Option<Kind> {
    let path = String::from_utf8_lossy(path).to_lowercase();
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let inside = || INSIDE.iter().find(|(dir, _)| path.split('/').rev().skip(1).any(|part| part == *dir));
    let of = |found: Option<&(&str, Kind)>| found.map(|(_, kind)| *kind);
    of(NAMES.iter().find(|(known, _)| *known == name))
        .or_else(|| name.starts_with("dockerfile.").then_some(Container))
        .or_else(|| name.starts_with(".env.").then_some(ShellEntry))
        .or_else(|| of(inside()))
        .or_else(|| of(ENDINGS.iter().find(|(ending, _)| name.ends_with(ending))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::Rank;

    #[test]
    fn by_name_and_by_place() {
        let of = |path: &str| kind(path.as_bytes());
        assert_eq!(of(".envrc"), Some(ShellEntry));
        assert_eq!(of("a/b/Makefile"), Some(Build));
        assert_eq!(of(".vscode/tasks.json"), Some(Editor));
        assert_eq!(of("sub/.claude/hooks/x.sh"), Some(AgentSettings));
        assert_eq!(of("CLAUDE.md"), Some(AgentWords));
        assert_eq!(of(".GitHub/workflows/ci.yml"), Some(Pipeline));
        assert_eq!(of("x.pth"), Some(Python));
        assert_eq!(of("Dockerfile.dev"), Some(Container));
        for ordinary in ["src/main.rs", "vscode/tasks.json", "README.md", "makefile.txt", "a.env", "github/x"]
        {
            assert_eq!(of(ordinary), None, "{ordinary}");
        }
        assert_eq!(of(".cargo/config.toml").unwrap().rank(), Rank::Red);
    }
}
