//! Gathers the facts of this machine for the planner.

use super::{Command, HostError, Observe, Program, known, users};
use crate::{
    formats::{accounts, sudoers},
    model::{
        AbsPath, AccountName,
        facts::{Denial, Facts},
    },
    policy::{DeployKey, Policy},
};
use std::{collections::BTreeSet, fs, path::Path};

/// Programs without which nothing works, with Debian's package of each.
const NEEDED: [(Program, &str); 10] = [
    (Program::Useradd, "passwd"),
    (Program::Userdel, "passwd"),
    (Program::Groupadd, "passwd"),
    (Program::Iptables, "iptables"),
    (Program::IptablesSave, "iptables"),
    (Program::IptablesRestore, "iptables"),
    (Program::Ip6tables, "iptables"),
    (Program::Ipset, "ipset"),
    (Program::Sudo, "sudo"),
    (Program::Visudo, "sudo"),
];

/// What makes deploy keys.
const KEYS: (Program, &str) = (Program::SshKeygen, "openssh-client");

/// The facts that a policy asks for. Without root's rights the agents are told by their accounts, not by receipts.
pub fn facts(policy: &Policy, machine: &dyn Observe) -> Result<Facts, HostError> {
    let passwd = text("/etc/passwd")?;
    let group = text("/etc/group")?;
    let mut projects = policy.agents.values().flat_map(|agent| &agent.projects);
    let has_key = projects.any(|project| project.deploy_key != DeployKey::None);
    let mut facts = Facts {
        uids: passwd.lines().filter_map(accounts::person).map(|person| person.uid.0).collect(),
        gids: group.lines().filter_map(accounts::group).map(|group| group.gid.0).collect(),
        groups: group.lines().filter_map(accounts::group).map(|group| group.name).collect(),
        system_ids: Some(accounts::system_ids(&text("/etc/login.defs").unwrap_or_default())),
        systemd: Path::new("/run/systemd/system").is_dir(),
        nft: Program::Nft.path().is_some(),
        iptables_is_nft: iptables_is_nft(),
        dbus: Path::new("/etc/dbus-1/system.d").is_dir(),
        ipv6: Path::new("/proc/net/if_inet6").exists(),
        sudo_reads_drop_ins: text("/etc/sudoers").map_or(true, |text| sudoers::includes_drop_ins(&text)),
        sshd_reads_drop_ins: Program::Sshd.path().map(|_| {
            let main = text("/etc/ssh/sshd_config").unwrap_or_default();
            includes_sshd_drop_ins(&main)
        }),
        missing: NEEDED
            .iter()
            .chain(has_key.then_some(&KEYS))
            .filter(|(program, _)| program.path().is_none())
            .map(|(p, package)| (p.name(), *package))
            .collect(),
        nonce: known::nonce()?,
        catalog: super::catalog::catalog(policy, machine)?,
        ..Facts::default()
    };
    for (owner, range) in accounts::sub_ids(&text("/etc/subuid").unwrap_or_default()) {
        facts.sub_uids.entry(owner.to_owned()).or_default().push(range);
    }
    for (name, agent) in &policy.agents {
        let human = agent.human.as_str();
        if let Some(person) = users::person(human)? {
            facts.humans.insert(human.to_owned(), person);
        }
        for project in &agent.projects {
            for dir in std::iter::once(project.path.clone()).chain(project.path.ancestors()) {
                facts.dirs.entry(dir).or_insert_with_key(known::directory);
            }
        }
        facts.cron.insert(name.clone(), denial(name, "cron", Program::Crontab));
        facts.at.insert(name.clone(), denial(name, "at", Program::At));
    }
    facts.agents = known::agents(policy, machine)?;
    // The kernel goes through all its sockets for these tables, which takes milliseconds.
    if known::wants_a_port(policy, &facts) {
        facts.service_ports = service_ports();
    }
    Ok(facts)
}

fn text(path: &str) -> Result<String, HostError> {
    let bytes = fs::read(path).map_err(|error| HostError::path("can't read", path, error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Ports that a service has or might want: those that are listened on or bound, and those of services(5).
fn service_ports() -> BTreeSet<u16> {
    let read = |path: &str| text(path).unwrap_or_default();
    let bound = ["tcp", "tcp6", "udp", "udp6"].map(|table| read(&format!("/proc/net/{table}")));
    let bound = bound.iter().flat_map(|table| table.lines().skip(1)).filter_map(|line| {
        let local = line.split_ascii_whitespace().nth(1)?;
        u16::from_str_radix(local.rsplit(':').next()?, 16).ok()
    });
    bound.chain(known::named_ports()).filter(|port| *port < 1024).collect()
}

/// crontab(1) and at(1): where an allow file exists, only those in it may; else all but those in the deny file. Where
/// neither exists, Debian's cron lets everybody in, and at lets nobody but root in, so a deny file for at would open it.
fn denial(name: &AccountName, service: &str, program: Program) -> Denial {
    if program.path().is_none() {
        return Denial::Unneeded;
    }
    let path = |kind: &str| AbsPath::fixed("/etc").join(&format!("{service}.{kind}"));
    let (allow, deny) = (path("allow"), path("deny"));
    if let Ok(text) = text(allow.as_str()) {
        let listed = text.lines().any(|line| line.trim() == name.as_str());
        return if listed { Denial::Allowed(allow) } else { Denial::Unneeded };
    }
    let debians_cron = program == Program::Crontab && Path::new("/etc/debian_version").exists();
    if deny.as_path().exists() || debians_cron { Denial::AddTo(deny) } else { Denial::Unneeded }
}

/// Whether `sshd_config(5)` text includes the directory of drop-ins.
fn includes_sshd_drop_ins(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("include"))
            && words.any(|word| word == "/etc/ssh/sshd_config.d/*.conf")
    })
}

/// Which of its two forms iptables(8) is: by the program behind its name, else by its own word.
fn iptables_is_nft() -> bool {
    let program = Program::Iptables.path().and_then(|path| fs::canonicalize(path).ok());
    let name =
        program.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    if name.starts_with("xtables-") {
        return name == "xtables-nft-multi";
    }
    let version = Command::new(Program::Iptables, ["--version"]).output();
    version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("nf_tables"))
}
