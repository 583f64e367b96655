//! Policies to plans: each good policy that asks for nothing unbuilt, on one made-up machine, as text. The same on every
//! platform, for planning is pure.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use agentuser::{
    model::{
        AbsPath, AccountName, Gid, IdRange, Uid,
        catalog::{Catalog, Publisher, ToolHost, ToolHosts},
        facts::{Denial, DirFact, Facts, Person},
    },
    plan,
    policy::{self, Policy},
    presets::ranges::snapshot,
};
use std::fmt::Write;

/// A Debian machine on which every directory that a policy names is there and belongs to its human.
fn facts(policy: &Policy) -> Facts {
    let mut facts = Facts {
        uids: [0, 999, 1000].into(),
        gids: [0, 998, 1000].into(),
        system_ids: Some(IdRange { first: 101, last: 999 }),
        groups: ["render", "video", "audio"].map(String::from).into(),
        systemd: true,
        nft: true,
        iptables_is_nft: true,
        ipv6: true,
        sshd_reads_drop_ins: Some(true),
        sudo_reads_drop_ins: true,
        nonce: "0123456789abcdef".into(),
        catalog: catalog(policy),
        ..Facts::default()
    };
    for (at, (name, agent)) in (1000..).zip(&policy.agents) {
        let human = agent.human.as_str();
        let person = Person {
            name: human.into(),
            uid: Uid(at),
            gid: Gid(at),
            gecos: String::new(),
            home: format!("/home/{human}"),
            shell: "/bin/bash".into(),
        };
        for project in &agent.projects {
            facts.dirs.insert(project.path.clone(), Some(DirFact { owner: Uid(at), mode: 0o755 }));
            for dir in project.path.ancestors() {
                let home: AbsPath = person.home.parse().unwrap();
                let owner = if dir.is_within(&home) { Uid(at) } else { Uid(0) };
                facts.dirs.insert(dir, Some(DirFact { owner, mode: 0o755 }));
            }
        }
        facts.humans.insert(human.into(), person);
        facts.at.insert(name.clone(), Denial::AddTo("/etc/at.deny".parse().unwrap()));
        facts.cron.insert(name.clone(), Denial::Unneeded);
    }
    facts
}

/// The ranges that are built in, and a tool's host that each human accepted.
fn catalog(policy: &Policy) -> Catalog {
    let host = ToolHost {
        host: "npm.example.com".into(),
        port: 443,
        tool: "npm".into(),
        setting: "registry".into(),
    };
    let hosts: ToolHosts = [("npm".to_owned(), [host].into())].into();
    let ranges = |publisher| Some((publisher, snapshot(publisher)?));
    let names_npm =
        |agent: &policy::Agent| agent.network.allow.iter().any(|entry| entry.target() == "preset:npm");
    let agents = policy.agents.iter().filter(|(_, agent)| names_npm(agent));
    Catalog {
        ranges: Publisher::ALL.into_iter().filter_map(ranges).collect(),
        hosts: agents.map(|(name, _)| (name.clone(), hosts.clone())).collect(),
        ..Catalog::default()
    }
}

fn shown(policy: &Policy, name: &AccountName) -> String {
    let facts = facts(policy);
    let mut text = String::new();
    match plan::desire(policy, name, &facts).and_then(|desired| plan::agent(&desired, &facts)) {
        Err(error) => writeln!(text, "refused: {error}").unwrap(),
        Ok(plan) => {
            for step in plan.steps {
                let description = step.describe();
                writeln!(text, "{}", description.title).unwrap();
                for line in description.change {
                    writeln!(text, "    {line}").unwrap();
                }
            }
        }
    }
    text
}

#[test]
fn of_good_policies() {
    let mut files: Vec<_> =
        std::fs::read_dir("tests/fixtures/policies/good").unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut text = String::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let policy = policy::parse(&std::fs::read_to_string(&file).unwrap(), &name).unwrap();
        for agent in policy.agents.keys() {
            writeln!(text, "# {name}: {agent}\n{}", shown(&policy, agent)).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

/// The rules of a policy with something of everything, whole, as the project's `iptables/example` shows them.
#[test]
fn example_rules_are_current() {
    use agentuser::formats::{ipset, iptables, nft};
    use agentuser::model::Family;
    let policy = policy::parse(include_str!("../iptables/example/policy.yaml"), "policy.yaml").unwrap();
    let name = "agent".parse().unwrap();
    let firewall = plan::desire(&policy, &name, &facts(&policy)).unwrap().firewall;
    let jumps: String = iptables::jumps(&firewall)
        .iter()
        .map(|rule| format!("-A OUTPUT {rule}\n"))
        .collect::<Vec<_>>()
        .concat();
    for (file, text) in [
        ("sets.ipset", ipset::render(&ipset::sets(&firewall))),
        ("filter-v4.rules", iptables::render(&firewall, Family::V4)),
        ("filter-v6.rules", iptables::render(&firewall, Family::V6)),
        ("output.jumps", jumps),
        ("agentuser.nft", nft::render(&firewall)),
    ] {
        let path = format!("iptables/example/{file}");
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap_or_default(),
            text,
            "UPDATE_EXAMPLES=1 writes {path}"
        );
    }
}
