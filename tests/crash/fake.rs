//! A machine in memory behind the traits of the host: files, accounts, rules, sets and units, as the steps see them. It
//! dies at a chosen change, before it or right after it.

use agentuser::{
    host::{
        Act, Command, DirState, FileState, HostError, Installed, Jump, Observe, Program, Query, Seen, Shared,
        Validator,
    },
    model::{
        AbsPath, Family, Gid, IdRange, Uid,
        desired::Owner,
        facts::{GroupLine, Person},
    },
    share::{Passage, PassageEnd},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Output},
};

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
    /// Filter tables: chains with their rules.
    pub(crate) filter: BTreeMap<Family, BTreeMap<String, Vec<String>>>,
    pub(crate) sets: BTreeMap<String, BTreeSet<String>>,
    pub(crate) tables: BTreeMap<String, String>,
    /// Units that are enabled and run, each with the text that it was started from.
    pub(crate) units: BTreeMap<String, String>,
    pub(crate) open: BTreeSet<String>,
    /// Accounts to which nscd's socket is closed.
    pub(crate) closed_to: BTreeSet<u32>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Fake {
    pub(crate) disk: Disk,
    pub(crate) death: Death,
    pub(crate) changes: u32,
}

fn path(text: &str) -> AbsPath {
    text.parse().unwrap()
}

fn output(code: i32, stdout: impl Into<Vec<u8>>) -> Output {
    Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.into(), stderr: Vec::new() }
}

fn file(text: &str, mode: u32) -> FileState {
    FileState { bytes: text.into(), mode, uid: Uid(0), gid: Gid(0) }
}

fn died() -> HostError {
    HostError::Worker("the power went".into())
}

fn key(shared: &Shared) -> String {
    match shared {
        Shared::Tree(job) | Shared::Root(job) => format!("tree:{}:{}:{:?}", job.root, job.agent, job.access),
        Shared::Traverse { dir, agent, .. } => format!("parent:{dir}:{agent}"),
    }
}

impl Fake {
    /// Counts a change, and dies where it is time: before `act` is done, or after. Once dead, nothing changes any more.
    fn change(&mut self, act: impl FnOnce(&mut Disk) -> Result<(), HostError>) -> Result<(), HostError> {
        self.changes += 1;
        let (before, after) = match self.death {
            Death::Never => (false, false),
            Death::Before(n) => (self.changes >= n, false),
            Death::After(n) => (self.changes > n, self.changes == n),
        };
        if before {
            return Err(died());
        }
        act(&mut self.disk)?;
        if after { Err(died()) } else { Ok(()) }
    }
}

impl Disk {
    pub(crate) fn text(&self, file: &str) -> String {
        self.files.get(file).map(|file| String::from_utf8(file.bytes.clone()).unwrap()).unwrap_or_default()
    }

    fn edit(&mut self, file: &str, edit: impl Fn(&str) -> String) {
        let text = edit(&self.text(file));
        self.files.get_mut(file).unwrap().bytes = text.into_bytes();
    }

    fn append(&mut self, file: &str, line: &str) {
        self.edit(file, |text| format!("{text}{line}\n"));
    }

    fn drop_line(&mut self, file: &str, name: &str) {
        let keep = |line: &&str| line.split(':').next() != Some(name);
        self.edit(file, |text| {
            let kept: Vec<_> = text.split_inclusive('\n').filter(|line| keep(&line.trim_end())).collect();
            kept.concat()
        });
    }

    fn iptables(&mut self, family: Family, rules: &str) {
        let chains = self.filter.entry(family).or_default();
        for line in rules.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                [chain, "-", ..] | [chain, "ACCEPT", "[0:0]"] if chain.starts_with(':') => {
                    let rules = chains.entry(chain[1..].into()).or_default();
                    if words[1] == "-" {
                        rules.clear();
                    }
                }
                ["-I", chain, at, ..] => {
                    chains
                        .get_mut(chain)
                        .unwrap()
                        .insert(at.parse::<usize>().unwrap() - 1, words[3..].join(" "));
                }
                ["-A", chain, ..] => chains.get_mut(chain).unwrap().push(words[2..].join(" ")),
                ["-D", chain, ..] => {
                    chains.get_mut(chain).unwrap().retain(|rule| *rule != words[2..].join(" "));
                }
                ["-F", chain] => chains.get_mut(chain).unwrap().clear(),
                ["-X", chain] => drop(chains.remove(chain)),
                _ => {}
            }
        }
    }

    fn ipset(&mut self, input: &str) {
        for line in input.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["create", name, ..] => drop(self.sets.entry(name.into()).or_default()),
                ["add", name, element] => drop(self.sets.get_mut(name).unwrap().insert(element.into())),
                ["swap", a, b] => {
                    let one = self.sets.remove(a).unwrap();
                    let other = self.sets.insert(b.into(), one).unwrap();
                    self.sets.insert(a.into(), other);
                }
                ["destroy", name] => drop(self.sets.remove(name)),
                _ => panic!("ipset: {line}"),
            }
        }
    }

    /// A table is kept as its sets in the order of their names, and then its rules.
    fn nft(&mut self, input: &str) {
        let words: Vec<_> = input.split_ascii_whitespace().collect();
        let at = words.iter().position(|word| *word == "inet").unwrap();
        let table = self.tables.entry(format!("inet {}", words[at + 1])).or_default();
        let (mut sets, mut rules) = table.split_once("rules:").unwrap_or_default();
        if input.contains("delete table") {
            (sets, rules) = ("", "");
        }
        let sets = sets.lines().map(Into::into);
        let mut sets: std::collections::BTreeSet<String> = sets.collect();
        let new = input.lines().filter_map(|line| line.trim_start().strip_prefix("set ")?.strip_suffix(" {"));
        sets.extend(new.map(Into::into));
        for line in input.lines().filter(|line| line.starts_with("delete set")) {
            sets.remove(line.rsplit(' ').next().unwrap());
        }
        let chains = input.find("\tchain ").map(|at| input[at..].to_owned());
        let sets: Vec<_> = sets.into_iter().collect();
        *table = format!("{}\nrules:{}", sets.join("\n"), chains.unwrap_or_else(|| rules.to_owned()));
    }

    fn run(&mut self, command: &Command) {
        let args: Vec<_> = command.args.iter().map(String::as_str).collect();
        let stdin = String::from_utf8(command.stdin.clone()).unwrap();
        let value = |option: &str| args[args.iter().position(|arg| *arg == option).unwrap() + 1];
        let last = *args.last().unwrap();
        match command.program {
            Program::Groupadd => self.append("/etc/group", &format!("{last}:x:{}:", value("--gid"))),
            Program::Groupdel => self.drop_line("/etc/group", last),
            Program::Useradd => {
                let (uid, gid, home) = (value("--uid"), value("--gid"), value("--home-dir"));
                let line = format!("{last}:x:{uid}:{gid}:{}:{home}:{}", value("--comment"), value("--shell"));
                self.append("/etc/passwd", &line);
                self.append("/etc/shadow", &format!("{last}:!:20000::::::"));
            }
            Program::Userdel => {
                self.drop_line("/etc/passwd", last);
                self.drop_line("/etc/shadow", last);
                self.drop_line("/etc/group", last);
            }
            Program::IptablesRestore => self.iptables(Family::V4, &stdin),
            Program::Ip6tablesRestore => self.iptables(Family::V6, &stdin),
            Program::Ipset => self.ipset(&stdin),
            Program::Nft if args[0] == "-f" => self.nft(&stdin),
            Program::Nft => {
                let family = if args[2] == "ip" { Family::V4 } else { Family::V6 };
                match args[..] {
                    ["add", "table", _, "filter"] => drop(self.filter.entry(family).or_default()),
                    ["delete", "chain", _, "filter", chain] => {
                        drop(self.filter.get_mut(&family).unwrap().remove(chain));
                    }
                    ["delete", "table", _, "filter"] => drop(self.filter.remove(&family)),
                    _ => panic!("nft {args:?}"),
                }
            }
            Program::Systemctl => match args[0] {
                // As systemctl(1) says of such a unit: not found.
                "enable" | "restart" | "try-restart"
                    if !self.files.contains_key(&format!("/etc/systemd/system/{last}")) =>
                {
                    panic!("no unit {last}")
                }
                "enable" => {
                    let text = self.text(&format!("/etc/systemd/system/{last}"));
                    self.units.entry(last.into()).or_insert(text);
                }
                "restart" => {
                    let text = self.text(&format!("/etc/systemd/system/{last}"));
                    self.units.insert(last.into(), text);
                }
                "disable" => drop(self.units.remove(last)),
                _ => {}
            },
            // It makes the private half first, and asks before it writes over one.
            Program::SshKeygen => {
                let private = value("-f").to_owned();
                assert!(!self.files.contains_key(&private), "{private} is there already");
                self.files.insert(private, file(&crate::ssh_key::private_half(), 0o600));
            }
            other => panic!("{other:?} {args:?}"),
        }
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
        let inside = paths.map(|text| self::path(text)).filter(|inner| inner.parent().as_ref() == Some(path));
        Ok(inside.map(|inner| inner.name().to_owned()).collect())
    }

    fn program(&self) -> Result<Vec<u8>, HostError> {
        Ok(b"\x7fELF".to_vec())
    }

    fn installed(&self, path: &AbsPath) -> Result<Option<Installed>, HostError> {
        let installed = |file: FileState| -> Result<_, HostError> {
            let same = file.bytes == self.program()?;
            Ok(Installed { same, mode: file.mode, uid: file.uid, gid: file.gid })
        };
        self.file(path)?.map(installed).transpose()
    }

    fn person(&self, name: &str) -> Result<Option<Person>, HostError> {
        let text = self.disk.text("/etc/passwd");
        Ok(text.lines().filter_map(agentuser::formats::accounts::person).find(|person| person.name == name))
    }

    fn group(&self, name: &str) -> Result<Option<GroupLine>, HostError> {
        let text = self.disk.text("/etc/group");
        Ok(text.lines().filter_map(agentuser::formats::accounts::group).find(|group| group.name == name))
    }

    fn query(&self, query: &Query) -> Result<Output, HostError> {
        Ok(match query {
            Query::FilterTable(family) => {
                let mut text = String::from("*filter\n");
                for (chain, rules) in self.disk.filter.get(family).into_iter().flatten() {
                    text += &format!(":{chain} - [0:0]\n");
                    for rule in rules {
                        text += &format!("-A {chain} {rule}\n");
                    }
                }
                output(0, text)
            }
            Query::Sets => {
                let mut text = String::new();
                for (name, elements) in &self.disk.sets {
                    text += &format!("create {name} hash:net family inet\n");
                    for element in elements {
                        text += &format!("add {name} {element}\n");
                    }
                }
                output(0, text)
            }
            Query::NftTable(family @ ("ip" | "ip6"), _) => {
                let family = if *family == "ip" { Family::V4 } else { Family::V6 };
                let Some(chains) = self.disk.filter.get(&family) else { return Ok(output(1, "")) };
                let mut text = String::from("table {\n");
                for (name, rules) in chains {
                    let rules: String = rules.iter().map(|rule| format!("\t\t{rule}\n")).collect();
                    text += &format!("\tchain {name} {{\n{rules}\t}}\n");
                }
                output(0, text + "}\n")
            }
            Query::NftTable(family, name) => {
                let table = self.disk.tables.get(&format!("{family} {name}"));
                table.map_or_else(|| output(1, ""), |text| output(0, text.clone()))
            }
            Query::UnitEnabled(unit) if self.disk.units.contains_key(unit) => output(0, "enabled\n"),
            Query::UnitEnabled(_) => output(1, "disabled\n"),
            Query::UnitActive(unit) if self.disk.units.contains_key(unit) => output(0, "active\n"),
            Query::UnitActive(_) => output(3, "inactive\n"),
            Query::Mac(query) => panic!("{query:?}"),
        })
    }

    fn output_chain(&self, family: Family) -> Result<Vec<String>, HostError> {
        Ok(self.disk.filter.get(&family).and_then(|chains| chains.get("OUTPUT")).cloned().unwrap_or_default())
    }

    fn socket_is_closed(&self, path: &AbsPath, uid: Uid) -> Result<Option<bool>, HostError> {
        Ok((path.as_str() == "/run/nscd/socket").then(|| self.disk.closed_to.contains(&uid.0)))
    }

    fn look_at(&self, shared: &Shared) -> Result<Seen, HostError> {
        let open = self.disk.open.contains(&key(shared));
        Ok(match shared {
            Shared::Root(_) => Seen::Root(open),
            Shared::Tree(_) => Seen::Tree(Box::default()),
            Shared::Traverse { .. } if open => Seen::Passage(Passage::Open),
            Shared::Traverse { .. } => Seen::Passage(Passage::Missing),
        })
    }
}

impl Act for Fake {
    fn observe(&self) -> &dyn Observe {
        self
    }

    fn write(&mut self, path: &AbsPath, file: &FileState, _: Validator) -> Result<(), HostError> {
        self.change(|disk| {
            let parent = path.parent().unwrap();
            assert!(disk.dirs.contains_key(parent.as_str()), "{parent} does not exist");
            disk.files.insert(path.as_str().into(), file.clone());
            Ok(())
        })
    }

    fn remove(&mut self, path: &AbsPath) -> Result<(), HostError> {
        self.change(|disk| {
            disk.files.remove(path.as_str());
            Ok(())
        })
    }

    fn make_dir(&mut self, path: &AbsPath, mode: u32) -> Result<(), HostError> {
        self.change(|disk| {
            disk.dirs.insert(path.as_str().into(), DirState { mode, uid: Uid(0), gid: Gid(0) });
            Ok(())
        })
    }

    fn remove_dir(&mut self, path: &AbsPath) -> Result<(), HostError> {
        assert!(self.names(path)?.is_empty(), "{path} is not empty");
        self.change(|disk| {
            disk.dirs.remove(path.as_str());
            Ok(())
        })
    }

    fn try_run(&mut self, command: &Command) -> Result<Output, HostError> {
        self.change(|disk| {
            disk.run(command);
            Ok(())
        })?;
        if command.program == Program::SshKeygen {
            let public = format!("{}.pub", command.args.last().unwrap());
            self.change(|disk| {
                disk.files.insert(public, file("ssh-ed25519 …\n", 0o644));
                Ok(())
            })?;
        }
        Ok(output(0, ""))
    }

    fn delete_nft_table(&mut self, table: &str) -> Result<(), HostError> {
        self.change(|disk| {
            disk.tables.remove(&format!("inet {table}"));
            Ok(())
        })
    }

    fn jump(&mut self, family: Family, change: &Jump) -> Result<(), HostError> {
        self.change(|disk| {
            let output = disk.filter.entry(family).or_default().entry("OUTPUT".into()).or_default();
            match change {
                Jump::Insert(at, rule) => output.insert(*at as usize - 1, rule.clone()),
                Jump::Remove(at) => drop(output.remove(*at as usize - 1)),
            }
            Ok(())
        })
    }

    fn make_home(&mut self, path: &AbsPath, uid: Uid, gid: Gid) -> Result<(), HostError> {
        // Two instants: made and root's, then given away.
        let state = |uid, gid| DirState { mode: 0o700, uid, gid };
        self.change(|disk| {
            disk.dirs.entry(path.as_str().into()).or_insert(state(Uid(0), Gid(0)));
            Ok(())
        })?;
        self.change(|disk| {
            disk.dirs.insert(path.as_str().into(), state(uid, gid));
            Ok(())
        })
    }

    fn remove_home(&mut self, path: &AbsPath, _: Uid, _: &str) -> Result<Vec<String>, HostError> {
        self.change(|disk| {
            disk.dirs.remove(path.as_str());
            Ok(())
        })?;
        Ok(vec![])
    }

    fn remove_tree(&mut self, path: &AbsPath) -> Result<(), HostError> {
        self.change(|disk| {
            disk.dirs.retain(|dir, _| dir != path.as_str() && !dir.starts_with(&format!("{path}/")));
            Ok(())
        })
    }

    fn close_socket(&mut self, _: &AbsPath, uid: Uid) -> Result<(), HostError> {
        self.change(|disk| {
            disk.closed_to.insert(uid.0);
            Ok(())
        })
    }

    fn open_socket(&mut self, _: &AbsPath, uid: Uid) -> Result<(), HostError> {
        self.change(|disk| {
            disk.closed_to.remove(&uid.0);
            Ok(())
        })
    }

    fn end_processes(&mut self, _: Uid, _: &[IdRange]) -> Result<usize, HostError> {
        self.change(|_| Ok(()))?;
        Ok(0)
    }

    fn open_to_agent(&mut self, shared: &Shared, record: &AbsPath) -> Result<Seen, HostError> {
        let file = FileState { bytes: b"prior\n".to_vec(), mode: 0o600, uid: Uid(0), gid: Gid(0) };
        self.change(|disk| {
            disk.files.insert(record.as_str().into(), file);
            Ok(())
        })?;
        self.change(|disk| {
            disk.open.insert(key(shared));
            Ok(())
        })?;
        Ok(Seen::Gone)
    }

    fn close_to_agent(&mut self, shared: &Shared, _: &Owner, record: &AbsPath) -> Result<Seen, HostError> {
        self.change(|disk| {
            disk.open.remove(&key(shared));
            Ok(())
        })?;
        self.change(|disk| {
            disk.files.remove(record.as_str());
            Ok(())
        })?;
        Ok(Seen::Closed(PassageEnd::Restored))
    }
}
