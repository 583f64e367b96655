//! Rules of iptables(8): the text that puts an agent's chains in force, and the same rules read back.

use super::ipset::{self, Role};
use crate::model::{
    Family, PortRange, PortSet, Protocol, Uid,
    desired::{Firewall, Inbound, Log},
};

/// The chains, as an administrator may read them in the project's `iptables/` directory.
const SKELETON: &str = include_str!("../../iptables/filter.rules");

/// The connection mark of a call to the agent's own loopback servers: two fixed bits and six of the uid, in the highest
/// byte, which no widespread tool uses (Kubernetes and Tailscale stay below it).
pub fn mark(uid: Uid) -> u32 {
    (0x40 | (uid.0 & 0x3f)) << 24
}

/// The connection mark of a flow that a name of the policy opened: the two highest bits and six of the generation.
pub fn name_mark(firewall: &Firewall) -> u32 {
    (0xc0 | u32::from(firewall.generation & 0x3f)) << 24
}

/// The group of `nfnetlink_log` to which the rules report: "AU" in ASCII.
pub const LOG_GROUP: u16 = 0x4155;

/// The rules that belong in OUTPUT, in their order, as iptables takes them after the chain's name.
pub fn jumps(firewall: &Firewall) -> Vec<String> {
    let uid = firewall.uid;
    let check = format!(
        "-o lo -p tcp -m tcp --tcp-flags SYN,RST,ACK SYN,ACK -m connmark --mark {:#x}/0xff000000 -m conntrack --ctdir REPLY -j AU_{uid}_LO",
        mark(uid)
    );
    let owners = owners(firewall).map(|owner| format!("-m owner --uid-owner {owner} -j AU_{uid}"));
    std::iter::once(check).chain(owners).collect()
}

/// The uid and the ranges of sub-uids, as `--uid-owner` takes them.
fn owners(firewall: &Firewall) -> impl Iterator<Item = String> {
    std::iter::once(firewall.uid.to_string()).chain(firewall.sub_uids.iter().map(ToString::to_string))
}

/// The input of `iptables-restore --noflush` (of `ip6tables-restore` for IPv6): one transaction, which replaces the
/// agent's chains and touches no other.
pub fn render(firewall: &Firewall, family: Family) -> String {
    let icmp = match family {
        Family::V4 => "icmp-admin-prohibited",
        Family::V6 => "icmp6-adm-prohibited",
    };
    let mut text = String::new();
    for line in SKELETON.lines() {
        match line {
            "@DENY@" => push(&mut text, denied(firewall, family)),
            "@INBOUND@" => push(&mut text, inbound(firewall)),
            "@GATE@" => push(&mut text, resolvers(firewall, family)),
            "@LOOPBACK@" => push(&mut text, loopback(firewall)),
            "@NAMES@" => push(&mut text, names(firewall, family)),
            "@ALLOW@" => push(&mut text, allowed(firewall, family)),
            "@OWNERS@" => push(
                &mut text,
                owners(firewall)
                    .map(|owner| format!("-A AU_@UID@_LO -m owner --uid-owner {owner} -j RETURN")),
            ),
            "@LOG_OK@" if firewall.log != Log::All => {}
            "@LOG_OK@" => {
                let new = "-m conntrack --ctstate NEW -m limit --limit 50/sec --limit-burst 200";
                push(&mut text, [report("OK", "allow", new)]);
            }
            "@LOG_NO@" | "@LOG_LO@" if firewall.log == Log::None => {}
            "@LOG_NO@" => push(&mut text, [report("NO", "deny", &each("dst"))]),
            "@LOG_LO@" => push(&mut text, [report("LO", "answer", &each("src"))]),
            _ => push(&mut text, [line.to_owned()]),
        }
    }
    text.replace("@GENERATION@", &format!("{:#x}", name_mark(firewall)))
        .replace("@UID@", &firewall.uid.to_string())
        .replace("@MARK@", &format!("{:#x}", mark(firewall.uid)))
        .replace("@ICMP@", icmp)
}

fn push(text: &mut String, lines: impl IntoIterator<Item = String>) {
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
}

/// Reports a packet to the audit log; what is denied, a few times for each destination, so that none is lost in a flood.
fn report(chain: &str, what: &str, when: &str) -> String {
    format!(
        "-A AU_@UID@_{chain} {when} -j NFLOG --nflog-group {LOG_GROUP} --nflog-prefix au:@UID@:{what} --nflog-size 80"
    )
}

fn each(end: &str) -> String {
    format!(
        "-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 20 --hashlimit-mode {end}ip,{end}port --hashlimit-name au@UID@{end}"
    )
}

/// The way to whatever resolves names for the agent. What is redirected to the gate keeps the interface that it was meant
/// for, so the gate is told by its address.
fn resolvers(firewall: &Firewall, family: Family) -> Vec<String> {
    let gate = firewall.gate.map(|port| (family.loopback(), port));
    let system = firewall.resolvers.iter().filter(|addr| addr.is_ipv4() == (family == Family::V4));
    let all = gate.into_iter().chain(system.map(|addr| (*addr, 53)));
    all.flat_map(|(addr, port)| {
        let length = if addr.is_ipv4() { 32 } else { 128 };
        [Protocol::Udp, Protocol::Tcp].map(|protocol| {
            format!("-A AU_@UID@ -d {addr}/{length} -p {protocol} -m {protocol} --dport {port} -j ACCEPT")
        })
    })
    .collect()
}

fn names(firewall: &Firewall, family: Family) -> Vec<String> {
    if firewall.names.is_empty() {
        return vec![];
    }
    let lives =
        "-A AU_@UID@ -m connmark --mark @GENERATION@/0xff000000 -m conntrack --ctstate ESTABLISHED -j ACCEPT";
    let sets = ipset::answer_sets(firewall).into_iter().filter(|set| set.family == family);
    let rules = sets.flat_map(|set| to_ports(&firewall.names[set.index].ports, &set.name, "AU_@UID@_DN"));
    std::iter::once(lives.to_owned()).chain(rules).collect()
}

/// Rules for the ports of a set's addresses.
fn to_ports(ports: &PortSet, set: &str, target: &str) -> Vec<String> {
    let of = |protocol| {
        multiport(ports.of(protocol)).into_iter().map(move |list| {
            format!(
                "-A AU_@UID@ -p {protocol} -m multiport --dports {list} -m set --match-set {set} dst -j {target}"
            )
        })
    };
    [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(of).collect()
}

fn denied(firewall: &Firewall, family: Family) -> Vec<String> {
    destinations(firewall, family, Role::Deny, "AU_@UID@_NO")
}

fn allowed(firewall: &Firewall, family: Family) -> Vec<String> {
    let target = if firewall.log == Log::All { "AU_@UID@_OK" } else { "ACCEPT" };
    if firewall.outbound_allowed {
        return vec![format!("-A AU_@UID@ -j {target}")];
    }
    destinations(firewall, family, Role::Allow, target)
}

fn destinations(firewall: &Firewall, family: Family, role: Role, target: &str) -> Vec<String> {
    let lists = match role {
        Role::Deny => &firewall.deny,
        Role::Allow => &firewall.allow,
    };
    let mut rules = Vec::new();
    for to in lists {
        let Some(set) = ipset::net_set(firewall.uid, role, to, family) else { continue };
        let set = set.name;
        match &to.ports {
            None => rules.push(format!("-A AU_@UID@ -m set --match-set {set} dst -j {target}")),
            Some(ports) => rules.extend(to_ports(ports, &set, target)),
        }
    }
    rules
}

/// Lists for `--dports`, each within the match's limit of 15 ports, of which a range takes two.
fn multiport(ranges: impl Iterator<Item = PortRange>) -> Vec<String> {
    let mut lists: Vec<(usize, String)> = Vec::new();
    for range in ranges {
        let (cost, text) = match range {
            PortRange { first, last, .. } if first == last => (1, first.to_string()),
            PortRange { first, last, .. } => (2, format!("{first}:{last}")),
        };
        match lists.last_mut() {
            Some((used, list)) if *used + cost <= 15 => {
                *used += cost;
                list.push(',');
                list.push_str(&text);
            }
            _ => lists.push((cost, text)),
        }
    }
    lists.into_iter().map(|(_, list)| list).collect()
}

fn inbound(firewall: &Firewall) -> Vec<String> {
    let answer = "-m conntrack --ctstate ESTABLISHED --ctdir REPLY -j ACCEPT";
    vec![match firewall.inbound {
        Inbound::Any => format!("-A AU_@UID@ {answer}"),
        Inbound::Loopback => format!("-A AU_@UID@ -o lo -m addrtype --dst-type LOCAL {answer}"),
        Inbound::None => {
            format!(
                "-A AU_@UID@ -o lo -p tcp -m addrtype --dst-type LOCAL -m connmark --mark @MARK@/0xff000000 {answer}"
            )
        }
    }]
}

fn loopback(firewall: &Firewall) -> Vec<String> {
    [Protocol::Tcp, Protocol::Udp]
        .into_iter()
        .filter_map(|protocol| Some((protocol, ipset::port_set(firewall.uid, &firewall.loopback, protocol)?.name)))
        .map(|(protocol, set)| {
            format!("-A AU_@UID@ -o lo -p {protocol} -m addrtype --dst-type LOCAL -m set --match-set {set} dst -j ACCEPT")
        })
        .collect()
}

/// The input of `iptables-restore --noflush` that removes the agent's jumps and chains, those that are there.
pub fn render_removal(jumps: &[String], chains: &[String]) -> String {
    let mut text = String::from("*filter\n");
    push(&mut text, jumps.iter().map(|rule| format!("-D OUTPUT {rule}")));
    push(&mut text, chains.iter().map(|chain| format!("-F {chain}")));
    push(&mut text, chains.iter().map(|chain| format!("-X {chain}")));
    text.push_str("COMMIT\n");
    text
}

/// What the names of the agent's chains have after `AU_UID`.
pub const CHAINS: [&str; 6] = ["", "_DN", "_LO", "_MY", "_NO", "_OK"];

/// The agent's part of the filter table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chains {
    /// Names of its chains, sorted.
    pub names: Vec<String>,
    /// Its rules in normal form, in their order.
    pub rules: Vec<Vec<String>>,
}

/// Reads one agent's chains from the text that `iptables-save -t filter` prints, or that [`render`] made.
pub fn parse(text: &str, uid: Uid) -> Chains {
    let main = format!("AU_{uid}");
    let ours = |name: &str| name.strip_prefix(&main).is_some_and(|rest| CHAINS.contains(&rest));
    let mut chains = Chains::default();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix(':').and_then(|rest| rest.split(' ').next()) {
            if ours(name) {
                chains.names.push(name.to_owned());
            }
        } else if let Some(rule) = line.strip_prefix("-A ")
            && ours(rule.split(' ').next().unwrap_or_default())
        {
            chains.rules.push(normal(rule));
        }
    }
    chains.names.sort();
    // Chains are printed in the kernel's order, and rules chain by chain.
    chains.rules.sort_by(|a, b| a[0].cmp(&b[0]));
    chains
}

/// The rules of OUTPUT in a saved filter table, in their order, each without `-A OUTPUT`.
pub fn output(saved: &str) -> Vec<String> {
    saved.lines().filter_map(|line| line.strip_prefix("-A OUTPUT ")).map(str::to_owned).collect()
}

/// A rule as a sorted list of its options: versions differ in the order in which they print matches, never in an
/// option's own words. The chain's name stays first.
pub fn normal(rule: &str) -> Vec<String> {
    let mut words = rule.split_ascii_whitespace().peekable();
    let chain = words.next().unwrap_or_default().to_owned();
    let mut options: Vec<String> = Vec::new();
    while let Some(word) = words.next() {
        let negated = word == "!";
        if word.starts_with('-') || negated {
            options.push(word.to_owned());
            if negated && let Some(option) = words.next() {
                let last = options.len() - 1;
                options[last] = format!("! {option}");
            }
        } else if let Some(last) = options.last_mut() {
            last.push(' ');
            last.push_str(word);
        }
    }
    // What is between quotes is a word of its own here, for no text of ours has a blank.
    for option in &mut options {
        option.retain(|c| c != '"');
    }
    // `-m tcp` is implied by `-p tcp` and printed by some versions only.
    options.retain(|option| !matches!(option.as_str(), "-m tcp" | "-m udp"));
    options.sort();
    options.insert(0, chain);
    options
}

#[cfg(test)]
#[path = "iptables_tests.rs"]
pub(crate) mod tests;
