//! The agent's account: a system account with a locked password, without sub-uids, in no group but those of the policy.
//!
//! The comment field carries a marker that only our receipt knows, so that an account of the same name which somebody
//! else made is never taken over or removed (useradd(8), usermod(8), userdel(8)).

use super::{Check, Description, Layer, Step, Undo};
use crate::{
    formats::accounts,
    host::{Act, Command, FileState, HostError, Observe, Program, Validator},
    model::{AbsPath, AccountName, Gid, Uid, facts::Person},
};
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Login name.
    pub name: AccountName,
    /// User id.
    pub uid: Uid,
    /// Primary group, its own.
    pub gid: Gid,
    /// Home directory.
    pub home: AbsPath,
    /// Login shell.
    pub shell: AbsPath,
    /// Supplementary groups.
    pub groups: Vec<String>,
    /// The comment field, which makes the account ours.
    pub marker: String,
}

impl Account {
    fn add(&self) -> Command {
        let (uid, gid) = (self.uid.to_string(), self.gid.to_string());
        let mut args: Vec<&str> =
            vec!["--system", "--no-create-home", "--no-log-init", "--uid", &uid, "--gid", &gid];
        args.extend([
            "--home-dir",
            self.home.as_str(),
            "--shell",
            self.shell.as_str(),
            "--comment",
            &self.marker,
        ]);
        args.push(self.name.as_str());
        Command::new(Program::Useradd, args)
    }

    fn linger(&self) -> AbsPath {
        AbsPath::fixed("/var/lib/systemd/linger").join(self.name.as_str())
    }

    /// What is wrong with an account that is ours, and the change that mends each.
    fn faults(&self, person: &Person, machine: &dyn Observe) -> Result<Vec<(String, Mend)>, HostError> {
        let name = self.name.as_str();
        let usermod =
            |args: &[&str]| Mend::Run(Command::new(Program::Usermod, args.iter().copied().chain([name])));
        let mut faults = Vec::new();
        if person.gid != self.gid {
            faults.push((format!("its gid is {}", person.gid), usermod(&["--gid", &self.gid.to_string()])));
        }
        if person.home != self.home.as_str() {
            faults.push((format!("its home is {}", person.home), usermod(&["--home", self.home.as_str()])));
        }
        if person.shell != self.shell.as_str() {
            faults
                .push((format!("its shell is {}", person.shell), usermod(&["--shell", self.shell.as_str()])));
        }
        for (file, option) in [("/etc/subuid", "--del-subuids"), ("/etc/subgid", "--del-subgids")] {
            let text = text_of(machine, file)?;
            let id = self.uid.to_string();
            for (owner, range) in accounts::sub_ids(&text) {
                let mend = match owner {
                    owner if owner == name => usermod(&[option, &range.to_string()]),
                    // usermod(8) takes away what a line with the name gives, and no other.
                    owner if owner == id => Mend::RemoveLines(AbsPath::fixed(file), format!("{id}:")),
                    _ => continue,
                };
                faults.push((format!("{file} gives it {range}"), mend));
            }
        }
        for group in text_of(machine, "/etc/group")?.lines().filter_map(accounts::group) {
            let is = group.members.iter().any(|member| member == name);
            if is && !self.groups.contains(&group.name) {
                let leave = Command::new(Program::Gpasswd, ["--delete", name, &group.name]);
                faults.push((format!("it is in group {}", group.name), Mend::Run(leave)));
            }
            if !is && self.groups.contains(&group.name) {
                faults.push((
                    format!("it is not in group {}", group.name),
                    usermod(&["--append", "--groups", &group.name]),
                ));
            }
        }
        if machine.file(&self.linger())?.is_some() {
            faults.push(("its user services outlive sessions (linger)".into(), Mend::Remove(self.linger())));
        }
        let locked =
            |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.chars().next().map(|c| "!*".contains(c));
        if text_of(machine, "/etc/shadow")?.lines().find_map(locked) == Some(false) {
            faults.push(("its password is not locked".into(), usermod(&["--lock"])));
        }
        Ok(faults)
    }
}

enum Mend {
    Run(Command),
    Remove(AbsPath),
    /// Lines of a file that begin so.
    RemoveLines(AbsPath, String),
}

/// The text of a file of the system; nothing where there is no such file.
fn text_of(machine: &dyn Observe, path: &'static str) -> Result<String, HostError> {
    let file = machine.file(&AbsPath::fixed(path))?;
    Ok(file.map(|file| String::from_utf8_lossy(&file.bytes).into_owned()).unwrap_or_default())
}

fn remove_lines(path: &AbsPath, start: &str, machine: &mut dyn Act) -> Result<(), HostError> {
    let Some(file) = machine.file(path)? else { return Ok(()) };
    let lines = file.bytes.split_inclusive(|byte| *byte == b'\n');
    let bytes = lines.filter(|line| !line.starts_with(start.as_bytes())).flatten().copied().collect();
    machine.write(path, &FileState { bytes, ..file }, Validator::Nobody)
}

impl Step for Account {
    fn id(&self) -> String {
        format!("account:{}", self.name)
    }

    fn describe(&self) -> Description {
        let mut change = vec![self.add().line()];
        if !self.groups.is_empty() {
            let groups = self.groups.join(",");
            change.push(
                Command::new(Program::Usermod, ["--append", "--groups", &groups, self.name.as_str()]).line(),
            );
        }
        let groups = if self.groups.is_empty() {
            String::new()
        } else {
            format!(", groups {}", self.groups.join(", "))
        };
        Description {
            layer: Layer::Account,
            title: format!("account {} (uid {}{groups})", self.name, self.uid),
            why: "what the agent runs has no right to your files and processes",
            change,
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let Some(person) = machine.person(self.name.as_str())? else { return Ok(Check::Missing) };
        if person.uid != self.uid || person.gecos != self.marker {
            return Ok(Check::Foreign(format!(
                "an account {} (uid {}) exists already",
                self.name, person.uid
            )));
        }
        Ok(Check::of(self.faults(&person, machine)?.into_iter().map(|(fault, _)| fault).collect()))
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        if machine.person(self.name.as_str())?.is_none() {
            machine.run(&self.add())?;
        }
        let Some(person) = machine.person(self.name.as_str())? else { return Ok(vec![]) };
        let faults = self.faults(&person, machine.observe())?;
        if faults.iter().any(|(_, mend)| matches!(mend, Mend::Run(_))) {
            // usermod(8) refuses while there are processes of the account, and these would go on with what they have.
            machine.end_processes(self.uid, &[])?;
        }
        for (_, mend) in faults {
            match mend {
                Mend::Run(command) => machine.run(&command)?,
                Mend::Remove(path) => machine.remove(&path)?,
                Mend::RemoveLines(path, start) => remove_lines(&path, &start, machine)?,
            }
        }
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        match machine.person(self.name.as_str())? {
            Some(person) if person.uid == self.uid && person.gecos == self.marker => {
                machine.end_processes(self.uid, &[])?;
                machine.run(&Command::new(Program::Userdel, [self.name.as_str()]))?;
                Ok(vec![])
            }
            Some(_) => {
                Ok(vec![format!("account {} is not the one that agentuser made: left alone", self.name)])
            }
            None => Ok(vec![]),
        }
    }

    fn unclaimed(&self, check: Check) -> Check {
        match check {
            Check::Missing | Check::Foreign(_) | Check::Unknown(_) => check,
            Check::Satisfied | Check::Drifted(_) => {
                Check::Foreign(format!("an account {} exists already", self.name))
            }
        }
    }
}
