//! From the text of a repository's `agentuser.yaml` to what it asks for.

use super::Reader;
use crate::{
    model::AbsPath,
    policy::{
        Access, Network, Offer, PolicyError, Project, Setting,
        error::{Place, Refusal, quote},
        paths,
        yaml::{self, Node},
    },
};

const TOP: &[&str] = &["version", "projects", "network"];
const PROJECT: &[&str] = &["path", "access", "git"];

/// The largest file that is read, in bytes: a person reads it before anything of it is taken.
const MAX_BYTES: usize = 64 << 10;

/// Reads what a repository in `dir` asks for. `file` is only said in messages.
pub fn parse_offer(text: &str, file: &str, dir: &AbsPath) -> Result<Offer, PolicyError> {
    let refused = |at: Place, refusal: &Refusal| PolicyError::new(file, vec![at.problem(text, refusal)]);
    if text.len() > MAX_BYTES {
        let whole = Place { line: 1, column: 1, ..Place::default() };
        let message = format!("the file has {} bytes, more than 64 KiB", text.len());
        return Err(refused(whole, &Refusal::new(message, "name presets or wider networks")));
    }
    let root = yaml::tree(text).map_err(|(at, refusal)| refused(at, &refusal))?;
    let mut reader = Reader { text, problems: Vec::new() };
    let offer = reader.offer(&root, dir);
    if reader.problems.is_empty() { Ok(offer) } else { Err(PolicyError::new(file, reader.problems)) }
}

impl<'t> Reader<'t> {
    fn offer(&mut self, root: &Node<'t>, dir: &AbsPath) -> Offer {
        let Some(top) = self.fields(root, "this file", TOP) else { return Offer::default() };
        self.version(root, &top);
        let mut projects: Vec<Project> = Vec::new();
        let items = top.get("projects").map_or(&[][..], |node| {
            self.list(node, "`projects`", "a list of entries `- path: .`, or `[]` for none")
        });
        for item in items {
            let Some(project) = self.offered_project(item, dir) else { continue };
            if projects.iter().any(|other| other.path == project.path) {
                let message = format!("the project {} stands here twice", quote(project.path.as_str()));
                self.fault(item.at, message, "remove one of the two");
            } else {
                projects.push(project);
            }
        }
        let Some(node) = top.get("network") else { return Offer { projects, ..Offer::default() } };
        let network = self.network(node);
        Offer { projects, settings: said(node, &network), allow: network.allow, deny: network.deny }
    }

    /// A directory in the repository, by its path there.
    fn offered_project(&mut self, node: &Node<'t>, dir: &AbsPath) -> Option<Project> {
        let fields = self.fields(node, "a project", PROJECT)?;
        let access = fields.get("access").and_then(|node| self.choice::<Access>(node, "`access`"));
        let git = fields.get("git").and_then(|node| self.choice(node, "`git`"));
        let Some(path) = fields.get("path") else {
            let hint = "add `path:` with the directory as seen from this file, such as `.`";
            self.fault(node.at, "a project without `path`", hint);
            return None;
        };
        let text = self.scalar(path, "`path`", "write one directory an entry")?;
        let below = match text {
            "." => Some(dir.clone()),
            _ if !text.starts_with(['~', '$']) => format!("{dir}/{text}").parse().ok(),
            _ => None,
        };
        let below = below.ok_or_else(|| {
            let message = format!("{} is not below this file's directory", quote(text));
            Refusal::new(message, "write a path as seen from this file, such as `.` or `data`, without `..`")
        });
        let path =
            self.judge(path.at, below.and_then(|path: AbsPath| paths::project(&path).map(|()| path)))?;
        Some(Project { access: access.unwrap_or_default(), git, ..Project::new(path) })
    }
}

/// The keys that the file has: what it leaves out it does not ask for.
fn said(node: &Node<'_>, network: &Network) -> Vec<Setting> {
    let all = [
        Setting::Outbound(network.outbound),
        Setting::Inbound(network.inbound),
        Setting::Dns(network.dns),
        Setting::Log(network.log),
    ];
    all.into_iter().filter(|setting| node.get(setting.key()).is_some()).collect()
}
