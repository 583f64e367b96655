//! The filter table and its chain OUTPUT, which iptables-nft(8) makes at its first rule: where a machine had none, they go
//! when we go. Other tools make the table without that chain, for rules about what they forward.

use super::{Check, Description, Layer, Step, Undo, netfilter::restore};
use crate::{
    host::{Act, Command, CommandError, HostError, Observe, Program, Query},
    model::Family,
};
use serde::{Deserialize, Serialize};

/// Table `filter` of one family, as nftables sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterTable {
    /// The family.
    pub family: Family,
}

impl Step for FilterTable {
    fn id(&self) -> String {
        format!("filter-table:{}", self.family.nft())
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Network,
            title: format!("filter table of iptables for {}", self.family),
            why: "the agents' chains need one, and this machine has none yet",
            change: vec![of(self.family, "add", "table", &[]).line()],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let has = machine.has_filter_table(self.family, None)?;
        Ok(if has { Check::Satisfied } else { Check::Missing })
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.make_filter_table(self.family)?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        take_back(self.family, machine, is_blank, &of(self.family, "delete", "table", &[]))
    }
}

/// Its chain OUTPUT, at the hook of that name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputChain {
    /// The family.
    pub family: Family,
}

impl OutputChain {
    fn add(&self) -> Command {
        restore(self.family, "*filter\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n".into())
    }
}

impl Step for OutputChain {
    fn id(&self) -> String {
        format!("output-chain:{}", self.family.nft())
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Network,
            title: format!("chain OUTPUT of iptables for {}", self.family),
            why: "the agents' chains are reached from it, and this machine has none yet",
            change: vec![self.add().line()],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let has = machine.has_filter_table(self.family, Some("OUTPUT"))?;
        Ok(if has { Check::Satisfied } else { Check::Missing })
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.run(&self.add())?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let is_empty = |listing: &str| chain(listing, "OUTPUT").is_some_and(is_blank);
        take_back(self.family, machine, is_empty, &of(self.family, "delete", "chain", &["OUTPUT"]))
    }
}

/// A command of nft(8) about the table or something in it.
fn of(family: Family, verb: &str, what: &str, rest: &[&str]) -> Command {
    Command::new(Program::Nft, [&[verb, what, family.nft(), "filter"], rest].concat())
}

/// Runs a command if the table as nft(8) prints it is as `may_go` wants it.
fn take_back(
    family: Family,
    machine: &mut dyn Act,
    may_go: impl Fn(&str) -> bool,
    command: &Command,
) -> Result<Vec<String>, HostError> {
    match machine.query(&Query::NftTable(family.nft(), "filter".into())) {
        Ok(output) if output.status.success() => {
            if may_go(&String::from_utf8_lossy(&output.stdout)) {
                machine.run(command)?;
            }
            Ok(vec![])
        }
        Ok(_) => Ok(vec![]),
        // An empty chain lets everything pass, and is in nobody's way.
        Err(HostError::Command(CommandError::Missing(_))) => {
            Ok(vec![format!("it stays, for `nft` is not installed; with nft: {}", command.line())])
        }
        Err(error) => Err(error),
    }
}

/// The lines of a chain of a table.
fn chain<'a>(listing: &'a str, name: &str) -> Option<&'a str> {
    let (_, chain) = listing.split_once(&format!("\tchain {name} {{\n"))?;
    Some(chain.split_once("\t}\n")?.0)
}

/// Whether there is nothing but base chains that let everything pass, which is what iptables-nft leaves.
fn is_blank(listing: &str) -> bool {
    listing.lines().map(str::trim).all(|line| {
        let base = line.starts_with("type filter hook ") && line.ends_with("policy accept;");
        base || line.is_empty()
            || line.starts_with('#')
            || line == "}"
            || ((line.starts_with("table ") || line.starts_with("chain ")) && line.ends_with('{'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLANK: &str = "table ip filter {\n\tchain OUTPUT {\n\t\ttype filter hook output priority filter; policy accept;\n\t}\n}\n";

    #[test]
    fn only_a_blank_table_goes() {
        assert!(is_blank(BLANK));
        assert!(!is_blank(&BLANK.replace("policy accept", "policy drop")));
        assert!(!is_blank(&BLANK.replace("\t}\n}", "\t\tcounter packets 0 bytes 0 drop\n\t}\n}")));
        assert!(!is_blank(&BLANK.replace("\t}\n}", "\t}\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}")));
    }

    #[test]
    fn a_chain_is_looked_at_alone() {
        let more = BLANK.replace("\tchain OUTPUT", "\tchain OUTPUTS {\n\t\tdrop\n\t}\n\n\tchain OUTPUT");
        assert!(!is_blank(&more) && chain(&more, "OUTPUT").is_some_and(is_blank));
        assert!(!chain(&more, "OUTPUTS").is_some_and(is_blank));
        assert_eq!(chain(&more, "INPUT"), None);
    }
}
