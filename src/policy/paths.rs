//! Which directories may be shared, judged by their names alone; what they are on the disk is judged where they are opened.

use super::error::{Refusal, quote};
use crate::model::{AbsPath, PathError};

/// Directories that are refused, but not all that lies below them.
const ITSELF: [&str; 36] = [
    "/home",
    "/tmp",
    "/opt",
    "/var",
    "/srv",
    "/mnt",
    "/media",
    "/usr/src",
    "/usr/local/src",
    "/nix",
    "/snap",
    "/data",
    "/var/tmp",
    "/var/lib",
    "/var/cache",
    "/var/www",
    "/var/opt",
    "/export",
    "/export/home",
    "/usr/home",
    "/home/linuxbrew",
    "/Users",
    "/Volumes",
    "/Users/Shared",
    "/opt/homebrew",
    "/private",
    "/private/tmp",
    "/private/var",
    "/private/var/tmp",
    "/private/var/folders",
    "/var/folders",
    "/Developer",
    "/Network",
    "/net",
    "/afs",
    "/nfs",
];

/// Directories that are refused with all that lies below them.
const BELOW: [&str; 33] = [
    "/bin",
    "/boot",
    "/dev",
    "/efi",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/lost+found",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/backups",
    "/var/db",
    "/var/lib/agentuser",
    "/var/lib/dpkg",
    "/var/log",
    "/var/mail",
    "/var/root",
    "/var/run",
    "/var/spool",
    "/Applications",
    "/Library",
    "/System",
    "/cores",
    "/private/etc",
    "/private/var/db",
    "/private/var/log",
    "/private/var/root",
    "/private/var/run",
];

/// What lies below one of [`BELOW`] and is meant for sources.
const SOURCES: [&str; 2] = ["/usr/src", "/usr/local/src"];

/// Directories whose entries are homes.
const HOMES: [&str; 4] = ["/home", "/Users", "/export/home", "/usr/home"];

/// Names of directories that hold credentials, in lower case, for macOS does not tell `.SSH` from `.ssh`.
const CREDENTIALS: [&str; 37] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".config",
    ".docker",
    ".kube",
    ".local",
    ".mozilla",
    ".thunderbird",
    ".netrc",
    ".password-store",
    ".cargo",
    ".pki",
    ".vault-token",
    ".terraform.d",
    ".git-credentials",
    ".m2",
    ".gradle",
    ".npmrc",
    ".pypirc",
    ".gem",
    ".oci",
    ".boto",
    ".s3cfg",
    ".putty",
    ".subversion",
    ".var",
    ".snap",
    ".bitcoin",
    ".ethereum",
    ".electrum",
    ".keychain",
    ".claude",
    ".codex",
    ".gemini",
    "keychains",
];

/// Reads a path; `what` is said in the hint.
pub(super) fn read(text: &str) -> Result<AbsPath, Refusal> {
    let no = |why: &str, hint: &str| Err(Refusal::new(format!("{} {why}", quote(text)), hint));
    match text.parse() {
        Ok(path) => Ok(path),
        Err(PathError::Relative(_)) if text.starts_with('~') => no(
            "starts with `~`, which a shell replaces but a policy does not",
            "write the path from `/` on, such as `/home/alice/src/shop`",
        ),
        Err(PathError::Relative(_)) if text.starts_with('$') => no(
            "has a variable, which a policy does not replace",
            "write the path from `/` on, such as `/home/alice/src/shop`",
        ),
        Err(PathError::Relative(_)) => no("is not an absolute path", "write the path from `/` on"),
        Err(PathError::Form(_)) => no("is not in normal form", &format!("write {}", quote(&normal(text)))),
        Err(PathError::Control(_)) => no("has a control character", "rename the directory"),
    }
}

/// The lexical normal form.
fn normal(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A path that becomes a field of passwd(5) or an entry of `PATH`, where a colon parts entries.
pub(super) fn read_program(text: &str) -> Result<AbsPath, Refusal> {
    let path = read(text)?;
    if text.contains(':') {
        return Err(Refusal::new(format!("{} has a colon", quote(text)), "write one path, without `:`"));
    }
    if path == AbsPath::root() {
        return Err(Refusal::new("`/` is the root directory", "name the directory or program that is meant"));
    }
    Ok(path)
}

/// Whether a directory is one that each account may write to.
pub(super) fn is_public(path: &AbsPath) -> bool {
    let top =
        ["/tmp", "/var/tmp", "/dev", "/run", "/private/tmp", "/private/var/tmp", "/proc", "/Users/Shared"];
    top.iter().any(|dir| within(path, dir))
}

/// Without regard to case, for macOS opens `/ETC` as `/etc`.
fn within(path: &AbsPath, dir: &str) -> bool {
    let (start, rest) = path.as_str().split_at_checked(dir.len()).unwrap_or_default();
    start.eq_ignore_ascii_case(dir) && (rest.is_empty() || rest.starts_with('/'))
}

fn is_one_of(path: &AbsPath, dirs: &[&str]) -> bool {
    dirs.iter().any(|dir| path.as_str().eq_ignore_ascii_case(dir))
}

/// Judges a directory that is to be shared.
pub(super) fn project(path: &AbsPath) -> Result<(), Refusal> {
    let shown = quote(path.as_str());
    let no = |why: String, hint: &str| Err(Refusal::new(format!("{shown} {why}"), hint));
    let below = "name a directory of its own for the work, such as `/home/alice/src/shop`";
    let text = path.as_str();
    if text == "/" {
        return no("is the whole machine".into(), below);
    }
    if is_home(path) {
        return no("is a home directory, with everything in it".into(), below);
    }
    if let Some(part) = credentials(path) {
        return no(
            format!("lies in {}, which holds credentials or settings", quote(part)),
            "share a directory outside it",
        );
    }
    if text.split('/').any(|part| part.eq_ignore_ascii_case(".git")) {
        return no(
            "is git's own directory, whose hooks your git runs".into(),
            "share the work tree that holds it",
        );
    }
    let source = SOURCES.iter().any(|dir| within(path, dir));
    if is_one_of(path, &ITSELF) || !source && BELOW.iter().any(|dir| within(path, dir)) {
        return no("belongs to the system".into(), below);
    }
    Ok(())
}

/// Judges what the agent is let read beside the usual places: anything but what holds everything.
pub(super) fn readable(path: &AbsPath) -> Result<(), Refusal> {
    let hint = "name the file or directory that is meant";
    if path.as_str() == "/" || is_home(path) || is_one_of(path, &HOMES) {
        let message = format!("{} holds too much to be opened as a whole", quote(path.as_str()));
        return Err(Refusal::new(message, hint));
    }
    Ok(())
}

/// The directory of a toolchain whose `bin` is in `PATH`, where it is one that may be shown as a whole.
pub fn toolchain(bin: &AbsPath) -> Option<AbsPath> {
    let dir = bin.parent().filter(|_| bin.name() == "bin")?;
    project(&dir).is_ok().then_some(dir)
}

fn is_home(path: &AbsPath) -> bool {
    let of_a_person = path.parent().is_some_and(|parent| is_one_of(&parent, &HOMES));
    is_one_of(path, &["/root"]) || of_a_person && !is_one_of(path, &ITSELF)
}

fn credentials(path: &AbsPath) -> Option<&str> {
    let mut parts = path.as_str().split('/');
    let known = |part: &&str| CREDENTIALS.iter().any(|name| name.eq_ignore_ascii_case(part));
    let library = |part: &&str| within(path, "/Users") && part.eq_ignore_ascii_case("Library");
    let at_home = path.as_str().split('/').nth(3).filter(library);
    parts.find(known).or(at_home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused() {
        let system = [
            "/",
            "/etc",
            "/etc/x",
            "/usr",
            "/usr/local/bin",
            "/var",
            "/var/lib",
            "/lib64",
            "/proc/1",
            "/run/user/1",
        ];
        let homes = [
            "/root",
            "/home",
            "/home/alice",
            "/Users/alice",
            "/Users",
            "/opt",
            "/tmp",
            "/var/root",
            "/root/.ssh",
        ];
        let held = [
            "/home/alice/.ssh",
            "/home/alice/.config/x",
            "/home/alice/a/.GNUPG/b",
            "/Users/alice/Library/Keychains/x",
        ];
        let git = [
            "/home/alice/shop/.git",
            "/home/alice/shop/.git/hooks",
            "/Users/alice/Library",
            "/users/alice",
            "/ETC/x",
        ];
        for bad in system.iter().chain(&homes).chain(&held).chain(&git) {
            assert!(project(&bad.parse().unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn shared() {
        let good = [
            "/home/alice/src/shop",
            "/srv/shop",
            "/opt/shop",
            "/tmp/shop",
            "/usr/local/src/shop",
            "/data/shop",
        ];
        for good in
            good.iter().chain(&["/Users/alice/shop", "/var/www/shop", "/home/alice/.gitlab", "/etcetera"])
        {
            assert_eq!(project(&good.parse().unwrap()), Ok(()), "{good}");
        }
    }

    #[test]
    fn toolchains() {
        let of = |bin: &str| toolchain(&bin.parse().unwrap()).map(|dir| dir.to_string());
        assert_eq!(of("/home/alice/.nvm/v22/bin"), Some("/home/alice/.nvm/v22".into()));
        for none in
            ["/home/alice/bin", "/home/alice/.local/bin", "/home/alice/.cargo/bin", "/srv/bin", "/srv/tools"]
        {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn the_mend_is_the_normal_form() {
        assert_eq!(normal("/a/../b//c/./d/"), "/b/c/d");
        assert_eq!(normal("/../"), "/");
    }
}
