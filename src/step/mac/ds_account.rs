//! The agent's account on macOS: a record of Open Directory, made attribute by attribute with dscl(1).
//!
//! It has no `AuthenticationAuthority`, so that nobody logs in as it by any means and it gets no secure token, and is hidden
//! from the login window. The full name carries the marker that only our receipt knows, and the record's GUID, by which
//! ACL entries name the account, is kept when the account is whole: another record of the same name is never taken over.

use super::{delete, differences, dscl, record, refuse_without_leave, set, text};
use crate::{
    formats::dscl::Record,
    host::{Act, Command, FileState, HostError, MacQuery, Observe, Program, Validator},
    model::{AbsPath, Gid, Uid},
    step::{Account, Check, Description, Layer, Step, Undo},
};
use serde::{Deserialize, Serialize};

/// Groups through which an account gets at what is other people's, or into the machine from elsewhere. `everyone` and
/// `localaccounts`, which no account can leave, are not among them.
const REFUSED: [&str; 8] = [
    "staff",
    "admin",
    "wheel",
    "_developer",
    "access_bpf",
    "docker",
    "operator",
    "com.apple.access_loginwindow",
];

/// Groups of those who may come in over a service; such a group exists only where the service is limited to it.
const SERVICES: &str = "com.apple.access_";

/// The group of those who may come in by ssh, where there is one.
const SSH: &str = "com.apple.access_ssh";

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DsAccount {
    /// What every account has.
    pub account: Account,
    /// Where the GUID of the account is kept.
    pub guid: AbsPath,
}

impl DsAccount {
    fn name(&self) -> &str {
        self.account.name.as_str()
    }

    fn path(&self) -> String {
        format!("/Users/{}", self.name())
    }

    fn query(&self) -> MacQuery {
        MacQuery::User(self.name().into())
    }

    /// The marker first: a record that was begun is known by it.
    fn wanted(&self) -> Vec<(&'static str, String)> {
        vec![
            ("RealName", self.account.marker.clone()),
            ("IsHidden", "1".into()),
            ("Password", "*".into()),
            ("PrimaryGroupID", self.account.gid.to_string()),
            ("NFSHomeDirectory", self.account.home.to_string()),
            ("UserShell", self.account.shell.to_string()),
            ("UniqueID", self.account.uid.to_string()),
        ]
    }

    /// Whether a record is not the one that this step makes.
    fn is_foreign(&self, is: &Record, machine: &dyn Observe) -> Result<bool, HostError> {
        if is.value("RealName").is_none() && is.value("UniqueID").is_none() {
            // Just begun: the marker is the first that it gets.
            return Ok(false);
        }
        let kept = self.kept(machine)?;
        let other = kept.is_some_and(|guid| is.value("GeneratedUID") != Some(&guid));
        Ok(is.value("RealName") != Some(self.account.marker.as_str()) || other)
    }

    fn kept(&self, machine: &dyn Observe) -> Result<Option<String>, HostError> {
        let file = machine.file(&self.guid)?;
        Ok(file.map(|file| String::from_utf8_lossy(&file.bytes).trim().to_owned()))
    }

    fn join(&self, group: &str) -> Command {
        Command::new(Program::Dseditgroup, ["-o", "edit", "-a", self.name(), "-t", "user", group])
    }

    fn leave(&self, group: &str) -> Command {
        Command::new(Program::Dseditgroup, ["-o", "edit", "-d", self.name(), "-t", "user", group])
    }

    /// What is wrong with an account that is ours, beside its attributes, and the command that mends each.
    fn faults(&self, is: &Record, machine: &dyn Observe) -> Result<Vec<(String, Command)>, HostError> {
        let mut faults = Vec::new();
        if is.value("AuthenticationAuthority").is_some() {
            let mend = dscl("-delete", [self.path().as_str(), "AuthenticationAuthority"]);
            faults.push(("it can log in (AuthenticationAuthority)".into(), mend));
        }
        let groups = text(MacQuery::GroupsOf(self.name().into()), machine)?;
        let groups: Vec<&str> = groups.split_whitespace().collect();
        let wanted = || self.account.groups.iter().map(String::as_str);
        let refused = |group: &&&str| REFUSED.contains(*group) || group.starts_with(SERVICES);
        for group in groups.iter().filter(refused).filter(|group| wanted().all(|wanted| wanted != **group)) {
            faults.push((format!("it is in group {group}"), self.leave(group)));
        }
        for group in wanted().filter(|group| !groups.contains(group)) {
            faults.push((format!("it is not in group {group}"), self.join(group)));
        }
        // Its primary group has it by number; ACLs and `checkmember` go by name.
        let own = record(MacQuery::Group(self.name().into()), machine)?.unwrap_or_default();
        if own.values("GroupMembership").iter().all(|member| member != self.name()) {
            faults.push(("its group does not list it".into(), self.join(self.name())));
        }
        Ok(faults)
    }
}

impl Step for DsAccount {
    fn id(&self) -> String {
        format!("account:{}", self.account.name)
    }

    fn describe(&self) -> Description {
        let path = self.path();
        let mut change = vec![dscl("-create", [path.as_str()]).line()];
        change
            .extend(self.wanted().iter().map(|(name, value)| dscl("-create", [&path, *name, value]).line()));
        change.push(self.join(self.name()).line());
        change.extend(self.account.groups.iter().map(|group| self.join(group).line()));
        let groups = match &self.account.groups[..] {
            [] => String::new(),
            groups => format!(", groups {}", groups.join(", ")),
        };
        Description {
            layer: Layer::Account,
            title: format!("account {} (uid {}{groups})", self.account.name, self.account.uid),
            why: "what the agent runs has no right to your files and processes",
            change,
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let Some(is) = record(self.query(), machine)? else { return Ok(Check::Missing) };
        if self.is_foreign(&is, machine)? {
            return Ok(Check::Foreign(format!(
                "an account {} exists that agentuser did not make",
                self.name()
            )));
        }
        let mut differences = differences(&self.wanted(), &is);
        if differences.is_empty() {
            // Before it is whole the system's tools don't know it.
            differences.extend(self.faults(&is, machine)?.into_iter().map(|(fault, _)| fault));
            // Only root reads what was kept.
            if machine.file(&self.guid)?.is_none() {
                differences.push("which record it is was not kept".into());
            }
        }
        Ok(Check::of(differences))
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn preflight(&self, machine: &mut dyn Act) -> Result<(), HostError> {
        refuse_without_leave(machine)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let path = self.path();
        if record(self.query(), machine.observe())?.is_none() {
            machine.run(&dscl("-create", [path.as_str()]))?;
        }
        let is = record(self.query(), machine.observe())?.unwrap_or_default();
        set(&path, &self.wanted(), &is, machine)?;
        // What asked for the name before remembers that there was none.
        machine.run(&Command::new(Program::Dscacheutil, ["-flushcache"]))?;
        let is = record(self.query(), machine.observe())?.unwrap_or_default();
        let faults = self.faults(&is, machine.observe())?;
        if faults.iter().any(|(fault, _)| fault.starts_with("it is in") || fault.starts_with("it can")) {
            // What runs would go on with what it has.
            machine.end_processes(self.account.uid, &[])?;
        }
        for (_, mend) in faults {
            machine.run(&mend)?;
        }
        if let Some(guid) = is.value("GeneratedUID") {
            let bytes = format!("{guid}\n").into_bytes();
            machine.write(
                &self.guid,
                &FileState { bytes, mode: 0o644, uid: Uid(0), gid: Gid(0) },
                Validator::Nobody,
            )?;
        }
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let is = record(self.query(), machine.observe())?;
        if let Some(is) = is {
            if self.is_foreign(&is, machine.observe())? {
                let note = format!("account {} is not the one that agentuser made: left alone", self.name());
                return Ok(vec![note]);
            }
            // Its part of launchd would start again what is ended; there is none where nothing of it ever ran.
            let domain = format!("user/{}", self.account.uid);
            machine.try_run(&Command::new(Program::Launchctl, ["bootout", &domain]))?;
            machine.end_processes(self.account.uid, &[])?;
            // A group keeps the name of a member that is gone.
            let lists =
                |group: &Record| group.values("GroupMembership").iter().any(|member| member == self.name());
            if record(MacQuery::Group(SSH.into()), machine.observe())?.is_some_and(|group| lists(&group)) {
                machine.run(&self.leave(SSH))?;
            }
            for group in &self.account.groups {
                if record(MacQuery::Group(group.clone()), machine.observe())?
                    .is_some_and(|group| lists(&group))
                {
                    machine.run(&self.leave(group))?;
                }
            }
            delete(&self.path(), machine)?;
        }
        machine.remove(&self.guid)?;
        Ok(vec![])
    }

    fn unclaimed(&self, check: Check) -> Check {
        match check {
            Check::Missing | Check::Foreign(_) | Check::Unknown(_) => check,
            Check::Satisfied | Check::Drifted(_) => {
                Check::Foreign(format!("an account {} exists already", self.name()))
            }
        }
    }
}
