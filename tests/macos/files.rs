//! People's files with ACLs as macOS has them, and chmod(1) and ls(1) on them.

use crate::programs::ended;
use agentuser::{
    formats::mac_acl::{self, Ace},
    host::{Command, HostError, Program},
    model::Uid,
    share::aces::{Kind, Object},
};
use std::{collections::BTreeMap, process::Output};

/// An object of somebody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) owner: u32,
    pub(crate) mode: u32,
    pub(crate) inode: u64,
    pub(crate) acl: Vec<Ace>,
}

/// Paths and what is there. Two paths with one inode number are two names of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Node>);

/// Explicit denials, explicit permissions, inherited denials, inherited permissions: acl(3) keeps this order.
fn rank(ace: &Ace) -> u8 {
    u8::from(ace.inherited) * 2 + u8::from(ace.allow)
}

/// The flags of inheritance of an entry.
fn flags(ace: &Ace) -> String {
    let names = ace.bits.names(true);
    names.split(',').filter(|name| name.ends_with("_inherit")).collect::<Vec<_>>().join(",")
}

impl Files {
    pub(crate) fn put(&mut self, path: &str, kind: Kind, owner: u32, mode: u32) -> &mut Node {
        let inode = 100 + self.0.len() as u64;
        let parent = path.rsplit_once('/').map(|(parent, _)| parent.to_owned()).unwrap();
        let acl = self.0.get(&parent).map(|parent| inherited(&parent.acl, kind)).unwrap_or_default();
        self.0.insert(path.into(), Node { kind, owner, mode, inode, acl });
        self.0.get_mut(path).unwrap()
    }

    /// One more name for a file.
    pub(crate) fn link(&mut self, from: &str, to: &str) {
        self.0.insert(to.into(), self.0[from].clone());
    }

    /// A changed ACL is every name's.
    fn set(&mut self, inode: u64, acl: &[Ace]) {
        self.0.values_mut().filter(|node| node.inode == inode).for_each(|node| node.acl = acl.to_vec());
    }

    pub(crate) fn object(&self, path: &str, name: &str) -> Result<Object, HostError> {
        let gone =
            || HostError::path("can't look at", path, std::io::Error::from(std::io::ErrorKind::NotFound));
        let node = self.0.get(path).ok_or_else(gone)?;
        Ok(Object {
            name: name.into(),
            kind: node.kind,
            inode: node.inode,
            owner: Uid(node.owner),
            mode: node.mode,
            links: self.0.values().filter(|other| other.inode == node.inode).count() as u64,
            same_device: true,
        })
    }

    pub(crate) fn children(&self, dir: &str) -> Result<Vec<Object>, HostError> {
        self.object(dir, ".")?;
        let below = |path: &&String| {
            path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/') && !rest[1..].contains('/'))
        };
        let paths = self.0.keys().filter(below);
        paths.map(|path| self.object(path, path.rsplit('/').next().unwrap())).collect()
    }

    fn named(&self, dir: &str, name: &str) -> Option<String> {
        let path =
            if name == "." { dir.to_owned() } else { format!("{dir}/{}", name.strip_prefix("./").unwrap()) };
        self.0.contains_key(&path).then_some(path)
    }

    /// What an account has of permissions on an object, by entries that hold for it, the first that has the bit deciding.
    pub(crate) fn may(&self, path: &str, who: &str, permission: &str) -> bool {
        let bit = mac_acl::Bits::named(permission).unwrap();
        let only = mac_acl::Bits::named("only_inherit").unwrap();
        let who = format!("user:{who}");
        let mut holds = self.0[path].acl.iter().filter(|ace| ace.who == who && !ace.bits.has(only));
        holds.find(|ace| ace.bits.has(bit)).is_some_and(|ace| ace.allow)
    }

    /// `/bin/ls -lden -i -q -- NAME...`
    pub(crate) fn ls(&self, dir: &str, command: &Command) -> Output {
        assert_eq!(command.program, Program::Ls);
        let names = command.args.strip_prefix(&["-lden", "-i", "-q", "--"].map(String::from)).unwrap();
        let (mut out, mut missing) = (String::new(), String::new());
        for name in names {
            let Some(node) = self.named(dir, name).map(|path| &self.0[&path]) else {
                missing += &format!("ls: {name}: No such file or directory\n");
                continue;
            };
            let (letter, plus) = (
                if node.kind == Kind::Directory { 'd' } else { '-' },
                if node.acl.is_empty() { ' ' } else { '+' },
            );
            out += &format!(
                "{:7} {letter}rwxr-xr-x{plus} 1 {}  20  0 Nov 25 10:00 {name}\n",
                node.inode, node.owner
            );
            for (at, ace) in node.acl.iter().enumerate() {
                out += &format!(" {at}: {}\n", ace.text(node.kind == Kind::Directory));
            }
        }
        ended(i32::from(!missing.is_empty()), out, missing)
    }

    /// What changes files, as an account.
    pub(crate) fn change(&mut self, account: Uid, dir: &str, command: &Command) -> Output {
        let args: Vec<_> = command.args.iter().map(String::as_str).collect();
        let path = |name: &str| format!("{dir}/{}", name.strip_prefix("./").unwrap());
        match (command.program, &args[..]) {
            (Program::Cp, ["-n", "-p", "--", from, to]) => {
                let Some(mut node) = self.0.get(&path(from)).cloned() else {
                    return ended(1, String::new(), format!("cp: {from}: No such file or directory\n"));
                };
                node.inode = self.0.values().map(|node| node.inode).max().unwrap() + 1;
                node.owner = account.0;
                self.0.entry(path(to)).or_insert(node);
            }
            (Program::Mv, ["-f", "--", from, to]) => {
                let node = self.0.remove(&path(from)).unwrap();
                self.0.insert(path(to), node);
            }
            (Program::Rm, ["-f", "--", name]) => drop(self.0.remove(&path(name))),
            _ => return self.chmod(account, dir, command),
        }
        ended(0, String::new(), String::new())
    }

    /// `/bin/chmod -h +a ENTRY -- NAME...` and its like, as an account.
    fn chmod(&mut self, account: Uid, dir: &str, command: &Command) -> Output {
        assert_eq!(command.program, Program::Chmod);
        let (options, names) =
            command.args.split_at(command.args.iter().position(|arg| arg == "--").unwrap());
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let mut said = String::new();
        for name in &names[1..] {
            let Some(path) = self.named(dir, name) else {
                said += &format!("chmod: {name}: No such file or directory\n");
                continue;
            };
            let node = &self.0[&path];
            if node.owner != account.0 {
                said += &format!("chmod: Failed to set ACL on file '{name}': Operation not permitted\n");
                continue;
            }
            let (inode, mut acl) = (node.inode, node.acl.clone());
            let done = match options[..] {
                ["-h", "+a", entry] => add(&mut acl, &mac_acl::ace(entry).unwrap()),
                ["-h", "-a", entry] => take(&mut acl, &mac_acl::ace(entry).unwrap()),
                ["-h", "-E"] => {
                    let text = std::str::from_utf8(&command.stdin).unwrap();
                    acl = text.lines().map(|line| mac_acl::ace(line).unwrap()).collect();
                    Ok(())
                }
                _ => panic!("chmod {options:?}"),
            };
            match done {
                Ok(()) => self.set(inode, &acl),
                Err(error) => said += &format!("chmod: {error} '{name}'\n"),
            }
        }
        ended(i32::from(!said.is_empty()), "", said)
    }
}

fn add(acl: &mut Vec<Ace>, new: &Ace) -> Result<(), &'static str> {
    if !acl.is_sorted_by_key(rank) {
        return Err(
            "The specified file does not have an ACL in canonical order, please specify a position with +a# :",
        );
    }
    let same = |ace: &&mut Ace| ace.who == new.who && rank(ace) == rank(new) && flags(ace) == flags(new);
    if let Some(ace) = acl.iter_mut().find(same) {
        ace.bits = ace.bits.and(new.bits);
    } else {
        let at = acl.iter().position(|ace| rank(ace) >= rank(new)).unwrap_or(acl.len());
        acl.insert(at, new.clone());
    }
    Ok(())
}

/// Flags count for nothing: permissions go from every entry of the identity and kind, inherited ones too.
fn take(acl: &mut Vec<Ace>, what: &Ace) -> Result<(), &'static str> {
    if acl.is_empty() {
        return Err("No ACL present");
    }
    let concerns = |ace: &Ace| ace.who == what.who && ace.allow == what.allow;
    if !acl.iter().any(concerns) {
        return Err("Entry not found when attempting delete");
    }
    assert_eq!(what.bits, mac_acl::Bits::ALL, "entry by entry would leave some behind");
    acl.retain(|ace| !concerns(ace));
    Ok(())
}

/// What a new object gets from its directory.
fn inherited(acl: &[Ace], kind: Kind) -> Vec<Ace> {
    let bits = |names: &str| mac_acl::Bits::named(names).unwrap();
    let wanted = if kind == Kind::Directory { "directory_inherit" } else { "file_inherit" };
    let copy = |ace: &Ace| {
        let directory = kind == Kind::Directory;
        // Directories hand on what they got; on files no flag stays.
        let bits = if directory { ace.bits } else { ace.bits.permissions() };
        Ace { inherited: true, bits, ..ace.clone() }
    };
    acl.iter().filter(|ace| ace.bits.has(bits(wanted))).map(copy).collect()
}
