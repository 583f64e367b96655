//! The steps that only macOS has. They are data like all others, and are compiled and tested on every platform.

mod daemon;
mod ds_account;
mod ds_group;
mod pf_anchor;
mod pf_enabled;
mod share_aces;

pub use daemon::Daemon;
pub(super) use daemon::unload;
pub use ds_account::DsAccount;
pub use ds_group::DsGroup;
pub use pf_anchor::PfAnchor;
pub use pf_enabled::PfEnabled;
pub use share_aces::{PassAces, ShareAces};

use crate::{
    formats::dscl::{self, Record},
    host::{Act, Command, HostError, MacQuery, Observe, Program, Query},
};
use std::process::Output;

/// What a look prints; it must succeed.
fn text(query: MacQuery, machine: &dyn Observe) -> Result<String, HostError> {
    let command = query.command();
    let output = command.expect_success(machine.query(&Query::Mac(query))?)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A record of Open Directory; none where there is none.
fn record(query: MacQuery, machine: &dyn Observe) -> Result<Option<Record>, HostError> {
    let command = query.command();
    let output: Output = machine.query(&Query::Mac(query))?;
    if !output.status.success() && dscl::is_missing(&output.stderr) {
        return Ok(None);
    }
    let output = command.expect_success(output)?;
    let unreadable =
        |error| HostError::Unexpected { path: command.line(), is: format!("can't be read: {error}") };
    dscl::record(&output.stdout).map(Some).map_err(unreadable)
}

/// `dscl . VERB ARGUMENTS`.
fn dscl<'a>(verb: &'a str, args: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new(Program::Dscl, [".", verb].into_iter().chain(args))
}

/// Whether macOS lets this program change accounts: a value is written onto itself.
///
/// Without Full Disk Access, or away from a graphical session, macOS refuses after half of the work. Asked first, it refuses
/// before anything was changed.
fn refuse_without_leave(machine: &mut dyn Act) -> Result<(), HostError> {
    let path = "/Users/nobody";
    let Some(nobody) = record(MacQuery::User("nobody".into()), machine.observe())? else { return Ok(()) };
    let home = nobody.value("NFSHomeDirectory").unwrap_or("/var/empty").to_owned();
    let command = dscl("-change", [path, "NFSHomeDirectory", &home, &home]);
    let output = machine.try_run(&command)?;
    if !output.status.success() && dscl::is_not_permitted(&output.stderr) {
        return Err(HostError::Unexpected {
            path: "macOS".into(),
            is: "does not let this program change accounts: give your terminal Full Disk Access (System Settings, Privacy & \
                 Security), over ssh also \"Allow full disk access for remote users\" (Sharing, Remote Login), and try again"
                .into(),
        });
    }
    command.expect_success(output)?;
    Ok(())
}

/// Deletes a record; that it is gone already is as good.
fn delete(path: &str, machine: &mut dyn Act) -> Result<(), HostError> {
    let command = dscl("-delete", [path]);
    let output = machine.try_run(&command)?;
    let gone = ["-14009", "-14136"].iter().any(|mark| String::from_utf8_lossy(&output.stderr).contains(mark));
    if !(output.status.success() || gone) {
        command.expect_success(output)?;
    }
    Ok(())
}

/// Sets those attributes of a record that differ, one by one.
fn set(
    path: &str,
    wanted: &[(&'static str, String)],
    is: &Record,
    machine: &mut dyn Act,
) -> Result<(), HostError> {
    for (attribute, value) in wanted.iter().filter(|(attribute, value)| is.value(attribute) != Some(value)) {
        machine.run(&dscl("-create", [path, attribute, value]))?;
    }
    Ok(())
}

/// What of a record differs, in words.
fn differences(wanted: &[(&'static str, String)], is: &Record) -> Vec<String> {
    let differs = |(attribute, value): &&(&'static str, String)| is.value(attribute) != Some(value);
    let words = |(attribute, _): &(&'static str, String)| match is.value(attribute) {
        Some(other) => format!("its {attribute} is {}", other.escape_debug()),
        None => format!("it has no {attribute}"),
    };
    wanted.iter().filter(differs).map(words).collect()
}
