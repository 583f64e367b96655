//! What is the agent's outside of its projects, where the human and the human's tools meet it: temporary directories, places
//! that others may write, the human's home.
//!
//! It runs as the human, in a child of its own that can list directories and open no file at all: only names, owners, modes
//! and times are looked at. No link is followed; a mount is looked at where its filesystem is on this machine, and never
//! touched otherwise, for a server that is gone would make us wait. Numbers and time are bounded, and a bound that was met is told.
//!
//! Nothing has to be noted before the first session: until then the account had left nothing.

use super::{Kind, Rank, Snapshot, look, names, system};
use crate::{
    formats::mountinfo::{self, Mount},
    host::dir::{Dir, Listing, Meta, PathBytes, Place, listing},
    model::{AbsPath, Uid},
};
use rustix::fs::{AtFlags, FileType, readlinkat, statat};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    ffi::{CStr, CString},
    io,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

/// Everybody's temporary directories.
const TEMPORARY: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// Filesystems of this machine, on which looking costs no more than a disk.
const LOCAL: [&str; 14] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs",
    "vfat", "exfat",
];
/// The kernel's own directories, and stores that root alone fills.
const LEFT_OUT: [&str; 6] = ["/proc", "/sys", "/dev", "/nix", "/gnu", "/snap"];
/// How deep a place that others may write is looked for below a mount.
const DEEPEST: usize = 4;
/// How deep what the agent may write is looked at.
const DEEPEST_OWN: usize = 256;
/// The most entries of a place.
const MOST_ENTRIES: usize = 1_000_000;
/// The most files of one directory of the agent's that are counted.
const MOST_OWN: u64 = 20_000;
/// The most things of the agent's that are noted of a place.
const MOST_THINGS: usize = 3_000;

/// What the child is asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Errand {
    /// The agent.
    pub agent: Uid,
    /// The human's home.
    pub home: AbsPath,
    /// What is not looked at: the projects, and the agent's home.
    pub except: Vec<AbsPath>,
    /// How long each place may take, in milliseconds.
    pub patience: u64,
}

/// Looks in a child. What it answers are absolute paths.
pub fn outside(errand: Errand) -> io::Result<Snapshot> {
    look::ask(system::child(&[])?, &look::Request::Outside(errand))
}

/// The child's work.
pub(super) fn answer(errand: &Errand) -> io::Result<Snapshot> {
    let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo")?);
    let temporary: Vec<AbsPath> = TEMPORARY
        .iter()
        .filter_map(|path| {
            Path::new(path).canonicalize().ok()?.into_os_string().into_string().ok()?.parse().ok()
        })
        .collect();
    system::only_list()?;
    let mut found = Found::new(errand);
    let mut closed: HashSet<Vec<u8>> = mounts.iter().map(|mount| mount.at.clone()).collect();
    closed.extend(errand.except.iter().map(|path| path.as_str().into()));
    let left_out = LEFT_OUT.iter().map(|path| AbsPath::fixed(path));
    let own: HashSet<&AbsPath> = temporary.iter().chain([&errand.home]).collect();
    let places = starts(&mounts, |path| {
        !own.contains(path)
            && !left_out.clone().chain(errand.except.iter().cloned()).any(|dir| path.is_within(&dir))
    });
    let is_local = |path: &AbsPath| local(&mounts, path);
    // The home first and each temporary directory by itself: what one of them is stuffed with must not hide another.
    let in_home = |path: &&AbsPath| path.is_within(&errand.home);
    let home = Some(&errand.home).filter(|home| is_local(home));
    found.look(&home.into_iter().chain(places.iter().filter(in_home)).collect::<Vec<_>>(), true, &closed);
    for path in temporary.iter().filter(|path| is_local(path)) {
        found.look(&[path], true, &closed);
    }
    closed.extend(own.iter().map(|path| path.as_str().into()));
    closed.extend(LEFT_OUT.iter().map(|path| path.as_bytes().into()));
    found.look(&places.iter().filter(|path| !in_home(path)).collect::<Vec<_>>(), false, &closed);
    Ok(found.snapshot())
}

/// Whether a path lies on a filesystem of this machine, and the way to it, too: of what is mounted at each place the last one.
fn local(mounts: &[Mount], path: &AbsPath) -> bool {
    let above = mounts.iter().filter(|mount| {
        let dir = std::str::from_utf8(&mount.at).ok().and_then(|at| at.parse().ok());
        dir.is_some_and(|dir| path.is_within(&dir))
    });
    let on_the_way: HashMap<_, _> = above.map(|mount| (&mount.at, mount.kind.as_str())).collect();
    !on_the_way.is_empty() && on_the_way.values().all(|kind| LOCAL.contains(kind))
}

/// Where to begin: each mount of a filesystem of this machine, once.
fn starts(mounts: &[Mount], wanted: impl Fn(&AbsPath) -> bool) -> Vec<AbsPath> {
    let paths =
        mounts.iter().filter_map(|mount| std::str::from_utf8(&mount.at).ok()?.parse::<AbsPath>().ok());
    let mut paths: Vec<_> = paths.filter(|path| wanted(path) && local(mounts, path)).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// The uppermost of what is the agent's: it is told, and what lies in it is counted.
#[derive(Debug)]
struct Top {
    path: Vec<u8>,
    meta: Meta,
    changed: u64,
    files: u64,
    programs: u64,
    worst: Kind,
    closed: bool,
}

struct Found<'a> {
    errand: &'a Errand,
    things: Snapshot,
    tops: Vec<Top>,
}

/// A directory that waits: where, how deep, and which of the agent's own it lies in.
type Waiting = (Place, usize, Option<usize>);

/// What is left to a place.
struct Left {
    end: Instant,
    entries: usize,
    /// Up to how many things are noted, of this place and those before it.
    most: usize,
}

struct Walk<'w> {
    root: Dir,
    prefix: &'w AbsPath,
    whole: bool,
    waiting: VecDeque<Waiting>,
}

impl Walk<'_> {
    /// The absolute path of an entry.
    fn path_of(&self, place: &Place, name: &CStr) -> Vec<u8> {
        let below = place.path_of(name);
        let prefix = self.prefix.as_str().trim_end_matches('/').as_bytes();
        [prefix, b"/", below.as_bytes()].concat()
    }
}

impl<'a> Found<'a> {
    fn new(errand: &'a Errand) -> Self {
        Self { errand, things: Snapshot::default(), tops: Vec::new() }
    }

    /// Looks through some places within the time of one. `whole`: at each entry; otherwise only at those in directories
    /// that others than their owner may write. `closed` are paths that are not entered.
    fn look(&mut self, places: &[&AbsPath], whole: bool, closed: &HashSet<Vec<u8>>) {
        let end = Instant::now() + Duration::from_millis(self.errand.patience);
        let (mut buffer, most) = (listing(), self.noted() + MOST_THINGS);
        let mut left = Left { end, entries: MOST_ENTRIES, most };
        for prefix in places {
            let Ok(root) = Dir::open(prefix.as_path()) else { continue };
            let waiting = VecDeque::from([(Place::root(), 0, None)]);
            let mut walk = Walk { root, prefix, whole, waiting };
            while let Some(next) = walk.waiting.pop_front() {
                let unfinished =
                    self.has_met(&left) || !self.directory(&mut walk, next, &mut buffer, &mut left, closed);
                if unfinished {
                    let path = PathBytes::from(prefix.as_str().as_bytes()).to_string();
                    let why = "there is more than is looked at in the time, or in number, that this may take";
                    return self.things.note(&path, "more", Kind::Unfinished, why);
                }
            }
        }
    }

    fn noted(&self) -> usize {
        self.tops.len() + self.things.0.len()
    }

    fn has_met(&self, left: &Left) -> bool {
        left.entries == 0 || self.noted() >= left.most || Instant::now() > left.end
    }

    /// Looks at what a directory holds, and answers whether at all of it: one may hold millions.
    fn directory(
        &mut self,
        walk: &mut Walk<'_>,
        (place, depth, own): Waiting,
        buffer: &mut Listing,
        left: &mut Left,
        closed: &HashSet<Vec<u8>>,
    ) -> bool {
        let opened = place.open(&walk.root).and_then(|dir| Ok((dir.meta()?, dir)));
        let Ok((meta, dir)) = opened else {
            if let Some(own) = own {
                self.tops[own].closed = true;
            }
            return true;
        };
        // Whom an ACL lets in beside the owner, its mask says, which is where a mode has its group's bits.
        let each = walk.whole || own.is_some() || meta.mode & 0o022 != 0 || meta.uid == self.errand.agent;
        let mut entries: Vec<(CString, FileType)> = Vec::new();
        let _ = dir.each_once(buffer, |name, kind| {
            if left.entries > 0 {
                left.entries -= 1;
                entries.push((name.to_owned(), kind));
            }
        });
        for (number, (name, kind)) in entries.into_iter().enumerate() {
            // Not each time, for to ask for the time costs as much as to look at an entry.
            if self.noted() >= left.most || number % 256 == 255 && self.has_met(left) {
                return false;
            }
            if !each && !matches!(kind, FileType::Directory | FileType::Unknown) {
                continue;
            }
            let path = walk.path_of(&place, &name);
            if closed.contains(&path) {
                continue;
            }
            let Ok(stat) = statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let changed = u64::try_from(stat.st_ctime).unwrap_or_default();
            let (size, meta) = (u64::try_from(stat.st_size).unwrap_or_default(), Meta::from(stat));
            let own = if meta.uid == self.errand.agent && each {
                self.seen(walk, &dir, &name, path, meta, (size, changed), own)
            } else {
                own
            };
            let deepest = if own.is_some() || each { DEEPEST_OWN } else { DEEPEST };
            let counted = own.is_none_or(|own| self.tops[own].files < MOST_OWN);
            if meta.is_dir() && depth + 1 < deepest && counted {
                walk.waiting.push_back((place.child(&name), depth + 1, own));
            }
        }
        left.entries > 0
    }

    /// Notes what is the agent's. Answers which directory of its own lies below here.
    #[expect(clippy::too_many_arguments, reason = "what one look at an entry told")]
    fn seen(
        &mut self,
        walk: &Walk<'_>,
        dir: &Dir,
        name: &CStr,
        path: Vec<u8>,
        meta: Meta,
        (size, changed): (u64, u64),
        own: Option<usize>,
    ) -> Option<usize> {
        let kind = self.kind(walk, &path, &meta, own.is_some());
        let set_id = meta.kind == FileType::RegularFile && meta.mode & 0o6000 != 0;
        if set_id {
            let value = format!("mode {:04o} of uid {} gid {}", meta.mode, meta.uid, meta.gid);
            self.things.note(&PathBytes::from(&*path).to_string(), "set-id", Kind::SetId, value);
        }
        if let Some(top) = own.map(|own| &mut self.tops[own]) {
            top.files += u64::from(!meta.is_dir());
            top.programs += u64::from(kind.rank() != Rank::Grey && !meta.is_dir());
            top.changed = top.changed.max(changed);
            if kind.rank() < top.worst.rank() {
                top.worst = kind;
            }
            return own;
        }
        if meta.is_dir() {
            self.tops.push(Top { path, meta, changed, files: 0, programs: 0, worst: kind, closed: false });
            return Some(self.tops.len() - 1);
        }
        let what = match meta.kind {
            FileType::RegularFile => format!("file of {size} bytes, mode {:04o}", meta.mode),
            FileType::Symlink => {
                let target = readlinkat(dir, name, Vec::new()).unwrap_or_default();
                format!("leads to {}", look::shown(target.to_bytes()))
            }
            FileType::Socket => "socket".into(),
            FileType::Fifo => "pipe".into(),
            _ => "device".into(),
        };
        let value = format!("{what}, changed {}", time(changed));
        self.things.note(&PathBytes::from(&*path).to_string(), "", kind, value);
        None
    }

    /// How much an entry matters: by what would turn to it.
    fn kind(&self, walk: &Walk<'_>, path: &[u8], meta: &Meta, in_own: bool) -> Kind {
        let in_home =
            path.strip_prefix(self.errand.home.as_str().as_bytes()).and_then(|path| path.strip_prefix(b"/"));
        let by_itself = in_home.is_some_and(|path| {
            path.starts_with(b"bin/")
                || path == b"bin"
                || path.split(|b| *b == b'/').any(|part| part.starts_with(b"."))
        });
        let below = path.get(walk.prefix.as_str().len()..).unwrap_or_default();
        match meta.kind {
            _ if by_itself => Kind::OutsideSettings,
            FileType::Directory => Kind::Outside,
            FileType::Symlink => Kind::OutsideLink,
            FileType::RegularFile => match names::kind(below).map(Kind::rank) {
                // Into a directory of the agent's somebody has to go first.
                Some(Rank::Red) if !in_own => Kind::OutsideSettings,
                Some(Rank::Red | Rank::Yellow) => Kind::OutsideProgram,
                _ if meta.mode & 0o111 != 0 => Kind::OutsideProgram,
                _ => Kind::Outside,
            },
            _ => Kind::OutsideProgram,
        }
    }

    fn snapshot(mut self) -> Snapshot {
        for top in self.tops {
            let mut worst = top.worst;
            let mut value = format!("directory, mode {:04o}, with {} files", top.meta.mode, top.files);
            if top.files >= MOST_OWN {
                // Nobody knows what lies where it was not looked.
                value = format!("directory, mode {:04o}, with {MOST_OWN} files or more", top.meta.mode);
                worst = if worst == Kind::Outside { Kind::OutsideProgram } else { worst };
            }
            if top.programs > 0 {
                value = format!("{value}, {} of which run or lead somewhere", top.programs);
            }
            if top.closed {
                value.push_str(", in part closed to you");
            }
            value = format!("{value}, changed {}", time(top.changed));
            self.things.note(&PathBytes::from(&*top.path).to_string(), "", worst, value);
        }
        self.things
    }
}

fn time(seconds: u64) -> String {
    /// The end of the year 9999, behind which there is no such text.
    const LAST: u64 = 253_402_300_799;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn path(path: &Path) -> AbsPath {
        path.to_str().unwrap().parse().unwrap()
    }

    /// What is found in a directory that is taken for a home or for a temporary directory.
    fn found(dir: &Path, agent: u32, home: bool) -> Vec<(String, Kind)> {
        let home = if home { path(dir) } else { AbsPath::fixed("/home/nobody-here") };
        let except = vec![path(&dir.join("project"))];
        let closed = HashSet::from([except[0].as_str().into()]);
        let errand = Errand { agent: Uid(agent), home, except, patience: 10_000 };
        let mut found = Found::new(&errand);
        found.look(&[&path(dir)], true, &closed);
        let below = |path: &str| path.strip_prefix(dir.to_str().unwrap()).unwrap().to_owned();
        found
            .snapshot()
            .0
            .into_iter()
            .map(|(thing, seen)| (below(&thing.path) + &thing.part, seen.kind))
            .collect()
    }

    fn put(dir: &Path, name: &str, mode: u32) {
        let file = dir.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_the_agents_is_told_by_what_turns_to_it() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().canonicalize().unwrap();
        // Whoever runs the test is the agent.
        let me = rustix::process::getuid().as_raw();
        for (name, mode) in
            [("note", 0o644), ("tool", 0o755), (".envrc", 0o644), ("bits", 0o4755), ("project/x", 0o755)]
        {
            put(&dir, name, mode);
        }
        put(&dir, "work/a/run.sh", 0o755);
        put(&dir, "work/.envrc", 0o644);
        put(&dir, "plain/a", 0o644);
        std::os::unix::fs::symlink("/etc/passwd", dir.join("link")).unwrap();
        let text = |list: &[(&str, Kind)]| {
            list.iter().map(|(path, kind)| ((*path).to_owned(), *kind)).collect::<Vec<_>>()
        };
        let program = Kind::OutsideProgram;
        assert_eq!(
            found(&dir, me, false),
            text(&[
                ("/.envrc", Kind::OutsideSettings),
                ("/bits", program),
                ("/bitsset-id", Kind::SetId),
                ("/link", Kind::OutsideLink),
                ("/note", Kind::Outside),
                ("/plain", Kind::Outside),
                ("/tool", program),
                ("/work", program),
            ])
        );
        // In a home what begins with a dot, and `bin`, is looked for by itself.
        put(&dir, ".config/x/y", 0o644);
        put(&dir, "bin/ls", 0o644);
        let home = found(&dir, me, true);
        for path in ["/.config", "/bin"] {
            assert!(home.contains(&(path.into(), Kind::OutsideSettings)), "{home:?}");
        }
        // The control: nothing is told of others' files.
        assert_eq!(found(&dir, me + 1, false), []);
    }

    #[test]
    fn a_bound_that_was_met_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let dir = path(&temp.path().canonicalize().unwrap());
        let errand = Errand { agent: Uid(0), home: dir.clone(), except: vec![], patience: 0 };
        let mut late = Found::new(&errand);
        std::thread::sleep(Duration::from_millis(2));
        late.look(&[&dir], true, &HashSet::new());
        assert_eq!(late.snapshot().0.values().map(|seen| seen.kind).collect::<Vec<_>>(), [Kind::Unfinished]);
    }

    /// Whoever stuffs one place hides nothing in the next one, and nothing of the answer's size depends on it.
    #[test]
    fn a_stuffed_place() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path().canonicalize().unwrap();
        for number in 0..MOST_THINGS + 500 {
            put(&base, &format!("full/{number}"), 0o644);
        }
        put(&base, "next/.envrc", 0o644);
        let me = rustix::process::getuid().as_raw();
        let errand = Errand {
            agent: Uid(me),
            home: AbsPath::fixed("/home/nobody-here"),
            except: vec![],
            patience: 60_000,
        };
        let mut found = Found::new(&errand);
        for name in ["full", "next"] {
            found.look(&[&path(&base.join(name))], true, &HashSet::new());
        }
        let things = found.snapshot();
        let count = |kind| things.0.values().filter(|seen| seen.kind == kind).count();
        assert_eq!(things.0.len(), MOST_THINGS + 2);
        assert_eq!((count(Kind::Unfinished), count(Kind::OutsideSettings)), (1, 1));
    }

    #[test]
    fn mounts_of_this_machine_alone() {
        let mount = |at: &str, kind: &str| Mount { at: at.into(), kind: kind.into() };
        let mounts = [
            mount("/", "ext4"),
            mount("/srv", "nfs4"),
            mount("/data", "xfs"),
            mount("/data", "autofs"),
            mount("/mnt", "tmpfs"),
            mount("/srv/disk", "ext4"),
        ];
        let places: Vec<_> =
            starts(&mounts, |path| path.as_str() != "/mnt").iter().map(ToString::to_string).collect();
        // The way to `/srv/disk` leads by a server.
        assert_eq!(places, ["/"]);
        assert!(local(&mounts, &AbsPath::fixed("/home/ann")) && !local(&mounts, &AbsPath::fixed("/srv/x")));
    }
}
