//! From the text of a policy file to its value.

mod network;
mod offer;

pub use offer::parse_offer;

use super::{
    Access, Agent, EnvPattern, Environment, Limits, MAX_BYTES, MemorySize, Policy, PolicyError, Project,
    VERSION, confine, environment,
    error::{Place, Refusal, quote},
    groups,
    names::HumanName,
    paths,
    reader::{Fields, Reader},
    validate,
    yaml::{self, Node},
};
use crate::model::{AbsPath, AccountName, NameError};
use std::collections::{BTreeMap, HashSet};

const TOP: &[&str] = &["version", "agents"];
const AGENT: &[&str] = &[
    "human",
    "shell",
    "groups",
    "sharing",
    "view",
    "projects",
    "network",
    "environment",
    "path",
    "limits",
    "confine",
];
const PROJECT: &[&str] = &["path", "access", "git", "deploy-key"];
const ENVIRONMENT: &[&str] = &["pass", "set"];
const LIMITS: &[&str] = &["memory", "cpus", "processes", "open-files"];

/// The shell where the policy names none.
pub(super) fn default_shell() -> AbsPath {
    AbsPath::root().join("bin/bash")
}

/// Reads a policy. `file` is only said in messages.
pub fn parse(text: &str, file: &str) -> Result<Policy, PolicyError> {
    let whole = Place { line: 1, column: 1, ..Place::default() };
    let refused = |at: Place, refusal: Refusal| PolicyError::new(file, vec![at.problem(text, &refusal)]);
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, more than 1 MiB", text.len());
        return Err(refused(
            whole,
            Refusal::new(message, "keep the policy short: name presets or wider networks"),
        ));
    }
    let root = yaml::tree(text).map_err(|(at, refusal)| refused(at, refusal))?;
    let mut reader = Reader { text, problems: Vec::new() };
    let policy = reader.policy(&root);
    if !reader.problems.is_empty() {
        return Err(PolicyError::new(file, reader.problems));
    }
    Ok(policy)
}

impl<'t> Reader<'t> {
    fn policy(&mut self, root: &Node<'t>) -> Policy {
        if matches!(root.kind, yaml::Kind::Null) {
            let first = Place { line: 1, column: 1, ..Place::default() };
            self.fault(first, "the file holds no policy", "write at least `version: 1` and `agents: {}`");
            return Policy::default();
        }
        let Some(top) = self.fields(root, "the policy", TOP) else { return Policy::default() };
        self.version(root, &top);
        let Some(node) = top.get("agents") else {
            if !top.strange {
                self.fault(root.at, "the policy has no `agents`", "add `agents:`, or `agents: {}` for none");
            }
            return Policy::default();
        };
        let mut agents = BTreeMap::new();
        let mut read = Vec::new();
        let entries = self.map(node, "`agents`", "an agent's name and below it its keys, or `agents: {}`");
        for (key, value) in entries.unwrap_or_default() {
            let name = key.name.parse::<AccountName>().map_err(|error| agent_name(&error, &key.name));
            let name = self.judge(key.at, name);
            let agent = self.agent(value, &key.name, key.at);
            if let (Some(name), Some(agent)) = (name, agent) {
                agents.insert(name.clone(), agent);
                read.push((name, key.at, value));
            }
        }
        validate::policy(self, &agents, &read);
        Policy::new(agents)
    }

    fn version(&mut self, root: &Node<'t>, top: &Fields<'_, 't>) {
        let hint = format!("write `version: {VERSION}`");
        let Some(node) = top.get("version") else {
            if !top.strange {
                self.fault(root.at, "the policy has no `version`", format!("{hint} as the first line"));
            }
            return;
        };
        match self.scalar(node, "`version`", &hint) {
            Some("1") | None => {}
            Some(text) if text.parse::<u64>().is_ok_and(|version| version > VERSION) => {
                let message =
                    format!("version {} is newer than this program, which reads {VERSION}", quote(text));
                self.fault(node.at, message, format!("update agentuser, or {hint}"));
            }
            Some(text) => self.fault(node.at, format!("{} is no version of a policy", quote(text)), hint),
        }
    }

    fn agent(&mut self, node: &Node<'t>, name: &str, at: Place) -> Option<Agent> {
        let fields = self.fields(node, &format!("the agent {}", quote(name)), AGENT)?;
        let Some(human) = fields.get("human") else {
            let hint = "add `human: LOGIN` with the person who may become it";
            if fields.strange {
                return None;
            }
            self.fault(at, format!("the agent {} has no `human`", quote(name)), hint);
            return None;
        };
        let text = self.scalar(human, "`human`", "write one login name");
        let human = text.and_then(|text| self.judge(human.at, HumanName::read(text)));
        let group_human = human.as_ref().map(HumanName::as_str);
        let groups = fields.get("groups").map(|node| self.groups(node, group_human)).unwrap_or_default();
        let shell = fields.get("shell").and_then(|node| self.program(node, "`shell`"));
        let agent = Agent {
            human: human?,
            shell: shell.unwrap_or_else(default_shell),
            groups,
            sharing: fields
                .get("sharing")
                .and_then(|node| self.choice(node, "`sharing`"))
                .unwrap_or_default(),
            view: fields.get("view").and_then(|node| self.choice(node, "`view`")),
            projects: fields.get("projects").map(|node| self.projects(node)).unwrap_or_default(),
            network: fields.get("network").map(|node| self.network(node)).unwrap_or_default(),
            environment: fields.get("environment").map(|node| self.environment(node)).unwrap_or_default(),
            path: fields.get("path").map(|node| self.path(node)).unwrap_or_default(),
            limits: fields.get("limits").map(|node| self.limits(node)).unwrap_or_default(),
            confine: fields.get("confine").map(|node| confine::read(self, node)).unwrap_or_default(),
        };
        Some(agent)
    }

    fn program(&mut self, node: &Node<'t>, what: &str) -> Option<AbsPath> {
        let text = self.scalar(node, what, "write one path, from `/` on")?;
        self.judge(node.at, paths::read_program(text))
    }

    fn groups(&mut self, node: &Node<'t>, human: Option<&str>) -> Vec<String> {
        let mut groups: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        for item in self.list(node, "`groups`", "a list such as `[render]`, or `[]` for none") {
            let Some(name) = self.scalar(item, "a group", "write one name an item") else { continue };
            if !seen.insert(name) {
                self.fault(
                    item.at,
                    format!("the group {} stands here twice", quote(name)),
                    "remove one of the two",
                );
            } else if self.judge(item.at, groups::judge(name, human)).is_some() {
                groups.push(name.into());
            }
        }
        groups
    }

    fn projects(&mut self, node: &Node<'t>) -> Vec<Project> {
        let hint = "a list of entries `- path: /home/alice/src/shop`, or `[]` for none";
        let items = self.list(node, "`projects`", hint);
        items.iter().filter_map(|item| self.project(item)).collect()
    }

    fn project(&mut self, node: &Node<'t>) -> Option<Project> {
        if let Some(text) = node.scalar(self.text) {
            self.fault(
                node.at,
                format!("a project is a mapping, not {}", quote(text)),
                format!("write `path: {text}`"),
            );
            return None;
        }
        let fields = self.fields(node, "a project", PROJECT)?;
        let access = fields.get("access").and_then(|node| self.choice::<Access>(node, "`access`"));
        let git = fields.get("git").and_then(|node| self.choice(node, "`git`"));
        let deploy_key = fields.get("deploy-key").and_then(|node| self.choice(node, "`deploy-key`"));
        let Some(path) = fields.get("path") else {
            if !fields.strange {
                self.fault(
                    node.at,
                    "a project without `path`",
                    "add `path:` with the directory, from `/` on",
                );
            }
            return None;
        };
        let text = self.scalar(path, "`path`", "write one directory an entry")?;
        let judged = paths::read(text).and_then(|path| paths::project(&path).map(|()| path));
        let path = self.judge(path.at, judged)?;
        Some(Project {
            path,
            access: access.unwrap_or_default(),
            git,
            deploy_key: deploy_key.unwrap_or_default(),
        })
    }

    fn environment(&mut self, node: &Node<'t>) -> Environment {
        let Some(fields) = self.fields(node, "`environment`", ENVIRONMENT) else {
            return Environment::default();
        };
        let mut set = BTreeMap::new();
        let hint = "names and values: `{ EDITOR: vi }`, or `{}` for none";
        let entries = fields.get("set").and_then(|node| self.map(node, "`set`", hint));
        for (key, value) in entries.unwrap_or_default() {
            let name = self.judge(key.at, environment::set_name(&key.name));
            let text = self.scalar(value, &quote(&key.name), "write one value, in quotes where it is empty");
            let text = text.filter(|text| self.judge(value.at, environment::set_value(text)).is_some());
            if let (Some(()), Some(text)) = (name, text) {
                set.insert(key.name.clone().into_owned(), text.into());
            }
        }
        let Some(node) = fields.get("pass") else { return Environment { set, ..Environment::default() } };
        let mut pass = Vec::new();
        let mut seen = HashSet::new();
        for item in self.list(node, "`pass`", "a list such as `[LANG, LC_*]`, or `[]` for none") {
            let Some(text) = self.scalar(item, "a name", "write one name an item") else { continue };
            let pattern = self.judge(item.at, EnvPattern::read(text));
            pass.extend(pattern.filter(|_| seen.insert(text)));
        }
        Environment { pass, set }
    }

    fn path(&mut self, node: &Node<'t>) -> Vec<AbsPath> {
        let items = self.list(node, "`path`", "a list such as `[/opt/node/bin]`, or `[]` for none");
        items.iter().filter_map(|item| self.program(item, "an entry of `path`")).collect()
    }

    fn limits(&mut self, node: &Node<'t>) -> Limits {
        let Some(fields) = self.fields(node, "`limits`", LIMITS) else { return Limits::default() };
        let memory = fields.get("memory").and_then(|node| {
            let text = self.scalar(node, "`memory`", "write an amount such as `8G`")?;
            self.judge(node.at, MemorySize::read(text))
        });
        Limits {
            memory,
            cpus: fields.get("cpus").and_then(|node| self.count(node, "`cpus`", 4096)),
            processes: fields.get("processes").and_then(|node| self.count(node, "`processes`", 4_194_304)),
            open_files: fields.get("open-files").and_then(|node| self.count(node, "`open-files`", 1_048_576)),
        }
    }
}

fn agent_name(error: &NameError, name: &str) -> Refusal {
    let hint = "write lower case letters, digits, `_` and `-`, a letter or `_` first, at most 31";
    let what = match error {
        NameError::Empty => "an agent without a name".to_owned(),
        NameError::TooLong(_) => format!("the agent's name {} is too long", quote(name)),
        NameError::Form(_) => format!("{} is not an agent's name", quote(name)),
    };
    Refusal::new(what, hint)
}
