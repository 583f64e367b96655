//! The drop-only mirror in a table of nftables: the text for `nft -f`.
//!
//! What `nft list table` prints differs between versions, so it is never parsed: the text read back right after the load
//! is kept, and compared.

use super::iptables::mark;
use crate::model::{
    Family, PortSet, Protocol,
    desired::{Destinations, Firewall, Inbound},
};
use std::fmt::Display;

/// The table, as an administrator may read it in the project's `iptables/` directory.
const SKELETON: &str = include_str!("../../iptables/agentuser.nft");

/// Answers to calls from beyond this machine that belong to no socket.
const COOKIES: &str =
    r#"oifname != "lo" tcp flags & (syn | ack | rst) == syn | ack ct direction reply jump cookie"#;

/// The table's name in family `inet`.
pub fn table(firewall: &Firewall) -> String {
    format!("agentuser_{}", firewall.uid)
}

/// The input of `nft -f`: one transaction for both families, which replaces the agent's table and touches no other.
pub fn render(firewall: &Firewall) -> String {
    let mut text = String::new();
    for line in SKELETON.lines() {
        let lines = match line.trim_start() {
            "@SETS@" => sets(firewall),
            "@DENY@" => rules(&firewall.deny, "deny", "jump refuse"),
            "@INBOUND@" => vec![inbound(firewall)],
            "@COOKIES@" if firewall.inbound == Inbound::Any => vec![],
            "@COOKIES@" => vec![COOKIES.into()],
            "@LOOPBACK@" => loopback(firewall),
            "@ALLOW@" if firewall.outbound_allowed => vec!["accept".into()],
            "@ALLOW@" => rules(&firewall.allow, "allow", "accept"),
            whole => vec![whole.to_owned()],
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        for line in lines {
            text.push_str(if line.is_empty() { "" } else { indent });
            text.push_str(&line);
            text.push('\n');
        }
    }
    let owners =
        std::iter::once(firewall.uid.to_string()).chain(firewall.sub_uids.iter().map(ToString::to_string));
    text.replace("@UID@", &firewall.uid.to_string())
        .replace("@MARK@", &format!("{:#010x}", mark(firewall.uid)))
        .replace("@OWNERS@", &format!("{{ {} }}", list(owners)))
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

const fn number(family: Family) -> u8 {
    match family {
        Family::V4 => 4,
        Family::V6 => 6,
    }
}

fn sets(firewall: &Firewall) -> Vec<String> {
    let mut lines = Vec::new();
    for (role, lists) in [("deny", &firewall.deny), ("allow", &firewall.allow)] {
        for (index, to) in lists.iter().enumerate() {
            for family in Family::BOTH.into_iter().filter(|family| to.of(*family).next().is_some()) {
                let version = number(family);
                lines.push(format!("set {role}{index}v{version} {{"));
                lines.push(format!("\ttype ipv{version}_addr; flags interval; auto-merge;"));
                lines.push(format!("\telements = {{ {} }}", list(to.of(family))));
                lines.push("}".into());
            }
        }
    }
    lines
}

fn rules(lists: &[Destinations], role: &str, verdict: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for (index, to) in lists.iter().enumerate() {
        for family in Family::BOTH.into_iter().filter(|family| to.of(*family).next().is_some()) {
            let ip = if family == Family::V4 { "ip" } else { "ip6" };
            let set = format!("{ip} daddr @{role}{index}v{}", number(family));
            match &to.ports {
                None => rules.push(format!("{set} {verdict}")),
                Some(set_of) => rules.extend(ports(set_of).map(|ports| format!("{set} {ports} {verdict}"))),
            }
        }
    }
    rules
}

fn ports(set: &PortSet) -> impl Iterator<Item = String> {
    [Protocol::Tcp, Protocol::Udp].into_iter().filter_map(|protocol| {
        let ranges: Vec<_> = set
            .of(protocol)
            .map(|r| if r.first == r.last { r.first.to_string() } else { format!("{}-{}", r.first, r.last) })
            .collect();
        (!ranges.is_empty()).then(|| format!("{protocol} dport {{ {} }}", ranges.join(", ")))
    })
}

fn inbound(firewall: &Firewall) -> String {
    let answer = "ct direction reply ct state established accept";
    match firewall.inbound {
        Inbound::Any => answer.into(),
        Inbound::Loopback => format!("oifname \"lo\" fib daddr type local {answer}"),
        Inbound::None => {
            format!(
                "oifname \"lo\" fib daddr type local meta l4proto tcp ct mark & 0xff000000 == @MARK@ {answer}"
            )
        }
    }
}

fn loopback(firewall: &Firewall) -> Vec<String> {
    ports(&firewall.loopback)
        .map(|ports| format!("oifname \"lo\" fib daddr type local {ports} accept"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::iptables::tests::firewall;

    #[test]
    fn rendered() {
        insta::assert_snapshot!(render(&firewall()));
    }
}
