//! Toolchains that a person installs for themselves, and that the agent can't reach: their homes are closed to it.

use crate::model::AbsPath;
use serde::Serialize;
use std::path::Path;

/// A directory below the home that tells of a toolchain, its name, where its programs are, and how the agent gets its own.
const KNOWN: [(&str, &str, &str, &str); 9] = [
    (".nvm/versions/node", "nvm", "*/bin", "the installer of nvm"),
    (".local/share/fnm", "fnm", "node-versions/*/installation/bin", "the installer of fnm"),
    (".volta", "volta", "bin", "the installer of volta"),
    (".rustup/toolchains", "rustup", "*/bin", "the installer of rustup"),
    (".pyenv/versions", "pyenv", "*/bin", "the installer of pyenv"),
    (".local/share/uv/python", "uv", "*/bin", "the installer of uv"),
    (".bun", "bun", "bin", "the installer of bun"),
    (".sdkman/candidates", "sdkman", "*/current/bin", "the installer of sdkman"),
    (".linuxbrew", "brew", "bin", "the installer of Homebrew"),
];

/// A toolchain of the human's that the agent does not reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Toolchain {
    /// What it is called.
    pub name: &'static str,
    /// Its directory.
    pub directory: AbsPath,
    /// The directories of its programs.
    pub programs: Vec<AbsPath>,
    /// How the agent gets one of its own.
    pub own: &'static str,
}

/// Those below a home of which no program directory is in the agent's `path`.
pub fn unreached(home: &AbsPath, path: &[AbsPath]) -> Vec<Toolchain> {
    let found = KNOWN.iter().filter_map(|&(below, name, programs, own)| {
        let directory = home.join(below);
        let programs = expand(&directory, programs);
        let reached = programs.iter().any(|dir| path.contains(dir));
        (!programs.is_empty() && !reached).then_some(Toolchain { name, directory, programs, own })
    });
    found.collect()
}

/// The directories that a pattern of components leads to, where `*` is any one; at most a few.
fn expand(from: &AbsPath, pattern: &str) -> Vec<AbsPath> {
    const MOST: usize = 8;
    let mut found = vec![from.clone()];
    for component in pattern.split('/') {
        let next = found.iter().flat_map(|dir| match component {
            "*" => children(dir),
            name => vec![dir.join(name)],
        });
        found = next.filter(|dir| Path::new(dir.as_str()).is_dir()).take(MOST).collect();
    }
    found.sort();
    found
}

fn children(dir: &AbsPath) -> Vec<AbsPath> {
    let entries = std::fs::read_dir(dir.as_path()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| !name.starts_with('.')).map(|name| dir.join(&name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_unless_the_path_has_it() {
        let temp = tempfile::tempdir().unwrap();
        let home: AbsPath = temp.path().canonicalize().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(unreached(&home, &[]), []);
        for dir in [".nvm/versions/node/v20.1.0/bin", ".nvm/versions/node/v22.0.0/bin", ".rustup/toolchains"]
        {
            std::fs::create_dir_all(home.join(dir).as_path()).unwrap();
        }
        let found = unreached(&home, &[]);
        assert_eq!(found.iter().map(|one| one.name).collect::<Vec<_>>(), ["nvm"]);
        assert_eq!(found[0].programs.len(), 2);
        assert_eq!(unreached(&home, &found[0].programs[..1]), []);
    }
}
