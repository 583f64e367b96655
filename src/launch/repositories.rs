//! git's entries for repositories inside of projects, as the agent, for the agent.
//!
//! Root's configuration of git names each project. Repositories in it (submodules, or a directory of several checkouts) are
//! named there by a pattern, which git takes from 2.46 on. For an older one those that are there are written down at each
//! launch, in a file of the agent's own that root's leads to: it says no more than what the agent may say in its `~/.gitconfig`.
//! Where every git of the machine takes the pattern nothing is looked for; root decides it when the policy is put in force.

use crate::{formats::gitconfig, host::trust, model::AbsPath, review::config};
use rustix::fs::{Mode, OFlags, open};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

/// How many directories are looked into for all projects, and how many names in each: a launch does not wait for a large tree.
const MOST_DIRECTORIES: usize = 200;
const MOST_NAMES: usize = 300;

/// The longest configuration of a submodule that is read, in bytes.
const LONGEST: u64 = 64 << 10;

/// Where a machine has its git.
const GITS: [&str; 2] = ["/usr/local/bin/git", "/usr/bin/git"];

/// The first version that takes a pattern.
const TAKES_PATTERNS: (u32, u32) = (2, 46);

/// How git is told of repositories inside of projects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inside {
    /// By the pattern in root's configuration alone.
    ByPattern,
    /// Those that are there are written down, too.
    #[default]
    OneByOne,
}

impl Inside {
    /// By the pattern, where every git that an agent comes upon takes it: those of the machine, which are asked where they are
    /// root's alone, and none in these directories before them. For root.
    pub fn of_the_machine(before: &[AbsPath]) -> Self {
        let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
        let mut gits = GITS.iter().map(Path::new).filter(|git| is_there(git)).peekable();
        let taken = gits.peek().is_some()
            && !before.iter().any(|dir| is_there(&dir.as_path().join("git")))
            && gits.all(|git| version_of(git).is_some_and(|version| version >= TAKES_PATTERNS));
        if taken { Self::ByPattern } else { Self::OneByOne }
    }
}

fn version_of(git: &Path) -> Option<(u32, u32)> {
    trust::check(git).ok()?;
    let mut command = Command::new(git);
    command.arg("--version").env_clear().current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
    version(&String::from_utf8(command.output().ok()?.stdout).ok()?)
}

/// The version in the answer of `git --version`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Writes down the repositories inside of these projects, where that differs from what stands there. A launch does not fail
/// for it.
pub(super) fn write_down(home: &Path, projects: &[impl AsRef<Path>]) {
    let found = inside(projects);
    let path = home.join(gitconfig::OF_THE_AGENT);
    let now = fs::read_to_string(&path).unwrap_or_default();
    let text = if found.is_empty() { String::new() } else { gitconfig::repositories(&found) };
    if text != now {
        let _ = replace(&path, &text);
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir)?;
    let new = dir.join(format!(".repositories.{}", std::process::id()));
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))
}

/// The repositories inside of projects: submodules, as the project's own repository knows them, or where it is none, the
/// repositories in it and in its directories.
fn inside(projects: &[impl AsRef<Path>]) -> Vec<String> {
    let mut look = Look { left: MOST_DIRECTORIES, found: Vec::new() };
    for project in projects.iter().map(AsRef::as_ref) {
        let own = project.join(".git");
        match fs::symlink_metadata(&own) {
            Ok(is) if is.is_dir() => look.modules(project, &own.join("modules")),
            Ok(_) => {}
            Err(_) => look.directories(project, 2),
        }
    }
    look.found.sort();
    look.found
}

struct Look {
    left: usize,
    found: Vec<String>,
}

impl Look {
    /// The directories in a directory; none once enough was looked at.
    fn names(&mut self, dir: &Path) -> Vec<PathBuf> {
        let Some(left) = self.left.checked_sub(1) else { return vec![] };
        self.left = left;
        let names = fs::read_dir(dir).into_iter().flatten().flatten().take(MOST_NAMES);
        names
            .filter(|name| name.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|name| name.path())
            .collect()
    }

    /// Submodules have their repositories below `modules`, by names that may have slashes, and further ones in these.
    fn modules(&mut self, project: &Path, dir: &Path) {
        for module in self.names(dir) {
            if module.join("HEAD").exists() {
                let place = worktree(&module).filter(|place| place.starts_with(project));
                self.found.extend(place.and_then(|place| place.into_os_string().into_string().ok()));
                self.modules(project, &module.join("modules"));
            } else {
                self.modules(project, &module);
            }
        }
    }

    fn directories(&mut self, dir: &Path, deep: usize) {
        for below in self.names(dir) {
            if below.join(".git").exists() {
                self.found.extend(below.to_str().map(str::to_owned));
                self.modules(&below, &below.join(".git/modules"));
            } else if deep > 1 {
                self.directories(&below, deep - 1);
            }
        }
    }
}

/// Where a submodule is checked out, as its configuration says, without links.
fn worktree(module: &Path) -> Option<PathBuf> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(module.join("config"), flags, Mode::empty()).ok()?);
    let mut bytes = Vec::new();
    let most = if file.metadata().ok()?.is_file() { LONGEST } else { 0 };
    file.take(most).read_to_end(&mut bytes).ok()?;
    let settings = config::parse(&bytes).ok()?;
    let (_, place) = settings.into_iter().rfind(|(key, _)| key == "core.worktree")?;
    let mut path = PathBuf::new();
    for part in module.join(place).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_is_there_is_written_down_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        let module = |path: &str, worktree: &str| {
            write(dir.join(path).join("HEAD"), "ref: refs/heads/main\n");
            write(dir.join(path).join("config"), &format!("[core]\n\tworktree = {worktree}\n"));
        };
        module("shop/.git/modules/vendor/lib", "../../../../vendor/lib");
        module("shop/.git/modules/vendor/lib/modules/in", "../../../../../../vendor/lib/in");
        module("shop/.git/modules/away", "../../../../elsewhere");
        module("shop/.git/modules/slash", "/etc");
        write(dir.join("src/a/.git/HEAD"), "");
        write(dir.join("src/group/b/.git"), "gitdir: elsewhere\n");
        write(dir.join("src/one/two/c/.git/HEAD"), "");
        let found = inside(&[dir.join("shop"), dir.join("src"), dir.join("missing")]);
        let wanted = ["shop/vendor/lib", "shop/vendor/lib/in", "src/a", "src/group/b"];
        assert_eq!(found, wanted.map(|name| dir.join(name).to_str().unwrap().to_owned()));

        let (home, file) = (dir.join("home"), dir.join("home").join(gitconfig::OF_THE_AGENT));
        write_down(&home, &[dir.join("empty")]);
        assert!(!file.exists());
        write_down(&home, &[dir.join("src")]);
        assert_eq!(fs::read_to_string(&file).unwrap().matches("directory = ").count(), 2);
        write_down(&home, &[dir.join("empty")]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
    }

    #[test]
    fn versions_as_git_tells_them() {
        assert_eq!(version("git version 2.47.3\n"), Some((2, 47)));
        assert_eq!(version("git version 2.46.0.windows.1"), Some(TAKES_PATTERNS));
        assert_eq!(version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert!(version("git version 3.0-rc1").is_some_and(|version| version >= TAKES_PATTERNS));
        for odd in ["", "git version", "git version 2", "hub version 2.50.0", "git version x.y"] {
            assert_eq!(version(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_large_tree_is_left_after_a_while() {
        let temp = tempfile::tempdir().unwrap();
        for i in 0..2 * MOST_DIRECTORIES {
            write(temp.path().join(format!("{i}/x/f")), "");
        }
        let mut look = Look { left: MOST_DIRECTORIES, found: Vec::new() };
        look.directories(temp.path(), 2);
        assert_eq!(look.left, 0);
    }
}
