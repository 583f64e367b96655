//! Runs the human's own tools to hear how they are configured: as the human, in a child that has no network (see
//! [`super::errand`]), in `/`, so that no project's files count, with an environment of our making, for a limited time.
//!
//! A tool counts where only root or the human can have put it: the directories that the policy's `path` names, the usual
//! places of toolchains in the human's home, and the directories of the system, each checked up to `/`.

use super::bounded::{self, Said};
use crate::discover::{self, CargoIndex, Found};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// How long one tool may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much one tool may say, and how large a file of configuration may be, in bytes.
const MOST: u64 = 1 << 20;

/// The most files that are read of one directory.
const MOST_FILES: usize = 100;

/// Directories of the system, which come last, as in a human's own `PATH`.
const SYSTEM: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/bin", "/usr/local/go/bin"];

/// Places of toolchains in a home; an asterisk stands for each version, the newest first.
const HOME: [&str; 8] = [
    ".cargo/bin",
    ".local/bin",
    ".volta/bin",
    ".nvm/versions/node/*/bin",
    ".pyenv/versions/*/bin",
    ".rbenv/versions/*/bin",
    "go/bin",
    "sdk/*/bin",
];

/// Whose tools are asked.
pub(super) struct Human<'a> {
    /// Login name.
    pub(super) name: &'a str,
    /// Home directory.
    pub(super) home: &'a Path,
    /// Programs by name, as [`locate`] found them.
    pub(super) programs: &'a BTreeMap<&'static str, Vec<PathBuf>>,
}

/// The programs that are run.
const PROGRAMS: [&str; 6] = ["npm", "gem", "go", "python3", "cargo", "apt-config"];

/// Finds the programs that can be trusted, the first of each name first. To be done where every account has its own id: in
/// a user namespace all others look alike.
pub(super) fn locate(home: &Path, path: &[PathBuf], uid: u32) -> BTreeMap<&'static str, Vec<PathBuf>> {
    let places = HOME.iter().flat_map(|place| versions(home, place));
    let dirs: Vec<PathBuf> =
        path.iter().cloned().chain(places).chain(SYSTEM.iter().map(PathBuf::from)).collect();
    let all = |name| dirs.iter().map(|dir| dir.join(name)).filter(|path| is_trusted(path, uid)).collect();
    PROGRAMS.into_iter().map(|name| (name, all(name))).collect()
}

impl Human<'_> {
    /// What the tools of a preset are configured to use.
    pub(super) fn discover(&self, preset: &str) -> Found {
        match preset {
            "npm" => self.one("npm", "npm", &["config", "list", "--json", "--logs-max=0"], discover::npm),
            "rubygems" => self.one("rubygems", "gem", &["sources", "--list"], discover::gem),
            "golang" => self.one("golang", "go", &["env", "-json", "GOPROXY", "GOSUMDB"], discover::go),
            "pypi" => self.python(),
            "crates" => self.cargo(),
            "debian" => self.apt(),
            other => Found::note(format!("{}: no tool is known for it", other.escape_debug())),
        }
    }

    /// Asks one tool one question.
    fn one(&self, preset: &str, tool: &str, arguments: &[&str], read: fn(&str) -> Found) -> Found {
        let Some(program) = self.find(tool) else { return Found::note(discover::by_hand(preset, tool)) };
        match self.ask(&program, arguments, &[]) {
            Ok(said) if said.status.success() => read(&said.text()),
            Ok(said) => Found::note(failed(tool, &said)),
            Err(error) => Found::note(format!("{tool}: `{}`: {error}", program.display())),
        }
    }

    /// pip tells its configuration and, of its own package, what is built in.
    fn python(&self) -> Found {
        const BUILT_IN: &str = "import json\nfrom pip._internal.models.index import PyPI\n\
                                print(json.dumps([PyPI.simple_url, PyPI.file_storage_domain]))";
        let mut found = Found::default();
        let mut told = false;
        for python in self.programs.get("python3").into_iter().flatten() {
            // -I: neither the directory it is run in nor the environment is searched for modules.
            let built_in = self.ask(python, &["-I", "-c", BUILT_IN], &[]).ok();
            let Some(built_in) = built_in.filter(|said| said.status.success()) else { continue };
            match self.ask(python, &["-I", "-m", "pip", "config", "list"], &[]) {
                Ok(config) if config.status.success() => {
                    found.add(discover::pip(&config.text(), &built_in.text()));
                }
                Ok(said) => found.add(Found::note(failed("pip", &said))),
                Err(error) => found.add(Found::note(format!("pip: {error}"))),
            }
            told = true;
            break;
        }
        for file in [PathBuf::from("/etc/uv/uv.toml"), self.home.join(".config/uv/uv.toml")] {
            if let Some(text) = text(&file) {
                found.add(discover::uv(&text, &file.display().to_string()));
            }
        }
        if !told {
            found.notes.push(discover::by_hand("pypi", "pip"));
        }
        found
    }

    fn cargo(&self) -> Found {
        let home = self.home.join(".cargo");
        let config = text(&home.join("config.toml")).or_else(|| text(&home.join("config")));
        let Some(program) = self.find("cargo") else {
            let mut found = config.map(|config| discover::cargo(&config, None, &[])).unwrap_or_default();
            found.notes = vec![discover::by_hand("crates", "cargo")];
            return found;
        };
        let kept: Vec<CargoIndex> = files(&home.join("registry/index"))
            .into_iter()
            .filter_map(|dir| {
                let directory = dir.file_name()?.to_str()?.to_owned();
                Some(CargoIndex { directory, config: text(&dir.join("config.json"))? })
            })
            .collect();
        let (said, failure) = match self.default_index(&program) {
            Ok(said) => (said, None),
            Err(error) => (String::new(), Some(format!("cargo: `{}`: {error}", program.display()))),
        };
        let mut found =
            discover::cargo(&config.unwrap_or_default(), discover::default_index(&said).as_deref(), &kept);
        found.notes.extend(failure);
        found
    }

    /// What cargo says when it looks for its index, with an empty home of its own and no network.
    fn default_index(&self, cargo: &Path) -> io::Result<String> {
        let empty = nix::unistd::mkdtemp("/tmp/agentuser-cargo-XXXXXX")?;
        let variables = [("CARGO_HOME", empty.as_os_str()), ("CARGO_NET_RETRY", "0".as_ref())];
        let said = self.ask(cargo, &["search", "--limit", "1", "a"], &variables);
        fs::remove_dir_all(&empty)?;
        Ok(String::from_utf8_lossy(&said?.stderr).into_owned())
    }

    fn apt(&self) -> Found {
        let mut found = Found::default();
        let main = PathBuf::from("/etc/apt/sources.list");
        for file in std::iter::once(main).chain(files(Path::new("/etc/apt/sources.list.d"))) {
            let name = file.display().to_string();
            let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            match (ending, text(&file)) {
                ("list", Some(text)) => found.add(discover::one_line(&text, &name)),
                ("sources", Some(text)) => found.add(discover::stanzas(&text, &name)),
                _ => {}
            }
        }
        match self.find("apt-config").map(|program| self.ask(&program, &["dump"], &[])) {
            Some(Ok(said)) if said.status.success() => found.add(discover::apt_config(&said.text())),
            Some(Ok(said)) => found.notes.push(failed("apt-config", &said)),
            Some(Err(error)) => found.notes.push(format!("apt-config: {error}")),
            None if found == Found::default() => found.notes.push(discover::by_hand("debian", "apt")),
            None => {}
        }
        found
    }

    /// Runs a program, with `/` as its directory and an environment of our making.
    fn ask(&self, program: &Path, arguments: &[&str], more: &[(&str, &std::ffi::OsStr)]) -> io::Result<Said> {
        let own = program.parent().unwrap_or(Path::new("/usr/bin")).display();
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir("/");
        command.env("PATH", format!("{own}:/usr/local/bin:/usr/bin:/bin"));
        command.env("HOME", self.home).env("USER", self.name).env("LOGNAME", self.name);
        command.envs([("LC_ALL", "C.UTF-8"), ("NO_COLOR", "1"), ("NO_UPDATE_NOTIFIER", "1")]);
        command.envs([("PIP_DISABLE_PIP_VERSION_CHECK", "1"), ("GOTOOLCHAIN", "local")]);
        command.envs(more.iter().copied());
        bounded::output(command, MOST, PATIENCE)
    }

    /// The first tool of a name.
    fn find(&self, tool: &str) -> Option<PathBuf> {
        self.programs.get(tool)?.first().cloned()
    }
}

/// A place in a home; with an asterisk, one for each version, the newest first.
fn versions(home: &Path, place: &str) -> Vec<PathBuf> {
    let Some((before, after)) = place.split_once("/*/") else { return vec![home.join(place)] };
    let mut dirs = files(&home.join(before));
    let number = |dir: &PathBuf| {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        name.split(|c: char| !c.is_ascii_digit())
            .filter_map(|part| part.parse::<u64>().ok())
            .collect::<Vec<_>>()
    };
    dirs.sort_by_key(number);
    dirs.into_iter().rev().map(|dir| dir.join(after)).collect()
}

/// Whether only root or an account can have put a program where it is: it, what it leads to, and all directories above both.
fn is_trusted(path: &Path, uid: u32) -> bool {
    let theirs = |path: &Path| {
        fs::symlink_metadata(path).is_ok_and(|is| {
            // The bits of a symbolic link mean nothing; the directory that it lies in is checked.
            (is.uid() == 0 || is.uid() == uid) && (is.is_symlink() || is.mode() & 0o022 == 0)
        })
    };
    let Ok(real) = fs::canonicalize(path) else { return false };
    let Some(Ok(parent)) = path.parent().map(fs::canonicalize) else { return false };
    fs::metadata(&real).is_ok_and(|is| is.is_file() && is.mode() & 0o111 != 0)
        && real.ancestors().all(theirs)
        && parent.ancestors().all(theirs)
}

/// The text of a file, if it is one of sane size.
fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|is| is.is_file()))?;
    let read = file.take(MOST + 1).read_to_string(&mut text).ok()?;
    (read as u64 <= MOST).then_some(text)
}

/// What lies in a directory, in the order of names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).take(MOST_FILES).collect();
    paths.sort();
    paths
}

fn failed(tool: &str, said: &Said) -> String {
    let stderr = String::from_utf8_lossy(&said.stderr);
    let line: String = stderr.lines().next().unwrap_or_default().chars().take(160).collect();
    let end = said.status.code().map_or_else(
        || format!("signal {}", said.status.signal().unwrap_or_default()),
        |code| format!("status {code}"),
    );
    format!("{tool}: it failed ({end}): {}", line.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn tools_that_others_could_have_put_there_do_not_count() {
        let uid = rustix::process::getuid().as_raw();
        assert!(is_trusted(Path::new("/bin/sh"), uid));
        assert!(!is_trusted(Path::new("/etc/passwd"), uid));
        // Below a directory that everybody writes, whoever owns it.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let tool = dir.path().join("tool");
        fs::copy("/bin/true", &tool).unwrap();
        assert!(!is_trusted(&tool, uid));
        // A link there, to a program of the system.
        let link = dir.path().join("link");
        symlink("/bin/sh", &link).unwrap();
        assert!(!is_trusted(&link, uid));
    }

    #[test]
    fn the_newest_version_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for version in ["v9.1.0", "v20.2.0", "v18.0.0"] {
            fs::create_dir_all(dir.path().join("versions").join(version)).unwrap();
        }
        let found = versions(dir.path(), "versions/*/bin");
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(dir.path().join("versions")).unwrap()).collect();
        assert_eq!(names, [Path::new("v20.2.0/bin"), Path::new("v18.0.0/bin"), Path::new("v9.1.0/bin")]);
    }

    #[test]
    fn a_pipe_in_place_of_a_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "text").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(text(&file).as_deref(), Some("text"));
        assert_eq!(text(dir.path()), None);
        assert_eq!(text(&dir.path().join("none")), None);
    }
}
