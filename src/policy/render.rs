//! A policy as text that a person goes on editing: what is not at its default, one key a line, with short comments.

use super::{
    Access, Agent, Allow, Confine, Deny, DeployKey, Environment, Limits, Network, Parts, Policy, Project,
    VERSION, network, parse,
};
use crate::model::{AccountName, PortRange, PortSet, Protocol};
use ipnet::IpNet;
use std::fmt::Write as _;

/// The column at which comments start, where the line leaves room.
const COMMENTS: usize = 38;

/// Lines of YAML, each with its depth.
#[derive(Default)]
pub(super) struct Lines {
    lines: Vec<(usize, String, &'static str)>,
}

impl Lines {
    fn add(&mut self, depth: usize, text: impl Into<String>) {
        self.lines.push((depth, text.into(), ""));
    }

    fn add_with(&mut self, depth: usize, text: impl Into<String>, comment: &'static str) {
        self.lines.push((depth, text.into(), comment));
    }

    /// The text, `indent` columns in from the left.
    pub(super) fn text(&self, indent: usize) -> String {
        let mut out = String::new();
        for (depth, text, comment) in &self.lines {
            let mut line = format!("{}{text}", " ".repeat(indent + 2 * depth));
            if !comment.is_empty() {
                let pad = COMMENTS.saturating_sub(line.chars().count()).max(2);
                let _ = write!(line, "{}# {comment}", " ".repeat(pad));
            }
            out.push_str(&line);
            out.push('\n');
        }
        out
    }
}

/// Writes a policy; reading the text gives the same policy.
pub fn render(policy: &Policy) -> String {
    let mut out = String::from("# The agents of this machine. What is not written here has its default.\n");
    let _ = writeln!(out, "version: {VERSION}");
    if policy.agents.is_empty() {
        out.push_str("agents: {}\n");
        return out;
    }
    out.push_str("agents:\n");
    for (name, agent) in &policy.agents {
        out.push_str(&agent_lines(name, agent).text(2));
    }
    out
}

/// One agent, its name at depth 0.
pub(super) fn agent_lines(name: &AccountName, agent: &Agent) -> Lines {
    let mut lines = Lines::default();
    lines.add(0, format!("{}:", scalar(name.as_str())));
    lines.add_with(1, format!("human: {}", scalar(agent.human.as_str())), "who may become it");
    if agent.shell != parse::default_shell() {
        lines.add(1, format!("shell: {}", scalar(agent.shell.as_str())));
    }
    if !agent.groups.is_empty() {
        lines.add(1, format!("groups: {}", list(agent.groups.iter().map(|group| scalar(group)))));
    }
    if agent.sharing != super::Sharing::default() {
        lines.add_with(1, format!("sharing: {}", agent.sharing), "acl | mount");
    }
    if let Some(view) = agent.view {
        lines.add_with(1, format!("view: {view}"), "private | plain");
    }
    project_section(&mut lines, 1, &agent.projects);
    network_lines(&mut lines, &agent.network);
    environment(&mut lines, &agent.environment);
    if !agent.path.is_empty() {
        let path = list(agent.path.iter().map(|path| scalar(path.as_str())));
        lines.add_with(1, format!("path: {path}"), "before the standard directories");
    }
    limits(&mut lines, agent.limits);
    confine(&mut lines, &agent.confine);
    lines
}

/// The key `projects` with its list, at a depth; nothing for no projects.
fn project_section(lines: &mut Lines, depth: usize, projects: &[Project]) {
    if projects.is_empty() {
        return;
    }
    lines.add_with(depth, "projects:", "what the agent and you both work in");
    for project in projects {
        item(lines, depth + 1, project);
    }
}

/// The key `projects` with one project, at depth 0.
pub(super) fn first_project(project: &Project) -> Lines {
    let mut lines = Lines::default();
    project_section(&mut lines, 0, std::slice::from_ref(project));
    lines
}

/// One project as an item of a block list, at depth 0.
pub(super) fn project_lines(project: &Project) -> Lines {
    let mut lines = Lines::default();
    item(&mut lines, 0, project);
    lines
}

/// Keys below each other, the inner ones two columns in, and in the last of them one entry of a list.
pub(super) fn entry_below(keys: &[&str], entry: &[String]) -> Lines {
    let mut lines = Lines::default();
    for (depth, key) in keys.iter().enumerate() {
        lines.add(depth, format!("{key}:"));
    }
    entry_lines(&mut lines, keys.len(), entry);
    lines
}

/// One line.
pub(super) fn line_below(keys: &[&str], line: String) -> Lines {
    let mut lines = Lines::default();
    for (depth, key) in keys.iter().enumerate() {
        lines.add(depth, format!("{key}:"));
    }
    lines.add(keys.len(), line);
    lines
}

/// Keys in braces.
pub(super) fn flow(keys: &[String]) -> String {
    format!("{{ {} }}", keys.join(", "))
}

/// One project in braces.
pub(super) fn project_flow(project: &Project) -> String {
    flow(&project_keys(project))
}

fn item(lines: &mut Lines, depth: usize, project: &Project) {
    for (i, key) in project_keys(project).into_iter().enumerate() {
        let comment = if key.starts_with("access") { "read-write | read-only" } else { "" };
        lines.add_with(depth, format!("{}{key}", if i == 0 { "- " } else { "  " }), comment);
    }
}

fn project_keys(project: &Project) -> Vec<String> {
    let mut keys = vec![format!("path: {}", scalar(project.path.as_str()))];
    if project.access != Access::default() {
        keys.push(format!("access: {}", project.access));
    }
    keys.extend(project.git.map(|git| format!("git: {git}")));
    if project.deploy_key != DeployKey::default() {
        keys.push(format!("deploy-key: {}", project.deploy_key));
    }
    keys
}

fn network_lines(lines: &mut Lines, network: &Network) {
    if *network == Network::default() {
        return;
    }
    let plain = Network::default();
    lines.add(1, "network:");
    if network.outbound != plain.outbound {
        lines.add_with(2, format!("outbound: {}", network.outbound), "deny | allow");
    }
    if network.inbound != plain.inbound {
        lines.add_with(2, format!("inbound: {}", network.inbound), "none | loopback | any");
    }
    if network.dns != plain.dns {
        lines.add_with(2, format!("dns: {}", network.dns), "gate | system | none");
    }
    if network.log != plain.log {
        lines.add_with(2, format!("log: {}", network.log), "none | blocked | all");
    }
    if !network.allow.is_empty() {
        let closed = network.outbound == super::Outbound::Deny;
        lines.add_with(
            2,
            "allow:",
            if closed { "all that it reaches" } else { "of no effect with outbound: allow" },
        );
        network.allow.iter().for_each(|entry| entry_lines(lines, 3, &allow_keys(entry)));
    }
    if !network.deny.is_empty() {
        lines.add_with(2, "deny:", "wins over allow");
        network.deny.iter().for_each(|entry| entry_lines(lines, 3, &deny_keys(entry)));
    }
}

/// An item of a block list with these keys.
fn entry_lines(lines: &mut Lines, depth: usize, keys: &[String]) {
    for (i, key) in keys.iter().enumerate() {
        lines.add(depth, format!("{}{key}", if i == 0 { "- " } else { "  " }));
    }
}

/// The keys of an entry of `allow`.
pub(super) fn allow_keys(entry: &Allow) -> Vec<String> {
    match entry {
        Allow::Preset { name, parts } => {
            let mut keys = vec![format!("preset: {name}")];
            match parts {
                Parts::Whole => {}
                Parts::Github(parts) => {
                    keys.push(format!("github: {}", list(parts.iter().map(ToString::to_string))));
                }
                Parts::Regions(regions) => {
                    keys.push(format!("regions: {}", list(regions.iter().map(ToString::to_string))));
                }
            }
            keys
        }
        Allow::Domain { name, ports: given } => {
            let given = Some(given).filter(|given| **given != network::https());
            with_ports(format!("domain: {}", scalar(name.as_str())), given)
        }
        Allow::Cidr { net: given, ports } => with_ports(format!("cidr: {}", net(given)), ports.as_ref()),
        Allow::Loopback(given) => vec![format!("loopback: {}", port_list(given))],
    }
}

/// The keys of an entry of `deny`.
pub(super) fn deny_keys(entry: &Deny) -> Vec<String> {
    with_ports(format!("cidr: {}", net(&entry.net)), entry.ports.as_ref())
}

fn with_ports(key: String, ports: Option<&PortSet>) -> Vec<String> {
    std::iter::once(key).chain(ports.map(|ports| format!("ports: {}", port_list(ports)))).collect()
}

fn port_list(ports: &PortSet) -> String {
    let one = |range: &PortRange| {
        let plain = range.first == range.last && range.protocol == Protocol::Tcp;
        if plain { range.to_string() } else { format!("\"{range}\"") }
    };
    list(ports.ranges().iter().map(one))
}

/// A network; one that starts with a colon would not be text without quotes.
fn net(net: &IpNet) -> String {
    let text = net.to_string();
    if text.starts_with(':') { format!("\"{text}\"") } else { text }
}

fn environment(lines: &mut Lines, environment: &Environment) {
    let plain = Environment::default();
    if *environment == plain {
        return;
    }
    lines.add(1, "environment:");
    if environment.pass != plain.pass {
        let pass = list(environment.pass.iter().map(|pattern| scalar(pattern.as_str())));
        lines.add_with(2, format!("pass: {pass}"), "taken from your environment");
    }
    if !environment.set.is_empty() {
        lines.add(2, "set:");
        for (name, value) in &environment.set {
            lines.add(3, format!("{}: {}", scalar(name), scalar(value)));
        }
    }
}

fn limits(lines: &mut Lines, limits: Limits) {
    let given = [
        ("memory", limits.memory.map(|memory| memory.to_string())),
        ("cpus", limits.cpus.map(|count| count.to_string())),
        ("processes", limits.processes.map(|count| count.to_string())),
        ("open-files", limits.open_files.map(|count| count.to_string())),
    ];
    section(lines, "limits", given);
}

fn confine(lines: &mut Lines, confine: &Confine) {
    if *confine == Confine::default() {
        return;
    }
    lines.add(1, "confine:");
    for (line, closed) in &confine.lines {
        lines.add(2, format!("{}: {}", line.key(), line.word(*closed)));
    }
    for (key, paths) in [("read", &confine.read), ("write", &confine.write)] {
        if !paths.is_empty() {
            lines.add(2, format!("{key}: {}", list(paths.iter().map(|path| scalar(path.as_str())))));
        }
    }
    for (key, said) in [("private-tmp", confine.private_tmp), ("seatbelt", confine.seatbelt)] {
        if let Some(on) = said {
            lines.add(2, format!("{key}: {on}"));
        }
    }
}

fn section<const N: usize>(lines: &mut Lines, name: &str, keys: [(&str, Option<String>); N]) {
    if keys.iter().all(|(_, value)| value.is_none()) {
        return;
    }
    lines.add(1, format!("{name}:"));
    for (key, value) in keys {
        if let Some(value) = value {
            lines.add(2, format!("{key}: {value}"));
        }
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// Words that YAML of one version or another takes for something else than text.
const WORDS: [&str; 11] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"];

/// Text as a scalar, in quotes where it needs them.
pub(super) fn scalar(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '/';
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-' | '*');
    if text.starts_with(first)
        && text.chars().all(rest)
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
    {
        return text.into();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
pub(super) mod tests;
