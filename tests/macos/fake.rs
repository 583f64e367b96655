//! A Mac in memory behind the traits of the host. It dies at a chosen change, before it or right after it.

use crate::{
    files::Files,
    programs::{Mac, STOCK, ended},
};
use agentuser::{
    host::{
        Act, Command, DirState, FileState, HostError, Installed, Jump, Observe, Program, Query, Seen, Shared,
        Validator,
    },
    model::{
        AbsPath, Family, Gid, IdRange, Uid,
        desired::{Access, Owner},
        facts::{GroupLine, Person},
    },
    share::{
        AcePrior, Aces,
        aces::{self, Kind, Object, Tree},
    },
};
use std::{collections::BTreeMap, process::Output};

/// When the machine dies: at the nth change, before or after it took effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Death {
    #[default]
    Never,
    Before(u32),
    After(u32),
}

/// What a crash leaves behind, and what must be the same in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) files: BTreeMap<String, FileState>,
    pub(crate) dirs: BTreeMap<String, DirState>,
    pub(crate) mac: Mac,
    /// What is people's own.
    pub(crate) people: Files,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Fake {
    pub(crate) disk: Disk,
    pub(crate) death: Death,
    pub(crate) changes: u32,
    /// How often states were cleared.
    pub(crate) cleared: u32,
}

fn died() -> HostError {
    HostError::Worker("the power went".into())
}

fn elsewhere<T>() -> Result<T, HostError> {
    Err(HostError::Elsewhere("what Linux has"))
}

impl Fake {
    /// Counts a change, and dies where it is time: before `act` is done, or after. Once dead, nothing changes any more.
    fn change<T>(&mut self, act: impl FnOnce(&mut Disk) -> T) -> Result<T, HostError> {
        self.changes += 1;
        let (before, after) = match self.death {
            Death::Never => (false, false),
            Death::Before(n) => (self.changes >= n, false),
            Death::After(n) => (self.changes > n, self.changes == n),
        };
        if before {
            return Err(died());
        }
        let done = act(&mut self.disk);
        if after { Err(died()) } else { Ok(done) }
    }

    /// What a restart of the machine takes away.
    pub(crate) fn reboot(&mut self) {
        let pf = &mut self.disk.mac.pf;
        (pf.enabled, pf.main) = (false, STOCK.into());
        pf.tokens.clear();
        pf.anchors.clear();
    }

    fn priors(&self, record: &AbsPath) -> Vec<AcePrior> {
        let file = self.disk.files.get(record.as_str());
        let text = file.map(|file| String::from_utf8(file.bytes.clone()).unwrap()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A tree for looking.
struct Looked<'a> {
    files: &'a Files,
    root: &'a str,
    account: Uid,
}

/// A tree for changing.
struct Changed<'a> {
    fake: &'a mut Fake,
    root: String,
    account: Uid,
    record: String,
}

fn at(root: &str, dir: &str) -> String {
    if dir.is_empty() { root.to_owned() } else { format!("{root}/{dir}") }
}

impl Tree for Looked<'_> {
    fn account(&self) -> Uid {
        self.account
    }

    fn itself(&self, dir: &str) -> Result<Object, HostError> {
        self.files.object(&at(self.root, dir), ".")
    }

    fn children(&self, dir: &str) -> Result<Vec<Object>, HostError> {
        self.files.children(&at(self.root, dir))
    }

    fn list(&self, dir: &str, command: &Command) -> Result<Output, HostError> {
        Ok(self.files.ls(&at(self.root, dir), command))
    }

    fn change(&mut self, _: &str, command: &Command) -> Result<Output, HostError> {
        panic!("a look changes nothing: {}", command.line())
    }

    fn keep(&mut self, _: &[AcePrior]) -> Result<(), HostError> {
        panic!("a look keeps nothing")
    }
}

impl Changed<'_> {
    fn look(&self) -> Looked<'_> {
        Looked { files: &self.fake.disk.people, root: &self.root, account: self.account }
    }
}

impl Tree for Changed<'_> {
    fn account(&self) -> Uid {
        self.account
    }

    fn itself(&self, dir: &str) -> Result<Object, HostError> {
        self.look().itself(dir)
    }

    fn children(&self, dir: &str) -> Result<Vec<Object>, HostError> {
        self.look().children(dir)
    }

    fn list(&self, dir: &str, command: &Command) -> Result<Output, HostError> {
        self.look().list(dir, command)
    }

    fn change(&mut self, dir: &str, command: &Command) -> Result<Output, HostError> {
        let (dir, account) = (at(&self.root, dir), self.account);
        self.fake.change(|disk| disk.people.change(account, &dir, command))
    }

    fn keep(&mut self, priors: &[AcePrior]) -> Result<(), HostError> {
        let lines: String = priors.iter().map(|prior| serde_json::to_string(prior).unwrap() + "\n").collect();
        let record = self.record.clone();
        self.fake.change(|disk| {
            let empty = FileState { bytes: vec![], mode: 0o600, uid: Uid(0), gid: Gid(0) };
            disk.files.entry(record).or_insert(empty).bytes.extend_from_slice(lines.as_bytes());
        })
    }
}

impl Observe for Fake {
    fn file(&self, path: &AbsPath) -> Result<Option<FileState>, HostError> {
        Ok(self.disk.files.get(path.as_str()).cloned())
    }

    fn directory(&self, path: &AbsPath) -> Result<Option<DirState>, HostError> {
        Ok(self.disk.dirs.get(path.as_str()).copied())
    }

    fn names(&self, path: &AbsPath) -> Result<Vec<String>, HostError> {
        let paths = self.disk.files.keys().chain(self.disk.dirs.keys());
        let paths = paths.map(|text| text.parse::<AbsPath>().unwrap());
        Ok(paths
            .filter(|inner| inner.parent().as_ref() == Some(path))
            .map(|inner| inner.name().to_owned())
            .collect())
    }

    fn program(&self) -> Result<Vec<u8>, HostError> {
        Ok(b"\xcf\xfa\xed\xfe".to_vec())
    }

    fn installed(&self, path: &AbsPath) -> Result<Option<Installed>, HostError> {
        let installed = |file: FileState| -> Result<_, HostError> {
            let same = file.bytes == self.program()?;
            Ok(Installed { same, mode: file.mode, uid: file.uid, gid: file.gid })
        };
        self.file(path)?.map(installed).transpose()
    }

    fn person(&self, _: &str) -> Result<Option<Person>, HostError> {
        elsewhere()
    }

    fn group(&self, _: &str) -> Result<Option<GroupLine>, HostError> {
        elsewhere()
    }

    fn query(&self, query: &Query) -> Result<Output, HostError> {
        let Query::Mac(query) = query else { return elsewhere() };
        Ok(self.disk.mac.look(&query.command()))
    }

    fn output_chain(&self, _: Family) -> Result<Vec<String>, HostError> {
        elsewhere()
    }

    fn socket_is_closed(&self, _: &AbsPath, _: Uid) -> Result<Option<bool>, HostError> {
        elsewhere()
    }

    fn look_at(&self, _: &Shared) -> Result<Seen, HostError> {
        elsewhere()
    }

    fn look_at_aces(&self, job: &Aces) -> Result<Seen, HostError> {
        let tree = Looked { files: &self.disk.people, root: job.root().as_str(), account: job.owner() };
        aces::look(job, &tree)
    }
}

impl Act for Fake {
    fn observe(&self) -> &dyn Observe {
        self
    }

    fn write(&mut self, path: &AbsPath, file: &FileState, _: Validator) -> Result<(), HostError> {
        let parent = path.parent().unwrap();
        assert!(self.disk.dirs.contains_key(parent.as_str()), "{parent} does not exist");
        self.change(|disk| drop(disk.files.insert(path.as_str().into(), file.clone())))
    }

    fn remove(&mut self, path: &AbsPath) -> Result<(), HostError> {
        self.change(|disk| drop(disk.files.remove(path.as_str())))
    }

    fn make_dir(&mut self, path: &AbsPath, mode: u32) -> Result<(), HostError> {
        let state = DirState { mode, uid: Uid(0), gid: Gid(0) };
        self.change(|disk| {
            disk.dirs.insert(path.as_str().into(), state);
        })
    }

    fn remove_dir(&mut self, path: &AbsPath) -> Result<(), HostError> {
        assert!(self.names(path)?.is_empty(), "{path} is not empty");
        self.change(|disk| {
            disk.dirs.remove(path.as_str());
        })
    }

    fn try_run(&mut self, command: &Command) -> Result<Output, HostError> {
        self.change(|disk| {
            if command.program == Program::SshKeygen {
                // It asks before it writes over a key.
                let at = command.args.iter().position(|arg| arg == "-f").unwrap();
                let bytes = crate::ssh_key::private_half().into_bytes();
                let key = FileState { bytes, mode: 0o600, uid: Uid(0), gid: Gid(0) };
                assert!(disk.files.insert(command.args[at + 1].clone(), key).is_none());
                return ended(0, "", "");
            }
            let files = &disk.files;
            let file =
                |path: &str| files.get(path).map(|file| String::from_utf8_lossy(&file.bytes).into_owned());
            disk.mac.run(command, &file)
        })
    }

    fn clear_states(&mut self) -> Result<(), HostError> {
        self.change(|_| ())?;
        self.cleared += 1;
        Ok(())
    }

    fn jump(&mut self, _: Family, _: &Jump) -> Result<(), HostError> {
        elsewhere()
    }

    fn make_home(&mut self, path: &AbsPath, uid: Uid, gid: Gid) -> Result<(), HostError> {
        // Two instants: made and root's, then given away.
        let state = |uid, gid| DirState { mode: 0o700, uid, gid };
        self.change(|disk| {
            disk.dirs.entry(path.as_str().into()).or_insert(state(Uid(0), Gid(0)));
        })?;
        self.change(|disk| {
            disk.dirs.insert(path.as_str().into(), state(uid, gid));
        })
    }

    fn remove_home(&mut self, path: &AbsPath, _: Uid, _: &str) -> Result<Vec<String>, HostError> {
        self.change(|disk| {
            disk.dirs.remove(path.as_str());
        })?;
        Ok(vec![])
    }

    fn remove_tree(&mut self, _: &AbsPath) -> Result<(), HostError> {
        elsewhere()
    }

    fn close_socket(&mut self, _: &AbsPath, _: Uid) -> Result<(), HostError> {
        elsewhere()
    }

    fn open_socket(&mut self, _: &AbsPath, _: Uid) -> Result<(), HostError> {
        elsewhere()
    }

    fn end_processes(&mut self, _: Uid, _: &[IdRange]) -> Result<usize, HostError> {
        self.change(|_| ())?;
        Ok(0)
    }

    fn open_to_agent(&mut self, _: &Shared, _: &AbsPath) -> Result<Seen, HostError> {
        elsewhere()
    }

    fn close_to_agent(&mut self, _: &Shared, _: &Owner, _: &AbsPath) -> Result<Seen, HostError> {
        elsewhere()
    }

    fn open_aces(&mut self, job: &Aces, record: &AbsPath) -> Result<Seen, HostError> {
        let known = self.priors(record);
        let accounts: Vec<Uid> = match job {
            Aces::Tree(tree) => vec![tree.human.uid, tree.agent.uid],
            Aces::Root(_) | Aces::Pass(_) => vec![job.owner()],
        };
        let mut first = None;
        for account in accounts {
            let (root, record) = (job.root().to_string(), record.to_string());
            let seen = aces::open(job, &mut Changed { fake: self, root, account, record }, &known)?;
            first.get_or_insert(seen);
        }
        Ok(first.unwrap())
    }

    fn close_aces(&mut self, job: &Aces, record: &AbsPath) -> Result<Seen, HostError> {
        let priors = self.priors(record);
        if let Aces::Tree(tree) = job {
            let root = format!("{}/", tree.root);
            let owned = |(path, node): &(&String, &mut crate::files::Node)| {
                node.owner == tree.agent.uid.0 && path.starts_with(&root)
            };
            self.change(|disk| {
                disk.people.0.iter_mut().filter(owned).for_each(|(_, node)| node.owner = tree.human.uid.0);
            })?;
        }
        let (root, account) = (job.root().to_string(), job.owner());
        let seen =
            aces::close(job, &mut Changed { fake: self, root, account, record: String::new() }, &priors)?;
        self.remove(record)?;
        Ok(seen)
    }
}

/// What an agent can use outside of its projects, as the human sees it.
pub(crate) fn moved(
    fake: &Fake,
    root: &str,
    agent: &str,
    projects: &[AbsPath],
    most: usize,
) -> Vec<(String, Access)> {
    let tree = Looked { files: &fake.disk.people, root, account: Uid(501) };
    let found = aces::moved(&root.parse().unwrap(), agent, projects, most, &tree).unwrap();
    found.into_iter().map(|(path, access)| (path.to_string(), access)).collect()
}

/// What the agent or the human makes: with what its directory hands on.
pub(crate) fn make(fake: &mut Fake, path: &str, kind: Kind, owner: u32) {
    fake.disk.people.put(path, kind, owner, if kind == Kind::Directory { 0o755 } else { 0o644 });
}
