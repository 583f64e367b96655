//! pf is on, and its main ruleset leads to the anchors of `com.apple`.
//!
//! macOS counts who wants pf: `pfctl -E` gives a token, `-X` gives it back, and pf stops with the last one. The main ruleset is
//! Apple's; where another tool has put its own in the place, nothing of ours is asked, and nothing is changed.

use super::text;
use crate::{
    formats::pfctl::{self, Main},
    host::{Act, Command, FileState, HostError, MacQuery, Observe, Program, Validator},
    model::{AbsPath, Gid, Uid},
    step::{Check, Description, Layer, Step, Undo},
};
use serde::{Deserialize, Serialize};

/// The main ruleset as macOS ships it.
const MAIN: &str = "/etc/pf.conf";

/// pf, with a token of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PfEnabled {
    /// Where the token is kept. It dies with a reboot, and then there is another one.
    pub token: AbsPath,
}

impl PfEnabled {
    fn kept(&self, machine: &dyn Observe) -> Result<Option<u64>, HostError> {
        let file = machine.file(&self.token)?;
        Ok(file.and_then(|file| String::from_utf8_lossy(&file.bytes).trim().parse().ok()))
    }

    fn is_held(&self, machine: &dyn Observe) -> Result<bool, HostError> {
        let held = pfctl::tokens(&text(MacQuery::PfReferences, machine)?);
        Ok(self.kept(machine)?.is_some_and(|token| held.contains(&token)))
    }
}

fn main_rules(machine: &dyn Observe) -> Result<Main, HostError> {
    Ok(pfctl::main_rules(&text(MacQuery::PfMain, machine)?, &text(MacQuery::PfNat, machine)?))
}

impl Step for PfEnabled {
    fn id(&self) -> String {
        "pf".into()
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Network,
            title: "pf is on".into(),
            why: "packets are judged only while somebody wants pf",
            change: vec![
                format!("pfctl -f {MAIN}, where nothing is loaded"),
                format!("pfctl -E, and keep the token in {}", self.token),
            ],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let enabled = pfctl::is_enabled(&text(MacQuery::PfInfo, machine)?);
        let main = main_rules(machine)?;
        if main == Main::Replaced {
            return Ok(Check::Foreign(
                "another tool replaced the main rules of pf by some that ask no anchor of com.apple: end it (a VPN?), or \
                 load /etc/pf.conf again"
                    .into(),
            ));
        }
        let held = self.is_held(machine)?;
        if !held && self.kept(machine)?.is_none() {
            return Ok(Check::Missing);
        }
        let mut faults = Vec::new();
        if !enabled {
            faults.push("pf is off".into());
        }
        if main == Main::Empty {
            faults.push("its main rules are not loaded".into());
        }
        if !held {
            faults.push("our token is not held any more".into());
        }
        Ok(Check::of(faults))
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        if main_rules(machine.observe())? == Main::Empty {
            machine.run(&Command::new(Program::Pfctl, ["-f", MAIN]))?;
        }
        let enabled = pfctl::is_enabled(&text(MacQuery::PfInfo, machine.observe())?);
        if enabled && self.is_held(machine.observe())? {
            return Ok(vec![]);
        }
        let enable = Command::new(Program::Pfctl, ["-E"]);
        let output = machine.try_run(&enable)?;
        let output = enable.expect_success(output)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let Some(token) = pfctl::token(&said) else {
            let is = format!("gave no token: {}", said.trim().escape_debug());
            return Err(HostError::Unexpected { path: enable.line(), is });
        };
        let bytes = format!("{token}\n").into_bytes();
        machine.write(
            &self.token,
            &FileState { bytes, mode: 0o600, uid: Uid(0), gid: Gid(0) },
            Validator::Nobody,
        )?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        if let Some(token) = self.kept(machine.observe())?
            && self.is_held(machine.observe())?
        {
            let release = Command::new(Program::Pfctl, ["-X", &token.to_string()]);
            let output = machine.try_run(&release)?;
            // `pfctl -d` by hand makes all tokens void.
            if !output.status.success() && self.is_held(machine.observe())? {
                release.expect_success(output)?;
            }
        }
        machine.remove(&self.token)?;
        Ok(vec![])
    }

    fn unclaimed(&self, check: Check) -> Check {
        check
    }
}
