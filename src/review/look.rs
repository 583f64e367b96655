//! One walk over a project that notes what is watched. It runs as the human, in a child that can open nothing but the
//! projects, and only to read: what it parses, the agent wrote.
//!
//! No link is followed and no mount crossed; directories are opened one below the other by descriptor. What is read of a
//! file, how deep a tree goes and how much is noted is bounded.

use super::{
    Kind, Snapshot, config,
    links::{Links, Made},
    names, system,
};
use crate::{
    host::dir::{Dir, Listing, Place, listing},
    model::{AbsPath, PathBytes},
};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    ffi::{CStr, CString},
    fmt::Write as _,
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    process::{Command, Stdio},
};

/// The most of a file that is looked at.
const MOST_BYTES: u64 = 1 << 20;
/// The most directories of a project.
const MOST_DIRECTORIES: usize = 500_000;
/// The most entries of one directory.
const MOST_ENTRIES: usize = 1_000_000;
/// How deep a tree may be.
const DEEPEST: usize = 256;
/// The most that a child may answer of one project, or of all that is elsewhere.
pub(super) const MOST_ANSWER: u64 = 64 << 20;

/// What a child is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// One snapshot a project.
    Projects(Vec<AbsPath>),
    /// What is the agent's elsewhere.
    Outside(system::Errand),
}

/// Looks at projects in a child without rights to anything else. Answers one snapshot a project, in their order; none for
/// one that can't be opened.
pub fn look(projects: &[AbsPath]) -> io::Result<Vec<Option<Snapshot>>> {
    ask(system::child(projects)?, &Request::Projects(projects.to_vec()))
}

/// Starts a child, and answers what it found.
pub(super) fn ask<T: DeserializeOwned>(mut child: Command, request: &Request) -> io::Result<T> {
    let mut child =
        child.env_clear().current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    to.write_all(&serde_json::to_vec(request)?)?;
    drop(to);
    let most = match request {
        Request::Projects(projects) => MOST_ANSWER.saturating_mul(projects.len().max(1) as u64),
        Request::Outside(_) => MOST_ANSWER,
    };
    let mut text = Vec::new();
    let read = from.take(most).read_to_end(&mut text);
    if read.is_err() || text.len() as u64 == most {
        child.kill()?;
    }
    child.wait()?;
    read?;
    Ok(serde_json::from_slice(&text)?)
}

/// The child.
pub fn main() -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().take(MOST_ANSWER).read_to_end(&mut text)?;
    let answer = match serde_json::from_slice(&text)? {
        Request::Projects(projects) => {
            system::only_read(&projects)?;
            let one = |project: &AbsPath| Dir::open(project.as_path()).ok().map(|root| of(&root));
            serde_json::to_vec(&projects.iter().map(one).collect::<Vec<_>>())?
        }
        Request::Outside(errand) => serde_json::to_vec(&system::outside(&errand)?)?,
    };
    io::stdout().write_all(&answer)
}

/// What is watched in one project.
pub(super) fn of(root: &Dir) -> Snapshot {
    let mut walk = Walk {
        root,
        found: Snapshot::default(),
        links: Links::default(),
        waiting: vec![(Place::root(), 0, None)],
    };
    let mut buffer = listing();
    let mut directories = 0;
    while let Some((place, depth, made)) = walk.waiting.pop() {
        directories += 1;
        if directories > MOST_DIRECTORIES || walk.found.is_full() {
            walk.found.note(
                ".",
                "more",
                Kind::Unfinished,
                "the project is too large to be looked at as a whole",
            );
            break;
        }
        if depth < DEEPEST
            && let Ok(dir) = place.open(root)
        {
            walk.directory(&mut buffer, &dir, &place, depth, &made);
        }
    }
    walk.links.note(&mut walk.found);
    walk.found
}

struct Walk<'a> {
    root: &'a Dir,
    found: Snapshot,
    links: Links,
    /// Directories, how deep each is, and whether it is of those that were made and not written.
    waiting: Vec<(Place, usize, Made)>,
}

impl Walk<'_> {
    fn directory(&mut self, buffer: &mut Listing, dir: &Dir, place: &Place, depth: usize, made: &Made) {
        let mut entries: Vec<(CString, FileType)> = Vec::new();
        let mut more = false;
        let listed = dir.each(buffer, |name, kind| {
            if entries.len() < MOST_ENTRIES {
                entries.push((name.to_owned(), kind));
            } else {
                more = true;
            }
        });
        if listed.is_err() {
            return;
        }
        if more {
            let why = "the directory has more entries than are looked at";
            self.found.note(&place.path().to_string(), "more", Kind::Unfinished, why);
        }
        let has = |wanted: &CStr| entries.iter().any(|(name, _)| name.as_c_str() == wanted);
        if has(c"HEAD") && (has(c"objects") && has(c"refs") || has(c"commondir")) {
            return self.repository(dir, place, &entries, depth);
        }
        for (name, kind) in &entries {
            let kind = match kind {
                FileType::Unknown => dir.meta_at(name).map_or(FileType::Unknown, |meta| meta.kind),
                known => *known,
            };
            match kind {
                FileType::Directory => {
                    let child = place.child(name);
                    let begins = made.is_none() && names::is_made(name.to_bytes());
                    let made = if begins { Some(child.path().to_string().into()) } else { made.clone() };
                    self.waiting.push((child, depth + 1, made));
                }
                FileType::RegularFile => self.file(dir, place, name, made),
                FileType::Symlink if made.is_none() => self.link(dir, place, name, depth),
                _ => {}
            }
        }
    }

    fn file(&mut self, dir: &Dir, place: &Place, name: &CStr, made: &Made) {
        self.bits_and_names(dir, place, name, made);
        if name == c".git" {
            self.whole(dir, place, name, Kind::GitRepository);
        }
        if made.is_some() {
            return;
        }
        let path = place.path_of(name);
        if name == c"package.json" {
            self.scripts(dir, name, &path);
        } else if let Some(kind) = names::kind(path.as_bytes()) {
            self.whole(dir, place, name, kind);
        }
    }

    /// What is told of any file, wherever it lies: set-id bits, and names elsewhere.
    fn bits_and_names(&mut self, dir: &Dir, place: &Place, name: &CStr, made: &Made) {
        let Ok(meta) = dir.meta_at(name) else { return };
        let path = || place.path_of(name).to_string();
        if meta.mode & 0o6000 != 0 {
            let value = format!("mode {:04o} of uid {} gid {}", meta.mode, meta.uid, meta.gid);
            self.found.note(&path(), "set-id", Kind::SetId, value);
        }
        self.links.see(&meta, path, made);
    }

    /// A file of which any change counts.
    fn whole(&mut self, dir: &Dir, place: &Place, name: &CStr, kind: Kind) {
        let path = place.path_of(name).to_string();
        let value = match read(dir, name) {
            Ok(bytes) if kind == Kind::GitRepository => shown(&bytes),
            Ok(bytes) => digest(&bytes),
            Err(error) => format!("can't be read: {}", error.kind()),
        };
        self.found.note(&path, "", kind, value);
    }

    /// The scripts of a package, one by one: its other keys change all the time.
    fn scripts(&mut self, dir: &Dir, name: &CStr, path: &PathBytes) {
        let path = path.to_string();
        let parsed =
            read(dir, name).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let Some(parsed) = parsed else {
            return self.found.note(&path, "", Kind::Script, "can't be read");
        };
        let scripts = parsed.get("scripts").and_then(|scripts| scripts.as_object());
        for (name, value) in scripts.into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.found.note(&path, &shown(name.as_bytes()), Kind::Script, shown(value.as_bytes()));
        }
    }

    /// A symbolic link, if it leads out of the project: by its text, or by where the kernel gets with it, for there may be
    /// links on its way. Nothing is opened by it.
    fn link(&mut self, dir: &Dir, place: &Place, name: &CStr, depth: usize) {
        let Ok(target) = readlinkat(dir, name, Vec::new()) else { return };
        let mut level = depth;
        let out = target.to_bytes().starts_with(b"/")
            || target.to_bytes().split(|byte| *byte == b'/').any(|part| {
                match part {
                    b".." if level == 0 => return true,
                    b".." => level -= 1,
                    b"" | b"." => {}
                    _ => level += 1,
                }
                false
            })
            || self.root.is_left_by(place.path_of(name).as_bytes());
        if out {
            let path = place.path_of(name).to_string();
            self.found.note(&path, "", Kind::LinkOut, shown(target.to_bytes()));
        }
    }

    /// What git obeys in a repository, be it `.git`, a bare one, a submodule's or a work tree's.
    fn repository(&mut self, dir: &Dir, place: &Place, entries: &[(CString, FileType)], depth: usize) {
        self.found.note(&place.path().to_string(), "", Kind::GitRepository, "a repository");
        // Objects and the like lie in it by the thousand; hooks and what git obeys are told of one by one.
        let made: Made = Some(place.path().to_string().into());
        for (name, kind) in entries {
            match kind {
                FileType::Directory => {
                    let made = if name.as_c_str() == c"hooks" { None } else { made.clone() };
                    self.waiting.push((place.child(name), depth + 1, made));
                }
                FileType::RegularFile => self.bits_and_names(dir, place, name, &None),
                _ => {}
            }
            match name.to_bytes() {
                b"config" | b"config.worktree" => self.config(dir, place, name),
                b"commondir" | b"gitdir" => self.whole(dir, place, name, Kind::GitRepository),
                b"hooks" => self.hooks(place, name),
                b"objects" => self.info(place, name, c"alternates", Kind::GitRepository),
                b"info" => {
                    if let Ok(info) = place.child(name).open(self.root) {
                        self.if_there(&info, &place.child(name), c"attributes", Kind::GitAttributes);
                    }
                }
                _ => {}
            }
        }
    }

    /// `objects/info/NAME`.
    fn info(&mut self, place: &Place, objects: &CStr, name: &CStr, kind: Kind) {
        let info = place.child(objects).child(c"info");
        if let Ok(dir) = info.open(self.root) {
            self.if_there(&dir, &info, name, kind);
        }
    }

    fn if_there(&mut self, dir: &Dir, place: &Place, name: &CStr, kind: Kind) {
        if dir.meta_at(name).is_ok() {
            self.whole(dir, place, name, kind);
        }
    }

    fn hooks(&mut self, place: &Place, name: &CStr) {
        let place = place.child(name);
        let Ok(dir) = place.open(self.root) else {
            // A link, or not a directory: git follows it.
            let path = place.path().to_string();
            return self.found.note(&path, "", Kind::GitHook, "is no plain directory");
        };
        let mut hooks = Vec::new();
        let _ = dir.each(&mut listing(), |name, _| {
            if hooks.len() < MOST_ENTRIES {
                hooks.push(name.to_owned());
            }
        });
        for hook in hooks {
            let executable = dir.meta_at(&hook).is_ok_and(|meta| meta.mode & 0o111 != 0 || !is_plain(&meta));
            if executable && !hook.to_bytes().ends_with(b".sample") {
                self.whole(&dir, &place, &hook, Kind::GitHook);
            }
        }
    }

    fn config(&mut self, dir: &Dir, place: &Place, name: &CStr) {
        let path = place.path_of(name).to_string();
        let bytes = match read(dir, name) {
            Ok(bytes) => bytes,
            Err(error) => {
                let why = format!("can't be read: {}", error.kind());
                return self.found.note(&path, "", Kind::GitCommand, why);
            }
        };
        let settings = match config::parse(&bytes) {
            Ok(settings) => settings,
            Err(error) => return self.found.note(&path, "", Kind::GitCommand, format!("{error}")),
        };
        for (key, value) in settings {
            let Some(kind) = config::kind(&key) else { continue };
            let (key, mut value) = (shown(key.as_bytes()), shown(value.as_bytes()));
            let thing = super::Thing { path: path.clone(), part: key.clone() };
            if let Some(before) = self.found.0.get(&thing) {
                value = format!("{}, {value}", before.value);
            }
            self.found.note(&path, &key, kind, value);
        }
    }
}

fn is_plain(meta: &crate::host::dir::Meta) -> bool {
    meta.kind == FileType::RegularFile
}

/// The beginning of a regular file. Nothing else is opened: a FIFO would make us wait.
fn read(dir: &Dir, name: &CStr) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(dir.as_fd(), name, flags, Mode::empty())?;
    let is = fstat(&file)?;
    if FileType::from_raw_mode(is.st_mode) != FileType::RegularFile {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    File::from(file).take(MOST_BYTES).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == MOST_BYTES {
        // What lies behind is told by the length alone.
        bytes.extend(is.st_size.to_le_bytes());
    }
    Ok(bytes)
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Bytes as text in one line that a terminal takes for nothing else, cut where it is long.
pub(super) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 300;
    let trimmed = bytes.trim_ascii_end();
    let cut = &trimmed[..trimmed.len().min(MOST)];
    let text = PathBytes::from(cut).to_string();
    // What is cut off still counts as a change.
    if cut.len() < trimmed.len() { format!("{text}… ({})", &digest(trimmed)[..16]) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::{Rank, compare};
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    fn snapshot(dir: &Path) -> Snapshot {
        of(&Dir::open(&dir.canonicalize().unwrap()).unwrap())
    }

    /// What git reads in a repository of the least form.
    fn repository(dir: &Path) {
        for sub in ["objects/info", "refs", "hooks", "info"] {
            fs::create_dir_all(dir.join(sub)).unwrap();
        }
        fs::write(dir.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(dir.join("config"), "[core]\n\tbare = false\n[user]\n\tname = ann\n").unwrap();
    }

    /// As many links in one directory would else be an answer that nobody takes, and the end of every look.
    #[test]
    fn a_stuffed_directory_is_told_as_such() {
        let temp = tempfile::tempdir().unwrap();
        let link =
            |number: u32| std::os::unix::fs::symlink("/x", temp.path().join(number.to_string())).unwrap();
        (0..20_000).for_each(link);
        let kinds = |kind| snapshot(temp.path()).0.values().filter(|seen| seen.kind == kind).count();
        assert_eq!((kinds(Kind::LinkOut), kinds(Kind::Unfinished)), (20_000, 0));
        (20_000..20_300).for_each(link);
        assert_eq!((kinds(Kind::LinkOut), kinds(Kind::Unfinished)), (20_000, 1));
    }

    #[test]
    fn what_an_agent_may_plant_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        repository(&at(".git"));
        fs::create_dir_all(at("node_modules/x")).unwrap();
        fs::write(at("package.json"), r#"{"version": "1", "scripts": {"test": "true"}}"#).unwrap();
        fs::write(at("main.rs"), "").unwrap();
        let before = snapshot(temp.path());
        assert_eq!(compare(&before, &snapshot(temp.path())), []);

        fs::write(at(".git/config"), "[core]\n\tbare = false\n\tfsmonitor = \"sh \\u001b\"\n").unwrap();
        fs::write(at(".git/config"), "[core]\n\tfsmonitor = sh\n\tfsmonitor = sh2\x1b]52\n").unwrap();
        fs::write(at(".git/hooks/post-checkout"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(at(".git/hooks/post-checkout"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(at(".git/hooks/x.sample"), "").unwrap();
        fs::write(at(".git/commondir"), "/tmp/x\n").unwrap();
        fs::write(at(".git/objects/info/alternates"), "/tmp/y\n").unwrap();
        repository(&at("nest"));
        repository(&at("node_modules/x/.git"));
        fs::create_dir_all(at(".git/modules")).unwrap();
        repository(&at(".git/modules/sub"));
        fs::create_dir_all(at("wt")).unwrap();
        fs::write(at("wt/.git"), "gitdir: /tmp/z\n").unwrap();
        fs::write(at(".envrc"), "x").unwrap();
        fs::write(
            at("package.json"),
            r#"{"version": "2", "scripts": {"test": "false", "postinstall": "x"}}"#,
        )
        .unwrap();
        fs::write(at("node_modules/x/Makefile"), "x").unwrap();
        fs::write(at("main.rs"), "changed").unwrap();
        fs::write(at("tool"), "").unwrap();
        fs::set_permissions(at("tool"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::write(at("node_modules/x/bits"), "").unwrap();
        fs::set_permissions(at("node_modules/x/bits"), fs::Permissions::from_mode(0o2755)).unwrap();
        for (link, target) in [
            ("wt/top", ".."),
            ("out", "../x"),
            ("abs", "/etc/passwd"),
            ("in", "wt/../main.rs"),
            ("wt/up", "../main.rs"),
            ("wt/out", "../../x"),
        ] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        nix::unistd::mkfifo(&at(".vimrc"), nix::sys::stat::Mode::S_IRUSR).unwrap();

        let found = compare(&before, &snapshot(temp.path()));
        let of =
            |path: &str, part: &str| found.iter().find(|f| f.path == path && f.part == part).map(|f| f.rank);
        for (path, part) in [
            (".git/config", "core.fsmonitor"),
            (".git/hooks/post-checkout", ""),
            (".git/commondir", ""),
            (".git/objects/info/alternates", ""),
            ("nest", ""),
            ("node_modules/x/.git", ""),
            (".git/modules/sub", ""),
            ("wt/.git", ""),
            (".envrc", ""),
            ("tool", "set-id"),
            ("node_modules/x/bits", "set-id"),
        ] {
            assert_eq!(of(path, part), Some(Rank::Red), "{path} {part}: {found:#?}");
        }
        for (path, part) in [
            ("package.json", "test"),
            ("package.json", "postinstall"),
            ("out", ""),
            ("abs", ""),
            ("wt/out", ""),
        ] {
            assert_eq!(of(path, part), Some(Rank::Yellow), "{path} {part}");
        }
        for path in ["in", "wt/up", "wt/top", "main.rs", "node_modules/x/Makefile", ".git/hooks/x.sample"] {
            assert_eq!(of(path, ""), None, "{path}");
        }
        let monitor = found.iter().find(|f| f.part == "core.fsmonitor").unwrap();
        assert_eq!(monitor.value.as_deref(), Some(r"sh, sh2\x1b]52"));
    }

    #[test]
    fn files_with_names_elsewhere() {
        let temp = tempfile::tempdir().unwrap();
        let (project, elsewhere) = (temp.path().join("project"), temp.path().join("elsewhere"));
        fs::create_dir_all(&elsewhere).unwrap();
        repository(&project.join(".git"));
        fs::create_dir_all(project.join("node_modules/x")).unwrap();
        for name in ["lent", "inner", "config", "object"] {
            fs::write(project.join(name), name).unwrap();
        }
        for name in ["theirs", "store", "store2"] {
            fs::write(elsewhere.join(name), name).unwrap();
        }
        let before = snapshot(&project);
        assert_eq!(compare(&before, &snapshot(&project)), []);

        let link = |from: std::path::PathBuf, to: std::path::PathBuf| fs::hard_link(from, to).unwrap();
        link(project.join("lent"), elsewhere.join("lent"));
        link(elsewhere.join("theirs"), project.join("taken"));
        link(project.join(".git/HEAD"), elsewhere.join("head"));
        link(elsewhere.join("store"), project.join("node_modules/x/a"));
        link(elsewhere.join("store2"), project.join("node_modules/x/b"));
        fs::create_dir_all(project.join(".git/objects/ab")).unwrap();
        fs::rename(project.join("object"), project.join(".git/objects/ab/c")).unwrap();
        link(project.join(".git/objects/ab/c"), elsewhere.join("c"));
        // The control: all names are inside.
        link(project.join("inner"), project.join("inner2"));
        link(project.join("config"), project.join(".git/objects/ab/config"));

        let found = compare(&before, &snapshot(&project));
        let told: Vec<_> =
            found.iter().map(|f| (f.rank, f.path.as_str(), f.value.as_deref().unwrap_or_default())).collect();
        let uid = rustix::process::getuid().as_raw();
        let one = format!("1 of its 2 names, of uid {uid}");
        assert_eq!(
            told,
            [
                (Rank::Yellow, ".git/HEAD", one.as_str()),
                (Rank::Yellow, "lent", &one),
                (Rank::Yellow, "taken", &one),
                (Rank::Grey, ".git", "1 files"),
                (Rank::Grey, "node_modules", "2 files"),
            ]
        );
    }
}
