//! `secret key`: a key of the agent's own for the repository of one project.
//!
//! The policy says that there is one, so that it is made, told by `status` and taken back like all else that it asks for. What
//! the project's own files say of the repository may be the agent's words: it leads to nothing but text, and is judged first.

use super::{
    Failure, Global, existing_directory, invoker, net, printer,
    secret::request,
    share::{self, Change},
};
use crate::{
    formats::git_remote::{self, Remote},
    host::{Command, Observe, Program, System, places, users},
    launch::secrets::{Request, is_known_host},
    model::{AbsPath, AccountName},
    policy::{DeployKey, Policy, edit},
    review::config,
    step,
};
use clap::Args;
use rustix::fs::{Mode, OFlags, open};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The longest configuration of git that is read, in bytes.
const LONGEST_CONFIG: u64 = 1 << 20;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The project
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// It is to be added with write access; without this, as a key that can't push
    #[arg(long)]
    write: bool,
    /// Take the key away
    #[arg(long, conflicts_with = "write")]
    remove: bool,
}

pub(super) fn key(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (_, policy) =
        invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
    let agent = invoker::agent(&policy, global)?;
    // A project that is gone from the disk is found by its name.
    let directory = existing_directory(&arguments.directory)
        .or_else(|failure| arguments.directory.to_str().and_then(|path| path.parse().ok()).ok_or(failure))?;
    let projects = &policy.agents[&agent].projects;
    let project = projects.iter().find(|project| directory.is_within(&project.path)).ok_or_else(|| {
        let error = anyhow::anyhow!("`{directory}` is not shared with {agent}");
        Failure::new(error).hint(format!("agentuser share {}", crate::launch::quoted(directory.as_path())))
    })?;
    let wanted = match (arguments.remove, arguments.write) {
        (true, _) => DeployKey::None,
        (false, true) => DeployKey::ReadWrite,
        (false, false) => DeployKey::ReadOnly,
    };
    let path = project.path.clone();
    if arguments.remove && project.deploy_key == DeployKey::None {
        let error = anyhow::anyhow!("{agent} has no key for `{path}`");
        return Err(Failure::new(error).hint("agentuser secret list"));
    }
    let private = places::deploy_key(&agent, &path);
    let there = System::new().names(&places::state(&agent))?;
    let is_there = |path: &AbsPath| there.iter().any(|name| name == path.name());
    let is_whole = is_there(&private) && is_there(&public_half(&agent, &path));
    if project.deploy_key != wanted || is_whole != (wanted != DeployKey::None) {
        let mut line: Vec<OsString> = ["secret", "key", path.as_str()].map(OsString::from).into();
        line.extend(arguments.write.then(|| "--write".into()));
        line.extend(arguments.remove.then(|| "--remove".into()));
        let edit =
            |text: &str, name: &AccountName, _: Option<&_>| edit::set_deploy_key(text, name, &path, wanted);
        let change = Change { line, links: None, path: &path, at_begin: false };
        let code = share::change(global, change, edit)?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    // Root's half is done with the change: what the human knows is not root's to read.
    if !invoker::is_root() && wanted != DeployKey::None {
        tell(global, &policy, &agent, &path, wanted)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn public_half(agent: &AccountName, project: &AbsPath) -> AbsPath {
    step::DeployKey::public(&places::deploy_key(agent, project))
}

/// The public half of a key, without its line's end.
fn read_public(agent: &AccountName, project: &AbsPath) -> Result<String, Failure> {
    let file = System::new().file(&public_half(agent, project))?;
    let line = file.map(|file| String::from_utf8_lossy(&file.bytes).trim_end().to_owned());
    line.ok_or_else(|| {
        Failure::new(anyhow::anyhow!("the key of {agent} for `{project}` is missing")).hint("agentuser setup")
    })
}

/// The keys that the policy asks for, each with what it is for and its public half, for `secret list`.
pub(super) fn list(
    policy: &Policy,
    agent: &AccountName,
) -> Result<Vec<(AbsPath, DeployKey, String)>, Failure> {
    let keys = policy.agents[agent].projects.iter().filter(|project| project.deploy_key != DeployKey::None);
    keys.map(|project| {
        let public = read_public(agent, &project.path)?;
        Ok((project.path.clone(), project.deploy_key, public))
    })
    .collect()
}

/// Prints the public half, and says what is left for a person to do.
fn tell(
    global: &Global,
    policy: &Policy,
    agent: &AccountName,
    project: &AbsPath,
    key: DeployKey,
) -> Result<(), Failure> {
    let remote = remote(project);
    let known = hand_over_known_hosts(policy, agent)?;
    printer::data(&read_public(agent, project)?);
    if global.quiet {
        return Ok(());
    }
    let write = key == DeployKey::ReadWrite;
    let place = match remote.as_ref().map(|remote| (remote, remote.page())) {
        Some((_, Some(page))) => format!("at {page}"),
        Some((Remote { host, path, .. }, None)) => format!("to the repository {path} at {host}"),
        None => "to the project's repository, where it is kept".into(),
    };
    printer::say(&format!("\nAdd this line as a deploy key {place}"));
    printer::say(if write {
        "with write access. What the agent pushes then is taken by whoever keeps the repository."
    } else {
        "and leave write access off: it is the forge that refuses what the agent would push."
    });
    printer::say(&format!(
        "git uses it in {project} alone; whatever runs as {agent} can read the key itself.\nThen, as a trial:"
    ));
    printer::say("  agentuser run -- git fetch");
    if !write {
        printer::say("  agentuser run -- git push --dry-run    which must be refused");
    }
    let Some(remote) = remote else { return Ok(()) };
    if !remote.by_ssh {
        printer::warn(&format!(
            "git goes to {} by https, where keys don't count: git remote set-url origin {}",
            remote.host,
            remote.ssh_address()
        ));
    }
    let (host, port) = (&remote.host, remote.port.unwrap_or(22));
    if let Some(change) = net::refused(global, &format!("{host}:{port}"))? {
        printer::warn(&format!("{agent} does not reach {host}:{port}: {change}"));
    }
    if !known.contains(&remote.in_known_hosts()) {
        let way = remote.port.map(|port| format!(" -p {port}")).unwrap_or_default();
        printer::warn(&format!(
            "your ~/.ssh/known_hosts has no key of {host}: ssh -T{way} git@{host}, compare what it shows with what {host} \
             publishes, then agentuser secret key {}",
            crate::launch::quoted(project.as_path())
        ));
    }
    Ok(())
}

/// Where the project's repository is kept: the remote `origin`, or else the first one that git can reach by a host's name.
fn remote(project: &AbsPath) -> Option<Remote> {
    let bytes = config_of(project.as_path())?;
    let mut remotes: Vec<_> = config::parse(&bytes)
        .ok()?
        .into_iter()
        .filter_map(|(key, value)| {
            let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
            Some((name != "origin", git_remote::parse(&value)?))
        })
        .collect();
    remotes.sort_by_key(|(other, _)| *other);
    remotes.into_iter().next().map(|(_, remote)| remote)
}

/// The beginning of a repository's own configuration. The agent may have put anything in its place.
fn config_of(project: &Path) -> Option<Vec<u8>> {
    let look = |name: &str, more: OFlags| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        (project.join(name), flags | more)
    };
    let (dir, flags) = look(".git", OFlags::DIRECTORY);
    let dir = open(dir, flags, Mode::empty()).ok()?;
    let (_, flags) = look("", OFlags::empty());
    let file = File::from(rustix::fs::openat(dir, "config", flags, Mode::empty()).ok()?);
    let mut bytes = Vec::new();
    let is_file = file.metadata().ok()?.is_file();
    file.take(if is_file { LONGEST_CONFIG } else { 0 }).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Gives the agent's ssh the keys that the human's knows of the hosts of its projects, and answers which hosts these are.
fn hand_over_known_hosts(policy: &Policy, agent: &AccountName) -> Result<BTreeSet<String>, Failure> {
    let projects = policy.agents[agent].projects.iter();
    let hosts: BTreeSet<_> =
        projects.filter_map(|project| remote(&project.path)).map(|remote| remote.in_known_hosts()).collect();
    let human = invoker::human().map(|name| users::person(&name)).transpose()?.flatten();
    let own = human.map(|human| Path::new(&human.home).join(".ssh/known_hosts"));
    let files = own.iter().map(PathBuf::as_path).chain([Path::new("/etc/ssh/ssh_known_hosts")]);
    let files: Vec<_> = files.filter(|file| file.exists()).collect();
    let (mut known, mut lines) = (BTreeSet::new(), BTreeSet::new());
    for host in hosts {
        for file in &files {
            let found = known_as(&host, file)?;
            if !found.is_empty() {
                known.insert(host.clone());
            }
            lines.extend(found);
        }
    }
    request(agent, &Request::KnownHosts(lines.into_iter().collect()))?;
    Ok(known)
}

/// The lines of a file of known hosts that tell of a host; names in it may be hashed.
fn known_as(host: &str, file: &Path) -> Result<Vec<String>, Failure> {
    let Some(file) = file.to_str() else { return Ok(vec![]) };
    // 1 says that there is none.
    let output = Command::new(Program::SshKeygen, ["-F", host, "-f", file]).output().map_err(Failure::new)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter(|line| is_known_host(line)).map(str::to_owned).collect())
}
