//! People and groups by name.
//!
//! A statically linked C library asks its own databases only, so there names that `/etc/passwd` lacks (LDAP, sssd,
//! systemd-homed) are looked up by getent(1).

use super::HostError;
use crate::model::facts::{GroupLine, Person};

/// An account by name.
pub fn person(name: &str) -> Result<Option<Person>, HostError> {
    look_up::person(name)
}

/// A group by name.
pub fn group(name: &str) -> Result<Option<GroupLine>, HostError> {
    look_up::group(name)
}

#[cfg(not(target_feature = "crt-static"))]
mod look_up {
    use super::{GroupLine, HostError, Person};
    use crate::model::{Gid, Uid};
    use users::os::unix::{GroupExt, UserExt};

    #[expect(clippy::unnecessary_wraps, reason = "the static form can fail")]
    pub(super) fn person(name: &str) -> Result<Option<Person>, HostError> {
        Ok(users::get_user_by_name(name).map(|user| Person {
            name: name.into(),
            uid: Uid(user.uid()),
            gid: Gid(user.primary_group_id()),
            gecos: user.gecos().to_string_lossy().into_owned(),
            home: user.home_dir().to_string_lossy().into_owned(),
            shell: user.shell().to_string_lossy().into_owned(),
        }))
    }

    #[expect(clippy::unnecessary_wraps, reason = "the static form can fail")]
    pub(super) fn group(name: &str) -> Result<Option<GroupLine>, HostError> {
        Ok(users::get_group_by_name(name).map(|group| GroupLine {
            name: name.into(),
            gid: Gid(group.gid()),
            members: group.members().iter().map(|member| member.to_string_lossy().into_owned()).collect(),
        }))
    }
}

#[cfg(target_feature = "crt-static")]
mod look_up {
    use super::{GroupLine, HostError, Person};
    use crate::{
        formats::accounts,
        host::{Command, Program},
    };

    pub(super) fn person(name: &str) -> Result<Option<Person>, HostError> {
        find("passwd", name, accounts::person)
    }

    pub(super) fn group(name: &str) -> Result<Option<GroupLine>, HostError> {
        find("group", name, accounts::group)
    }

    fn find<T>(database: &str, name: &str, read: fn(&str) -> Option<T>) -> Result<Option<T>, HostError> {
        let path = format!("/etc/{database}");
        let text = std::fs::read(&path).map_err(|error| HostError::path("can't read", &path, error))?;
        let text = String::from_utf8_lossy(&text);
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
        if let Some(line) = line {
            return Ok(read(line));
        }
        if Program::Getent.path().is_none() {
            return Ok(None);
        }
        // 2 says that no database has the name.
        let command = Command::new(Program::Getent, [database, name]);
        let output = command.output()?;
        if output.status.code() == Some(2) {
            return Ok(None);
        }
        let output = command.expect_success(output)?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().and_then(read))
    }
}

/// The name of an account by uid: the caller's own, for messages and for finding its agents.
pub fn name_of(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let local = text.lines().filter_map(crate::formats::accounts::person).find(|person| person.uid.0 == uid);
    local.map(|person| person.name).or_else(|| by_database(uid))
}

#[cfg(not(target_feature = "crt-static"))]
fn by_database(uid: u32) -> Option<String> {
    users::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned())
}

#[cfg(target_feature = "crt-static")]
fn by_database(uid: u32) -> Option<String> {
    let output = super::Command::new(super::Program::Getent, ["passwd", &uid.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().and_then(crate::formats::accounts::person).map(|person| person.name)
}
