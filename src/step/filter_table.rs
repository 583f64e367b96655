//! The filter table that iptables-nft(8) makes at its first rule: on a machine that had none, it goes when we go.

use super::{Check, Description, Layer, Step, Undo, netfilter::restore};
use crate::{
    host::{Act, Command, HostError, Observe, Program, Query},
    model::Family,
};
use serde::{Deserialize, Serialize};

/// Table `filter` of one family, as nftables sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterTable {
    /// The family.
    pub family: Family,
}

impl FilterTable {
    fn nft_family(&self) -> &'static str {
        match self.family {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }

    /// The table as nft(8) prints it, or `None` where there is none.
    fn listing(&self, machine: &dyn Observe) -> Result<Option<String>, HostError> {
        let output = machine.query(&Query::NftTable(self.nft_family(), "filter".into()))?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

/// Whether a table holds nothing but base chains that let everything pass, which is what iptables-nft leaves.
fn is_blank(listing: &str) -> bool {
    listing.lines().map(str::trim).all(|line| {
        let base = line.starts_with("type filter hook ") && line.ends_with("policy accept;");
        base || line.is_empty()
            || line.starts_with('#')
            || line == "}"
            || ((line.starts_with("table ") || line.starts_with("chain ")) && line.ends_with('{'))
    })
}

impl Step for FilterTable {
    fn id(&self) -> String {
        format!("filter-table:{}", self.nft_family())
    }

    fn describe(&self) -> Description {
        Description {
            layer: Layer::Network,
            title: format!("filter table of iptables for {}", self.family),
            why: "the agents' chains need one, and this machine has none yet",
            change: vec![restore(self.family, String::new()).line()],
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        Ok(if machine.has_filter_table(self.family)? { Check::Satisfied } else { Check::Missing })
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.run(&restore(self.family, "*filter\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n".into()))?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        if self.listing(machine.observe())?.is_some_and(|listing| is_blank(&listing)) {
            machine.run(&Command::new(Program::Nft, ["delete", "table", self.nft_family(), "filter"]))?;
        }
        Ok(vec![])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_blank_table_goes() {
        let blank = "table ip filter {\n\tchain OUTPUT {\n\t\ttype filter hook output priority filter; policy accept;\n\t}\n}\n";
        assert!(is_blank(blank));
        assert!(!is_blank(&blank.replace("policy accept", "policy drop")));
        assert!(!is_blank(&blank.replace("\t}\n}", "\t\tcounter packets 0 bytes 0 drop\n\t}\n}")));
        assert!(!is_blank(&blank.replace("\t}\n}", "\t}\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}")));
    }
}
