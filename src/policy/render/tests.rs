use super::*;
use crate::policy::{
    Choice, Deny, DeployKey, Dns, DomainName, EnvPattern, Git, GithubPart, HumanName, Inbound, Line, Log,
    Outbound, PRESETS, Sharing, View,
};
use proptest::{collection, option, prelude::*, sample::select};
use std::net::{Ipv4Addr, Ipv6Addr};

fn names(regex: &'static str) -> impl Strategy<Value = String> {
    proptest::string::string_regex(regex).unwrap()
}

fn human() -> impl Strategy<Value = HumanName> {
    names("[a-z][A-Za-z0-9._-]{0,8}").prop_filter_map("root", |name| name.parse().ok())
}

fn net(loopback: bool) -> impl Strategy<Value = IpNet> {
    let v4 =
        (any::<u32>(), 0..=32u8).prop_map(|(a, n)| IpNet::new(Ipv4Addr::from(a).into(), n).unwrap().trunc());
    let v6 = (any::<u128>(), 0..=128u8, any::<bool>()).prop_map(|(a, n, zero)| {
        IpNet::new(Ipv6Addr::from(if zero { a >> 100 } else { a }).into(), n).unwrap().trunc()
    });
    let mapped = |net: &IpNet| matches!(net, IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some());
    prop_oneof![v4, v6]
        .prop_filter("loopback", move |net| !mapped(net) && (loopback || !net.addr().is_loopback()))
}

fn port_set() -> impl Strategy<Value = PortSet> {
    let range = (any::<bool>(), 1..=u16::MAX, 0..300u16).prop_map(|(udp, first, more)| PortRange {
        protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
        first,
        last: first.saturating_add(more),
    });
    collection::vec(range, 1..4).prop_map(PortSet::from)
}

fn parts() -> impl Strategy<Value = (Parts, Parts)> {
    let github = proptest::sample::subsequence(GithubPart::ALL, 0..4);
    let github = github.prop_map(|parts| if parts.is_empty() { Parts::Whole } else { Parts::Github(parts) });
    let regions = collection::btree_set("[a-z]{2}-[a-z]{2,5}-[1-9]", 0..3).prop_map(|names| {
        let regions: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
        if regions.is_empty() { Parts::Whole } else { Parts::Regions(regions) }
    });
    (github, regions)
}

pub(in crate::policy) fn allow_entry() -> impl Strategy<Value = Allow> {
    let domain = ("(\\*\\.)?[a-z0-9]{1,5}(\\.[a-z0-9]{1,4}){1,3}[a-z]", port_set());
    prop_oneof![
        (select(&PRESETS[..]), parts()).prop_map(|(name, (github, regions))| {
            let parts = match name.as_str() {
                "github" => github,
                "aws-s3" => regions,
                _ => Parts::Whole,
            };
            Allow::Preset { name, parts }
        }),
        domain.prop_filter_map("not a domain", |(name, ports)| {
            Some(Allow::Domain { name: name.parse::<DomainName>().ok()?, ports })
        }),
        (net(false), option::of(port_set())).prop_map(|(net, ports)| Allow::Cidr { net, ports }),
        port_set().prop_map(Allow::Loopback),
    ]
}

fn network_values() -> impl Strategy<Value = Network> {
    (
        select(vec![Outbound::Deny, Outbound::Allow]),
        select(vec![Inbound::None, Inbound::Loopback, Inbound::Any]),
        select(vec![Dns::Gate, Dns::System, Dns::None]),
        select(vec![Log::None, Log::Blocked, Log::All]),
        collection::vec(allow_entry(), 0..4),
        collection::vec(
            (net(true), option::of(port_set())).prop_map(|(net, ports)| Deny { net, ports }),
            0..3,
        ),
    )
        .prop_map(|(outbound, inbound, dns, log, allow, deny)| Network {
            outbound,
            inbound,
            dns,
            log,
            allow,
            deny,
        })
}

fn projects() -> impl Strategy<Value = Vec<Project>> {
    let access = select(vec![Access::ReadWrite, Access::ReadOnly]);
    let git = option::of(select(vec![Git::Guard, Git::Open]));
    // Any text that is a path's component, in a directory that no other project lies in.
    let deploy_key = select(vec![DeployKey::None, DeployKey::ReadOnly, DeployKey::ReadWrite]);
    let one = ("[^/\\x00-\\x1f\\x7f-\\x9f]{1,12}", access, git, deploy_key);
    collection::vec(one, 0..4).prop_map(|all| {
        let dir = |i: usize, name: &str| format!("/srv/p{i}/{name}x").parse().ok();
        let project = |(i, (name, access, git, deploy_key)): (usize, (String, _, _, _))| {
            Some(Project { path: dir(i, &name)?, access, git, deploy_key })
        };
        all.into_iter().enumerate().filter_map(project).collect()
    })
}

fn environments() -> impl Strategy<Value = Environment> {
    let pattern = select(vec!["LANG", "LC_*", "EDITOR", "TZ", "TERM_*", "NO"]);
    let pass = collection::btree_set(pattern, 0..4);
    let pass = pass.prop_map(|set| set.into_iter().map(|name| name.parse::<EnvPattern>().unwrap()).collect());
    let set = collection::btree_map("X[A-Z0-9]{0,4}Z", "[^\\x00-\\x1f\\x7f-\\x9f]{0,12}", 0..4);
    (option::of(pass), set)
        .prop_map(|(pass, set)| Environment { pass: pass.unwrap_or_else(EnvPattern::defaults), set })
}

fn limit_values() -> impl Strategy<Value = Limits> {
    let count = || option::of(1..4096u32);
    let memory = option::of((16..9000u64).prop_map(|mib| format!("{mib}M").parse().unwrap()));
    (memory, count(), count(), count()).prop_map(|(memory, cpus, processes, open_files)| Limits {
        memory,
        cpus,
        processes,
        open_files,
    })
}

fn confine_values() -> impl Strategy<Value = Confine> {
    let lines = collection::btree_map(select(&Line::ALL[1..]), any::<bool>(), 0..4);
    let read = select(vec![
        vec![],
        vec!["/srv/models".parse().unwrap(), "/home/ann/.cargo/config.toml".parse().unwrap()],
    ]);
    let write = select(vec![vec![], vec!["/srv/a b".parse().unwrap()]]);
    let switches = any::<(Option<bool>, Option<bool>)>();
    (lines, read, write, switches).prop_map(|(lines, read, write, (private_tmp, seatbelt))| Confine {
        lines,
        read,
        write,
        private_tmp,
        seatbelt,
    })
}

pub(in crate::policy) fn agents() -> impl Strategy<Value = Agent> {
    let basics = (
        human(),
        select(vec!["/bin/bash", "/bin/sh", "/usr/bin/fish"]).prop_map(|shell| shell.parse().unwrap()),
        select(vec![vec![], vec!["render".to_owned()], vec!["video".into(), "null".into(), "dev-a".into()]]),
        select(vec![Sharing::Acl, Sharing::Mount]),
        option::of(select(vec![View::Private, View::Plain])),
        select(vec![vec![], vec!["/opt/node/bin".parse().unwrap(), "/opt/a b/'\"#/bin".parse().unwrap()]]),
    );
    let rest = (projects(), network_values(), environments(), limit_values(), confine_values());
    (basics, rest).prop_map(|((human, shell, groups, sharing, view, path), rest)| {
        let (projects, network, environment, limits, confine) = rest;
        Agent { human, shell, groups, sharing, view, projects, network, environment, path, limits, confine }
    })
}

pub(in crate::policy) fn policies() -> impl Strategy<Value = Policy> {
    // Agents start with an underscore and people don't, so that no agent is a human.
    let agent = names("_[a-z0-9_-]{0,6}").prop_map(|name| name.parse::<AccountName>().unwrap());
    collection::btree_map(agent, agents(), 0..4).prop_map(Policy::new)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_what_was_written_gives_the_same(policy in policies()) {
        let text = render(&policy);
        prop_assert_eq!(crate::policy::parse(&text, "p").map_err(|error| format!("{error}\n{text}")), Ok(policy));
    }

    #[test]
    fn any_text_is_a_scalar(text in "\\PC{0,12}") {
        let yaml = format!("k: {}\n", scalar(&text));
        let node = crate::policy::yaml::tree(&yaml).unwrap();
        prop_assert_eq!(node.find("k").and_then(|node| node.scalar(&yaml)), Some(text.as_str()));
    }
}

#[test]
fn the_least_policy() {
    let agent = Agent::new("alice".parse().unwrap());
    let policy = Policy::new([("agent".parse().unwrap(), agent)].into());
    let lines: Vec<String> = render(&policy).lines().skip(1).map(ToOwned::to_owned).collect();
    let human = format!("    human: alice{}# who may become it", " ".repeat(22));
    assert_eq!(lines, ["version: 1", "agents:", "  agent:", human.as_str()]);
}
