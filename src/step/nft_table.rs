//! The mirror of the policy in an nftables table of the agent's own: it holds when somebody flushes the iptables rules,
//! and no ACCEPT of another table overrides it.

use super::{Check, Description, Layer, Step, Undo, carried::carried, netfilter::text};
use crate::{
    formats::nft,
    host::{Act, Command, FileState, HostError, Observe, Program, Query, Validator},
    model::{AbsPath, Gid, Uid, desired::Firewall},
};
use serde::{Deserialize, Serialize};
use std::process::Output;

/// The table of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NftTable {
    /// What it lets out.
    pub firewall: Firewall,
    /// Where the text read back after the load is kept.
    pub record: AbsPath,
    /// Where the DNS gate keeps what it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AbsPath>,
}

/// What was loaded, and how nft(8) of this machine prints it.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Record {
    loaded: String,
    listed: String,
}

impl NftTable {
    fn query(&self) -> Query {
        Query::NftTable("inet", nft::table(&self.firewall))
    }

    /// What is kept of the last load.
    fn record(&self, machine: &dyn Observe) -> Result<Option<Record>, HostError> {
        let file = machine.file(&self.record)?;
        Ok(file.and_then(|file| serde_json::from_slice(&file.bytes).ok()))
    }

    /// The table as it is now; what the DNS gate filled in is left out.
    fn listed(&self, output: &Output) -> String {
        nft::without_answers(&String::from_utf8_lossy(&output.stdout), &self.firewall)
    }
}

impl Step for NftTable {
    fn id(&self) -> String {
        format!("nft-table:{}", self.firewall.uid)
    }

    fn describe(&self) -> Description {
        let lines = nft::render(&self.firewall).lines().count();
        Description {
            layer: Layer::Network,
            title: format!("nftables table {}, the same policy again", nft::table(&self.firewall)),
            why: "holds when another tool flushes or overrides the iptables rules",
            change: vec![format!("nft -f - ({lines} lines)")],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let output = machine.query(&self.query())?;
        if !output.status.success() {
            return Ok(Check::Missing);
        }
        let listed = self.listed(&output);
        Ok(match self.record(machine)? {
            Some(record) if record.loaded != nft::render(&self.firewall) => {
                Check::Drifted(vec!["it was made from another policy".into()])
            }
            Some(record) if record.listed == listed => Check::Satisfied,
            Some(_) => Check::Drifted(vec!["its rules were changed".into()]),
            None => Check::Drifted(vec!["nothing tells what was loaded".into()]),
        })
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let loaded = nft::render(&self.firewall);
        let output = machine.query(&self.query())?;
        let untouched = |record: &Record| output.status.success() && record.listed == self.listed(&output);
        // A table that somebody changed is made anew; one that is as we left it changes without a gap.
        let mut inputs = match self.record(machine.observe())?.filter(untouched) {
            Some(record) => nft::render_change(&self.firewall, &record.loaded),
            None => vec![loaded.clone()],
        };
        // The first of them makes the sets.
        let answers = carried(self.answers.as_ref(), &self.firewall, machine.observe())?;
        inputs[0] += &nft::render_answers(&answers, &self.firewall);
        for input in inputs {
            machine.run(&Command::new(Program::Nft, ["-f", "-"]).reading(input))?;
        }
        let listed = text(&self.query(), machine.observe())?;
        let record = Record { loaded, listed: nft::without_answers(&listed, &self.firewall) };
        let bytes = serde_json::to_vec(&record)
            .map_err(|error| HostError::path("can't write", &self.record, error))?;
        machine.write(
            &self.record,
            &FileState { bytes, mode: 0o600, uid: Uid(0), gid: Gid(0) },
            Validator::Nobody,
        )?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.delete_nft_table(&nft::table(&self.firewall))?;
        machine.remove(&self.record)?;
        Ok(vec![])
    }
}
