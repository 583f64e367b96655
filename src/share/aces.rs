//! Sharing by ACL entries of macOS, set with chmod(1) by the owner of each file.
//!
//! Each of the two accounts has entries of its own on every object, and inherited ones for what is made later: what the
//! agent makes belongs to it, and without an entry the human would lose it. The work is written against [`Tree`], which
//! shows one directory at a time and runs the system's own programs there as the owner.
//!
//! macOS lets everybody give a file that they can reach a second name, so a file with several names gets nothing unless all
//! of them were found in the tree: through one of them the agent could have brought in a file of the human's from elsewhere.

mod breaking;
mod grant;
mod inspect;
mod moved;
mod want;
mod withdraw;

pub use grant::{everything_of, open};
pub use inspect::look;
pub use moved::moved;
pub use withdraw::close;

use crate::{
    host::{Command, HostError, Program},
    model::{AbsPath, AccountName, PathBytes, Uid, desired::Access},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, process::Output};

/// An account as chmod(1) takes it, and its uid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: Uid,
}

/// A project, and who shares it how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AceJob {
    /// The project directory.
    pub root: AbsPath,
    /// The agent.
    pub agent: Party,
    /// The human.
    pub human: Party,
    /// What the agent may do.
    pub access: Access,
    /// Whether files with names outside the project are replaced by copies, so that the agent may use them.
    #[serde(default)]
    pub break_links: bool,
}

/// A directory on the way to a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassJob {
    /// The directory.
    pub dir: AbsPath,
    /// Who may pass.
    pub agent: AccountName,
    /// Whose directory it is.
    pub owner: Party,
}

/// Work on ACL entries, done by a child that has become the owner of the files for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "on")]
pub enum Aces {
    /// A project tree.
    Tree(AceJob),
    /// The root of a project tree alone.
    Root(AceJob),
    /// One directory on the way to a project.
    Pass(PassJob),
}

impl Aces {
    /// The directory that it is about.
    pub fn root(&self) -> &AbsPath {
        match self {
            Self::Tree(job) | Self::Root(job) => &job.root,
            Self::Pass(job) => &job.dir,
        }
    }

    /// Whose files these are.
    pub fn owner(&self) -> Uid {
        match self {
            Self::Tree(job) | Self::Root(job) => job.human.uid,
            Self::Pass(job) => job.owner.uid,
        }
    }
}

/// What an object of a tree is; links and special files have no ACL that counts, and are not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// One object of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name in its directory; `.` for the directory itself.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Inode number.
    pub inode: u64,
    /// Its owner.
    pub owner: Uid,
    /// Permission bits.
    pub mode: u32,
    /// How many names it has.
    pub links: u64,
    /// Whether it lies on the device of the root.
    pub same_device: bool,
}

impl Object {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// The ACL of an object before its first change: lines as `chmod -E` takes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcePrior {
    /// Where it was, below the root.
    pub path: PathBytes,
    /// Inode number.
    pub inode: u64,
    /// Its entries, without their numbers.
    pub lines: Vec<String>,
}

/// A tree as one account sees and changes it. Directories are named by their path below the root, which is the empty one;
/// nothing is reached through a link, and programs run with the directory as their own.
pub trait Tree {
    /// Who that is: only what belongs to it is changed.
    fn account(&self) -> Uid;
    /// The directory itself, named `.`.
    fn itself(&self, dir: &str) -> Result<Object, HostError>;
    /// What is in a directory.
    fn children(&self, dir: &str) -> Result<Vec<Object>, HostError>;
    /// Runs ls(1) in a directory.
    fn list(&self, dir: &str, command: &Command) -> Result<Output, HostError>;
    /// Runs chmod(1), cp(1), mv(1) or rm(1) in a directory.
    fn change(&mut self, dir: &str, command: &Command) -> Result<Output, HostError>;
    /// Keeps what was there before; it is on the disk when this returns.
    fn keep(&mut self, priors: &[AcePrior]) -> Result<(), HostError>;
}

/// How many objects one run of a program takes.
const BATCH: usize = 200;

/// Their entries, by inode number.
type Lists = BTreeMap<u64, Vec<crate::formats::mac_acl::Line>>;

/// The ACLs of objects of one directory.
fn lists(tree: &dyn Tree, dir: &str, objects: &[&Object]) -> Result<Lists, HostError> {
    let mut all = Lists::new();
    for batch in objects.chunks(BATCH) {
        // -d a directory itself, -e its ACL, -n numbers for owners, -i inode numbers, -q no line feeds in names.
        let args = ["-lden", "-i", "-q", "--"].into_iter().map(str::to_owned);
        let command =
            Command::new(Program::Ls, args.chain(batch.iter().map(|object| argument(&object.name))));
        let output = tree.list(dir, &command)?;
        // Where some went away meanwhile, the others are listed all the same.
        all.extend(crate::formats::mac_acl::listing(&String::from_utf8_lossy(&output.stdout)));
    }
    Ok(all)
}

/// A name that no program takes for an option.
fn argument(name: &str) -> String {
    if name == "." { name.to_owned() } else { format!("./{name}") }
}

/// Runs `chmod -h` with these arguments on objects, in batches; answers those batches that failed, with what was said.
fn chmod(
    tree: &mut dyn Tree,
    dir: &str,
    args: &[&str],
    names: &[String],
    stdin: &str,
) -> Result<Vec<(Vec<String>, String)>, HostError> {
    let mut failed = Vec::new();
    for batch in names.chunks(BATCH) {
        let before = std::iter::once("-h").chain(args.iter().copied()).chain(["--"]).map(str::to_owned);
        let command = Command::new(Program::Chmod, before.chain(batch.iter().map(|name| argument(name))));
        let output = tree.change(dir, &command.reading(stdin))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().escape_debug().to_string();
            failed.push((batch.to_vec(), said));
        }
    }
    Ok(failed)
}

/// A path below the root.
fn below(dir: &str, name: &str) -> String {
    match (dir, name) {
        ("", name) => name.to_owned(),
        (dir, ".") => dir.to_owned(),
        (dir, name) => format!("{dir}/{name}"),
    }
}

fn bytes(path: &str) -> PathBytes {
    PathBytes::from(path.as_bytes())
}

/// The directories of a tree on the root's device, each before those below it, and what a walk counts along the way.
struct Walk {
    left: Vec<String>,
}

impl Walk {
    fn new() -> Self {
        Self { left: vec![String::new()] }
    }

    fn next(&mut self) -> Option<String> {
        self.left.pop()
    }

    fn enter(&mut self, dir: &str, objects: &[Object]) {
        let below =
            objects.iter().filter(|object| object.is_directory() && object.same_device && object.name != ".");
        self.left.extend(below.map(|object| self::below(dir, &object.name)));
    }
}

/// Files with several names, by inode number: how many of the names lie in the tree, and how many there are.
fn names_inside(tree: &dyn Tree) -> BTreeMap<u64, (u64, u64)> {
    let mut found: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut walk = Walk::new();
    while let Some(dir) = walk.next() {
        let Ok(objects) = tree.children(&dir) else { continue };
        for object in objects.iter().filter(|o| o.kind == Kind::File && o.links > 1 && o.same_device) {
            let (inside, all) = found.entry(object.inode).or_default();
            *inside += 1;
            *all = (*all).max(object.links);
        }
        walk.enter(&dir, &objects);
    }
    found
}

/// Whether all names of a file lie in the tree.
fn is_inside(object: &Object, names: &BTreeMap<u64, (u64, u64)>) -> bool {
    object.is_directory()
        || object.links <= 1
        || names.get(&object.inode).is_some_and(|(inside, all)| inside >= all)
}
