//! The programs of macOS, in memory: what each changes, prints and refuses, with the exit codes and words of the real ones.

use crate::grammar;
use agentuser::host::{Command, Program};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Output},
};

/// A record of Open Directory.
pub(crate) type Record = BTreeMap<String, Vec<String>>;

/// What the system's programs look after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mac {
    pub(crate) users: BTreeMap<String, Record>,
    pub(crate) groups: BTreeMap<String, Record>,
    pub(crate) pf: Pf,
    /// Jobs of the system domain: label, file and program.
    pub(crate) jobs: BTreeMap<String, (String, String)>,
    pub(crate) disabled: BTreeSet<String>,
    /// How often each job was loaded.
    pub(crate) boots: BTreeMap<String, u32>,
    /// macOS guards accounts: the terminal has no Full Disk Access.
    pub(crate) guarded: bool,
}

/// pf: gone with a reboot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pf {
    pub(crate) enabled: bool,
    pub(crate) tokens: BTreeSet<u64>,
    pub(crate) last_token: u64,
    pub(crate) main: String,
    pub(crate) anchors: BTreeMap<String, grammar::Anchor>,
}

/// The main ruleset that macOS ships, as it is printed.
pub(crate) const STOCK: &str =
    "scrub-anchor \"com.apple/*\" all fragment reassemble\nanchor \"com.apple/*\" all\n";

/// What it asks for translation, as macOS ships it.
pub(crate) const TRANSLATION: &str = "nat-anchor \"com.apple/*\" all\nrdr-anchor \"com.apple/*\" all\n";

/// What every pfctl says on standard error.
const NOISE: &str = "No ALTQ support in kernel\nALTQ related functions disabled\n";

pub(crate) fn ended(code: i32, stdout: impl Into<Vec<u8>>, stderr: impl Into<Vec<u8>>) -> Output {
    Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.into(), stderr: stderr.into() }
}

fn ok(stdout: impl Into<Vec<u8>>) -> Output {
    ended(0, stdout, "")
}

/// `/Users/NAME` and `/Groups/NAME`.
fn path(text: &str) -> (&str, &str) {
    let (kind, name) = text.strip_prefix('/').unwrap().split_once('/').unwrap();
    assert!(!name.contains('/'), "{text}");
    (kind, name)
}

fn guid(kind: &str, name: &str) -> String {
    let hash = format!("{kind}/{name}")
        .bytes()
        .fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    format!("{hash:016X}-AAAA")
}

const NOT_PERMITTED: &str =
    "<main> attribute status: eDSPermissionError\n<dscl_cmd> DS Error: -14120 (eDSPermissionError)\n";

impl Mac {
    fn records(&mut self, kind: &str) -> &mut BTreeMap<String, Record> {
        match kind {
            "Users" => &mut self.users,
            "Groups" => &mut self.groups,
            other => panic!("no records of {other}"),
        }
    }

    /// What a person who looks after the machine would do by hand.
    pub(crate) fn set(&mut self, at: &str, attribute: &str, value: &str) {
        let (kind, name) = path(at);
        let record = self.records(kind).entry(name.into()).or_insert_with(|| {
            [("RecordName", name.to_owned()), ("GeneratedUID", guid(kind, name))]
                .map(|(key, value)| (key.to_owned(), vec![value]))
                .into()
        });
        if !attribute.is_empty() {
            record.insert(attribute.into(), vec![value.into()]);
        }
    }

    /// A look that changes nothing.
    pub(crate) fn look(&self, command: &Command) -> Output {
        let mut copy = self.clone();
        let output = copy.run(command, &|_| None);
        assert_eq!(copy, *self, "{} is no look", command.line());
        output
    }

    pub(crate) fn run(&mut self, command: &Command, file: &dyn Fn(&str) -> Option<String>) -> Output {
        let args: Vec<_> = command.args.iter().map(String::as_str).collect();
        match command.program {
            Program::Dscl => self.dscl(&args),
            Program::Dseditgroup => self.dseditgroup(&args),
            Program::Dscacheutil => ok(""),
            Program::Id => self.id(&args),
            Program::Pfctl => self.pfctl(&args, std::str::from_utf8(&command.stdin).unwrap(), file),
            Program::Launchctl => self.launchctl(&args, file),
            other => panic!("{other:?} is not on a Mac, or not for root"),
        }
    }

    fn dscl(&mut self, args: &[&str]) -> Output {
        if let ["-plist", ".", "-read", at] = args {
            let (kind, name) = path(at);
            return match self.records(kind).get(name) {
                None => ended(56, "", "<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)\n"),
                Some(record) => ok(plist(record)),
            };
        }
        if self.guarded {
            return ended(40, "", NOT_PERMITTED);
        }
        match *args {
            [".", "-create", at] => self.set(at, "", ""),
            [".", "-create", at, attribute, value] => {
                let (kind, name) = path(at);
                let twin = |(other, record): (&String, &Record)| {
                    other != name && record.get(attribute).is_some_and(|values| values[0] == value)
                };
                if attribute == "RealName" && self.records(kind).iter().any(twin) {
                    return ended(
                        1,
                        "",
                        "<main> attribute status: eDSRecordAlreadyExists\n<dscl_cmd> DS Error: -14135\n",
                    );
                }
                self.set(at, attribute, value);
            }
            [".", "-change", at, attribute, old, new] => {
                let (kind, name) = path(at);
                let values =
                    self.records(kind).get_mut(name).and_then(|record| record.get_mut(attribute)).unwrap();
                assert_eq!(values[0], old);
                values[0] = new.into();
            }
            [".", "-delete", at] => {
                let (kind, name) = path(at);
                if self.records(kind).remove(name).is_none() {
                    return ended(
                        185,
                        "",
                        "delete: Invalid Path\n<dscl_cmd> DS Error: -14009 (eDSUnknownNodeName)\n",
                    );
                }
            }
            [".", "-delete", at, attribute] => {
                let (kind, name) = path(at);
                self.records(kind).get_mut(name).unwrap().remove(attribute);
            }
            _ => panic!("dscl {args:?}"),
        }
        ok("")
    }

    fn dseditgroup(&mut self, args: &[&str]) -> Output {
        let ["-o", "edit", how @ ("-a" | "-d"), member, "-t", "user", group] = *args else {
            panic!("{args:?}")
        };
        if self.guarded {
            return ended(77, "", "dseditgroup: Not authorized\n");
        }
        let is_user = self.users.contains_key(member);
        let Some(record) = self.groups.get_mut(group) else { return ended(64, "", "Group not found.\n") };
        let members = record.entry("GroupMembership".into()).or_default();
        members.retain(|other| other != member);
        if how == "-a" {
            if !is_user {
                return ended(67, "", "Record was not found.\n");
            }
            members.push(member.into());
        }
        if members.is_empty() {
            record.remove("GroupMembership");
        }
        ok("")
    }

    fn id(&self, args: &[&str]) -> Output {
        let ["-Gn", name] = *args else { panic!("{args:?}") };
        // An account without an id is none for the C library.
        let whole =
            |record: &&Record| record.contains_key("UniqueID") && record.contains_key("PrimaryGroupID");
        let Some(user) = self.users.get(name).filter(whole) else {
            return ended(1, "", format!("id: {name}: no such user\n"));
        };
        let primary = |group: &Record| group.get("PrimaryGroupID") == user.get("PrimaryGroupID");
        let lists = |group: &Record| {
            group.get("GroupMembership").is_some_and(|all| all.iter().any(|one| one == name))
        };
        let groups = self
            .groups
            .iter()
            .filter(|(_, group)| primary(group) || lists(group))
            .map(|(name, _)| name.as_str());
        ok(groups.chain(["everyone", "localaccounts"]).collect::<Vec<_>>().join(" ") + "\n")
    }

    fn launchctl(&mut self, args: &[&str], file: &dyn Fn(&str) -> Option<String>) -> Output {
        let label = |target: &str| target.strip_prefix("system/").map(str::to_owned);
        match *args {
            ["print", target] => match self.jobs.get(&label(target).unwrap()) {
                None => ended(113, "", format!("Could not find service \"{target}\" in domain for system\n")),
                Some((path, program)) => ok(format!(
                    "{target} = {{\n\tpath = {path}\n\tprogram = {program}\n\tlast exit code = 0\n}}\n"
                )),
            },
            ["print-disabled", "system"] => {
                let lines = self.disabled.iter().map(|label| format!("\t\t\"{label}\" => disabled\n"));
                ok(format!("\tdisabled services = {{\n{}\t}}\n", lines.collect::<String>()))
            }
            ["enable", target] => {
                self.disabled.remove(&label(target).unwrap());
                ok("")
            }
            ["bootstrap", "system", path] => {
                let fault = || ended(5, "", "Bootstrap failed: 5: Input/output error\n");
                // So it says of all: no such file, a broken one, one that is loaded or switched off.
                let Some(job) =
                    file(path).and_then(|text| plist::Value::from_reader_xml(text.as_bytes()).ok())
                else {
                    return fault();
                };
                let job = job.into_dictionary().unwrap();
                let label = job["Label"].as_string().unwrap();
                let program = job["ProgramArguments"].as_array().unwrap()[0].as_string().unwrap();
                if self.jobs.contains_key(label) || self.disabled.contains(label) || file(program).is_none() {
                    return fault();
                }
                *self.boots.entry(label.into()).or_default() += 1;
                self.jobs.insert(label.into(), (path.into(), program.into()));
                ok("")
            }
            ["bootout", target] if target.starts_with("user/") => {
                ended(3, "", "Boot-out failed: 3: No such process\n")
            }
            ["bootout", target] => match self.jobs.remove(&label(target).unwrap()) {
                None => ended(3, "", "Boot-out failed: 3: No such process\n"),
                Some(_) => ok(""),
            },
            _ => panic!("launchctl {args:?}"),
        }
    }

    fn pfctl(&mut self, args: &[&str], stdin: &str, file: &dyn Fn(&str) -> Option<String>) -> Output {
        let pf = &mut self.pf;
        let said = |stdout: String| ended(0, stdout, NOISE);
        match *args {
            ["-s", "info"] => said(format!(
                "Status: {}           Debug: Urgent\n",
                if pf.enabled { "Enabled for 0 days 00:10:15" } else { "Disabled" }
            )),
            ["-s", "References"] => {
                let line =
                    |token| format!("411      pfctl                        {token}     0 days 00:00:07\n");
                said(format!(
                    "TOKENS:\nPID      Process Name                 TOKEN                    TIMESTAMP\n{}",
                    pf.tokens.iter().map(line).collect::<String>()
                ))
            }
            ["-sr"] => said(pf.main.clone()),
            ["-sn"] => said(if pf.main == STOCK { TRANSLATION.into() } else { String::new() }),
            ["-a", anchor, "-sr"] => {
                said(pf.anchors.get(anchor).map(grammar::Anchor::listed).unwrap_or_default())
            }
            ["-a", anchor, "-sn"] => {
                said(pf.anchors.get(anchor).map(grammar::Anchor::listed_turns).unwrap_or_default())
            }
            ["-a", anchor, "-t", table, "-T", ref how @ ..] => pf.table(anchor, table, how, stdin),
            ["-f", path] => {
                assert!(
                    pf.main.is_empty(),
                    "other components' anchors hang on a main ruleset that is loaded"
                );
                pf.main = file(path).map(|_| STOCK.to_owned()).unwrap();
                said(String::new())
            }
            ["-o", "none", "-a", anchor, "-f", "-"] => match grammar::parse(stdin) {
                Err(error) => ended(
                    1,
                    "",
                    format!("{NOISE}{error}\npfctl: Syntax error in config file: pf rules not loaded\n"),
                ),
                Ok(rules) => {
                    pf.anchors.insert(anchor.into(), rules);
                    said(String::new())
                }
            },
            ["-a", anchor, "-F", "all"] => {
                pf.anchors.remove(anchor);
                ended(0, "", format!("{NOISE}rules cleared\nnat cleared\n0 tables deleted.\n"))
            }
            ["-E"] => {
                pf.last_token += 1_000_003;
                pf.tokens.insert(pf.last_token);
                pf.enabled = true;
                ended(0, "", format!("{NOISE}pf enabled\nToken : {}\n", pf.last_token))
            }
            ["-X", token] => {
                if !pf.tokens.remove(&token.parse().unwrap()) {
                    return ended(1, "", format!("{NOISE}pfctl: DIOCSTOPREF: Invalid argument\n"));
                }
                pf.enabled = !pf.tokens.is_empty();
                ended(
                    0,
                    "",
                    format!(
                        "{NOISE}disable request successful. {} more pf enable reference(s) remaining\n",
                        pf.tokens.len()
                    ),
                )
            }
            _ => panic!("pfctl {args:?}"),
        }
    }
}

impl Pf {
    /// Addresses of a table. One that is not there is made, and so is its anchor.
    fn table(&mut self, anchor: &str, table: &str, how: &[&str], stdin: &str) -> Output {
        match *how {
            ["add", ref addresses @ ..] => {
                let there =
                    self.anchors.entry(anchor.into()).or_default().tables.entry(table.into()).or_default();
                let mut added = 0;
                for address in addresses {
                    let Ok(net) = address.parse::<std::net::IpAddr>().map(ipnet::IpNet::from) else {
                        return ended(255, "", format!("{NOISE}no IP address found for {address}\n"));
                    };
                    if !there.contains(&net) {
                        there.push(net);
                        added += 1;
                    }
                }
                ended(0, "", format!("{NOISE}{added}/{} addresses added.\n", addresses.len()))
            }
            ["replace", "-f", "-"] => {
                let nets: Result<Vec<_>, _> = stdin
                    .lines()
                    .map(|line| line.parse::<std::net::IpAddr>().map(ipnet::IpNet::from))
                    .collect();
                let Ok(nets) = nets else {
                    return ended(255, "", format!("{NOISE}pfctl: cannot load -: syntax error\n"));
                };
                self.anchors.entry(anchor.into()).or_default().tables.insert(table.into(), nets);
                ended(0, "", format!("{NOISE}addresses replaced.\n"))
            }
            ["show"] => match self.anchors.get(anchor).and_then(|anchor| anchor.tables.get(table)) {
                None => ended(255, "", format!("{NOISE}pfctl: Table does not exist.\n")),
                Some(nets) => {
                    let is_host = |net: &ipnet::IpNet| net.prefix_len() == net.max_prefix_len();
                    let one = |net: &ipnet::IpNet| {
                        if is_host(net) { format!("   {}\n", net.addr()) } else { format!("   {net}\n") }
                    };
                    ended(0, nets.iter().map(one).collect::<String>(), NOISE)
                }
            },
            _ => panic!("pfctl -T {how:?}"),
        }
    }
}

fn plist(record: &Record) -> Vec<u8> {
    let attribute = |(name, values): (&String, &Vec<String>)| {
        let kind = if name == "IsHidden" { "Native" } else { "Standard" };
        let values = values.iter().map(|value| plist::Value::String(value.clone())).collect();
        (format!("dsAttrType{kind}:{name}"), plist::Value::Array(values))
    };
    let mut text = Vec::new();
    plist::Value::Dictionary(record.iter().map(attribute).collect()).to_writer_xml(&mut text).unwrap();
    text
}
