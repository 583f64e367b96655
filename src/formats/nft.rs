//! The drop-only mirror in a table of nftables: the text for `nft -f`.
//!
//! What `nft list table` prints differs between versions, so it is never parsed: the text read back right after the load
//! is kept, and compared.

use super::{
    ipset::{self, Role},
    iptables::{LOG_GROUP, mark, name_mark},
};
use crate::model::{
    Family, PortRange, PortSet,
    desired::{Firewall, Inbound, Log},
};
use std::{collections::BTreeSet, fmt::Display, net::IpAddr};

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
    fill(firewall, &sets(firewall))
}

/// Inputs of `nft -f`, one after the other, that turn a table loaded from `old` into the wanted one.
///
/// The kernel lets packets meet new rules an instant before it fills new sets, so sets come in a transaction before that of
/// the rules, and go in one after it. Their names tell their content: no rule in force sees them change.
pub fn render_change(firewall: &Firewall, old: &str) -> Vec<String> {
    let whole = render(firewall);
    if !hooks(old).eq(hooks(&whole)) {
        return vec![whole];
    }
    let (table, sets) = (table(firewall), sets(firewall));
    let mut inputs = Vec::new();
    if !sets.is_empty() {
        inputs.push(format!("table inet {table} {{\n{}\n}}\n", sets.join("\n")));
    }
    inputs.push(fill(firewall, &[]).replacen("delete table", "flush table", 1));
    let wanted: BTreeSet<_> = sets.iter().filter_map(|line| set_name(line)).collect();
    let gone = old.lines().filter_map(set_name).filter(|name| !wanted.contains(name));
    let gone: Vec<_> = gone.map(|name| format!("delete set inet {table} {name}\n")).collect();
    inputs.extend((!gone.is_empty()).then(|| gone.concat()));
    inputs
}

/// What puts answers of the DNS gate into their sets, in the transaction that makes these: set, address, seconds.
pub fn render_answers(answers: &[(String, IpAddr, u32)], firewall: &Firewall) -> String {
    let one = |(set, address, seconds): &(String, IpAddr, u32)| {
        format!("add element inet {} {set} {{ {address} timeout {seconds}s }}\n", table(firewall))
    };
    answers.iter().map(one).collect()
}

/// Where the chains of a table are hooked in: what no change of rules can change.
fn hooks(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| line.contains(" hook "))
}

/// A listing by nft(8) without the elements of sets that the DNS gate fills.
pub fn without_answers(listing: &str, firewall: &Firewall) -> String {
    let answers: BTreeSet<_> = ipset::answer_sets(firewall).into_iter().map(|set| set.name).collect();
    let (mut inside, mut elements) = (false, false);
    let mut kept = String::new();
    for line in listing.lines() {
        if let Some(name) = set_name(line) {
            inside = answers.contains(name);
        }
        let ends = line.trim() == "}";
        elements = inside && !ends && (elements || line.trim_start().starts_with("elements = {"));
        inside &= !ends;
        if !elements {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The name in the first line of a set.
fn set_name(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("set ")?.strip_suffix(" {")
}

fn fill(firewall: &Firewall, sets: &[String]) -> String {
    let owners: Vec<_> = std::iter::once(firewall.uid.to_string())
        .chain(firewall.sub_uids.iter().map(ToString::to_string))
        .collect();
    let mut text = String::new();
    for line in SKELETON.lines() {
        let lines = match line.trim_start() {
            "@SETS@" => sets.to_vec(),
            "@DENY@" => rules(firewall, Role::Deny, "jump refuse"),
            "@COOKIES@" if firewall.inbound == Inbound::Any => vec![],
            "@COOKIES@" => vec![COOKIES.into()],
            "@INBOUND@" => vec![inbound(firewall)],
            "@REDIRECT@" => redirect(firewall, &owners),
            "@GATE@" => resolvers(firewall),
            "@NAMES@" => names(firewall),
            "@LOG@" => report(firewall),
            "@LOOPBACK@" => loopback(firewall),
            "@ALLOW@" if firewall.outbound_allowed => vec!["accept".into()],
            "@ALLOW@" => rules(firewall, Role::Allow, "accept"),
            // A rule for each, for a list in braces is a set, which the kernel fills too late.
            whole if whole.contains("@OWNERS@") => {
                owners.iter().map(|owner| whole.replace("@OWNERS@", owner)).collect()
            }
            whole => vec![whole.to_owned()],
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        for line in lines {
            text.push_str(if line.is_empty() { "" } else { indent });
            text.push_str(&line);
            text.push('\n');
        }
    }
    text.replace("@UID@", &firewall.uid.to_string())
        .replace("@MARK@", &format!("{:#010x}", mark(firewall.uid)))
}

/// All DNS of the account goes to its gate, whatever server it asks.
fn redirect(firewall: &Firewall, owners: &[String]) -> Vec<String> {
    let Some(port) = firewall.gate else { return vec![] };
    let mut lines = vec!["chain dns {".into()];
    lines.push("\ttype nat hook output priority -105; policy accept;".into());
    for (owner, protocol) in owners.iter().flat_map(|owner| [(owner, "udp"), (owner, "tcp")]) {
        lines.push(format!("\tmeta skuid {owner} {protocol} dport 53 redirect to :{port}"));
    }
    lines.push("}".into());
    lines
}

fn resolvers(firewall: &Firewall) -> Vec<String> {
    let gate =
        firewall.gate.into_iter().flat_map(|port| Family::BOTH.map(|family| (family.loopback(), port)));
    let system = firewall.resolvers.iter().map(|addr| (*addr, 53));
    gate.chain(system)
        .flat_map(|(addr, port)| {
            let ip = if addr.is_ipv4() { "ip" } else { "ip6" };
            ["udp", "tcp"].map(|protocol| format!("{ip} daddr {addr} {protocol} dport {port} accept"))
        })
        .collect()
}

/// The mark is set here too, for flows that open while nothing but this table is left.
fn names(firewall: &Firewall) -> Vec<String> {
    if firewall.names.is_empty() {
        return vec![];
    }
    let mark = format!("{:#010x}", name_mark(firewall));
    let lives = format!("ct mark & 0xff000000 == {mark} ct state established accept");
    let opens = format!("ct mark set ct mark & 0x00ffffff | {mark} accept");
    let sets = ipset::answer_sets(firewall).into_iter();
    let rules =
        sets.flat_map(|set| to_ports(&firewall.names[set.index].ports, set.family, &set.name, &opens));
    std::iter::once(lives).chain(rules).collect()
}

fn to_ports(of: &PortSet, family: Family, set: &str, verdict: &str) -> Vec<String> {
    let ip = if family == Family::V4 { "ip" } else { "ip6" };
    ports(of).map(|ports| format!("{ip} daddr @{set} {ports} {verdict}")).collect()
}

fn report(firewall: &Firewall) -> Vec<String> {
    if firewall.log == Log::None {
        return vec![];
    }
    vec![format!(
        "limit rate 100/second burst 200 packets log prefix \"au:{}:mirror\" group {LOG_GROUP} snaplen 80",
        firewall.uid
    )]
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

/// The sets have the names of their counterparts for iptables.
fn sets(firewall: &Firewall) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut lines = Vec::new();
    for (role, lists) in [(Role::Deny, &firewall.deny), (Role::Allow, &firewall.allow)] {
        for (to, family) in lists.iter().flat_map(|to| Family::BOTH.map(|family| (to, family))) {
            let Some(set) = ipset::net_set(firewall.uid, role, to, family) else { continue };
            if names.insert(set.name.clone()) {
                lines.push(format!("set {} {{", set.name));
                lines.push(format!("\ttype ipv{}_addr; flags interval; auto-merge;", number(family)));
                lines.push(format!("\telements = {{ {} }}", list(to.of(family))));
                lines.push("}".into());
            }
        }
    }
    for set in ipset::answer_sets(firewall) {
        lines.push(format!("set {} {{", set.name));
        lines.push(format!("\ttype ipv{}_addr; flags timeout; size 65536;", number(set.family)));
        lines.push("}".into());
    }
    lines
}

fn rules(firewall: &Firewall, role: Role, verdict: &str) -> Vec<String> {
    let lists = match role {
        Role::Deny => &firewall.deny,
        Role::Allow => &firewall.allow,
    };
    let mut rules = Vec::new();
    for (to, family) in lists.iter().flat_map(|to| Family::BOTH.map(|family| (to, family))) {
        let Some(set) = ipset::net_set(firewall.uid, role, to, family) else { continue };
        match &to.ports {
            None => {
                let ip = if family == Family::V4 { "ip" } else { "ip6" };
                rules.push(format!("{ip} daddr @{} {verdict}", set.name));
            }
            Some(of) => rules.extend(to_ports(of, family, &set.name, verdict)),
        }
    }
    rules
}

fn ports(set: &PortSet) -> impl Iterator<Item = String> {
    set.ranges().iter().map(|range| match range {
        PortRange { protocol, first, last } if first == last => format!("{protocol} dport {first}"),
        PortRange { protocol, first, last } => format!("{protocol} dport {first}-{last}"),
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
    use crate::{formats::iptables::tests::firewall, model::desired::Names};
    use proptest::prelude::*;

    #[test]
    fn rendered() {
        insta::assert_snapshot!(render(&firewall()));
    }

    #[test]
    fn answers_do_not_count_in_a_listing() {
        let mut firewall = firewall();
        firewall.names =
            vec![Names { ports: "443".parse().into_iter().collect(), names: vec!["a.example".into()] }];
        let set = &ipset::answer_sets(&firewall)[0].name;
        let listing = |answers: &str| {
            format!(
                "table inet agentuser_997 {{\n\tset {set} {{\n\t\ttype ipv4_addr\n\t\tflags timeout\n{answers}\t}}\n\n\tset b {{\n\t\ttype ipv4_addr\n\t\telements = {{ 192.0.2.1 }}\n\t}}\n}}\n"
            )
        };
        let full = listing(
            "\t\telements = { 192.0.2.1 timeout 6m expires 5m9s,\n\t\t\t     192.0.2.2 timeout 6m expires 5m9s }\n",
        );
        assert_eq!(without_answers(&full, &firewall), listing(""));
        assert_eq!(without_answers(&listing(""), &firewall), listing(""));
    }

    proptest! {
        /// What nft(8) prints is compared as text; taking the answers out of it takes nothing else, whatever is printed.
        #[test]
        fn a_listing_without_answers_is_the_rest(lines in prop::collection::vec("[ \t]*(set [a-z0-9]{1,12} \\{|elements = \\{|\\}|[!-~ ]{0,20})", 0..40), junk: String) {
            let mut firewall = firewall();
            prop_assert_eq!(without_answers(&lines.join("\n"), &firewall).lines().count(), lines.join("\n").lines().count());
            firewall.names =
                vec![Names { ports: "443".parse().into_iter().collect(), names: vec!["a.example".into()] }];
            let set = format!("set {} {{", ipset::answer_sets(&firewall)[0].name);
            let text = [lines.join("\n"), set, junk].join("\n");
            let kept = without_answers(&text, &firewall);
            prop_assert!(kept.len() <= text.len() + 1);
            prop_assert_eq!(without_answers(&kept, &firewall), kept);
        }
    }

    #[test]
    fn other_hooks_need_another_table() {
        let (old, wanted) = (firewall(), Firewall { gate: Some(700), ..firewall() });
        assert_eq!(render_change(&wanted, &render(&old)), [render(&wanted)]);
    }

    #[test]
    fn a_change_makes_sets_before_rules_and_removes_them_after() {
        let before = firewall();
        let mut after = firewall();
        after.allow.remove(0);
        after.allow[0].nets.pop();
        let name = |firewall: &Firewall, index: usize| {
            ipset::net_set(firewall.uid, Role::Allow, &firewall.allow[index], Family::V4).unwrap().name
        };
        let inputs = render_change(&after, &render(&before));
        assert_eq!(inputs.len(), 3);
        assert!(inputs[0].contains(&format!("set {} {{", name(&after, 0))) && !inputs[0].contains("chain"));
        assert!(inputs[1].contains("flush table inet agentuser_997") && !inputs[1].contains("\tset "));
        assert!(inputs[2].contains(&format!("delete set inet agentuser_997 {}\n", name(&before, 0))));
        assert!(!inputs[2].contains(&name(&after, 0)));
        assert_eq!(render_change(&after, &render(&after)).len(), 2);
    }
}
