//! What a teardown must leave as it was, read with the system's own tools.

use super::{Machine, outcome::system};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The state of the machine, by the name of each part.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    parts: BTreeMap<String, String>,
    /// When packages were last installed: somebody else's files come and go with them.
    packages: Option<std::time::SystemTime>,
}

/// The files of /etc that are compared even where packages were installed meanwhile.
const OURS_TO_KEEP: [&str; 12] = [
    "agentuser",
    "t_pv_",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/subuid",
    "/etc/subgid",
    "/etc/sudoers",
    "/etc/ssh",
    "/etc/cron.",
    "/etc/at.",
];

impl Snapshot {
    pub(super) fn of(machine: &Machine) -> Self {
        let mut parts = BTreeMap::new();
        // Backups of passwd and its kin end in a hyphen, and are rewritten by every change of an account.
        walk(Path::new("/etc"), &mut |path| {
            if !path.as_os_str().as_encoded_bytes().ends_with(b"-") {
                parts.insert(path.display().to_string(), entry(path));
            }
        });
        for place in ["/usr/local/bin", "/home", "/var/lib", "/run/agentuser", "/var/spool/cron/crontabs"] {
            parts.insert(format!("names in {place}"), names(Path::new(place)));
        }
        for human in &machine.humans {
            let home = human.home.to_str().expect("text");
            parts.insert(
                format!("getfacl -R {home}"),
                system(&["getfacl", "-R", "-n", "-p", "--physical", home]),
            );
            walk(&human.home, &mut |path| {
                parts.insert(path.display().to_string(), entry(path));
            });
        }
        for tool in [
            &["iptables-save"][..],
            &["ip6tables-save"],
            &["ipset", "save"],
            &["nft", "--stateless", "list", "ruleset"],
        ] {
            parts.insert(tool.join(" "), rules(&machine.inside(tool)));
        }
        Self { parts, packages: packages() }
    }

    /// Fails where this is not the same as `before`, and shows in what.
    #[track_caller]
    pub(crate) fn assert_same_as(&self, before: &Self, when: &str) {
        let all = !self.parts.keys().any(|name| name.contains(".dpkg-")) && self.packages == before.packages;
        let compared = |name: &str| {
            all || !name.starts_with("/etc/") || OURS_TO_KEEP.iter().any(|our| name.contains(our))
        };
        let mut text = String::new();
        let new = self.parts.keys().filter(|name| !before.parts.contains_key(*name));
        for name in before.parts.keys().chain(new).filter(|name| compared(name)) {
            let (was, is) = (before.parts.get(name), self.parts.get(name));
            if was != is {
                let shown = |part: Option<&String>| part.map_or("nothing".into(), |text| cut(text));
                let _ = writeln!(text, "== {name}\n-- before\n{}\n-- after\n{}", shown(was), shown(is));
            }
        }
        assert!(text.is_empty(), "{when}, the machine is not as it was:\n{text}");
    }
}

fn packages() -> Option<std::time::SystemTime> {
    fs::metadata("/var/lib/dpkg/info").and_then(|is| is.modified()).ok()
}

/// Rules without the times and counters that their tools print.
fn rules(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let plain = lines.map(|line| match line.split_once(" [") {
        Some((chain, _)) if line.starts_with(':') => chain,
        _ => line,
    });
    plain.collect::<Vec<_>>().join("\n")
}

fn cut(text: &str) -> String {
    text.chars().take(3000).collect()
}

fn names(dir: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.join("\n")
}

/// Type, mode, owner and content.
fn entry(path: &Path) -> String {
    let is = fs::symlink_metadata(path).expect("an entry");
    let content = match is.file_type() {
        kind if kind.is_symlink() => fs::read_link(path).expect("a link").display().to_string(),
        kind if kind.is_file() => String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned(),
        _ => String::new(),
    };
    format!("{:o} {}:{}\n{content}", is.mode(), is.uid(), is.gid())
}

fn walk(dir: &Path, visit: &mut dyn FnMut(&Path)) {
    visit(dir);
    let mut entries: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if fs::symlink_metadata(&path).is_ok_and(|is| is.is_dir()) {
            walk(&path, visit);
        } else {
            visit(&path);
        }
    }
}

/// Inode and times of each file below these places: they differ once a file was written, even with the same bytes.
pub(crate) fn times(places: &[&Path]) -> BTreeMap<PathBuf, [i64; 5]> {
    let mut times = BTreeMap::new();
    for place in places {
        walk(place, &mut |path| {
            if let Ok(is) = fs::symlink_metadata(path) {
                let inode = i64::try_from(is.ino()).expect("an inode");
                let of = [inode, is.mtime(), is.mtime_nsec(), is.ctime(), is.ctime_nsec()];
                times.insert(path.to_owned(), of);
            }
        });
    }
    times
}
