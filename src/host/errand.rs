//! Errands: what a child without privilege finds out for root, about the network and about the human's tools.
//!
//! Root starts this program again with the hidden command `errand` and tells it, on standard input, what to find out. The
//! child gives up root's rights for good before it looks at anything: it becomes nobody to fetch ranges and to resolve
//! names, and the human, in a network namespace without a network, to ask the human's tools. It answers in one line of
//! JSON. Root reads a bounded answer for a bounded time, and judges the values in it once more.

#[cfg_attr(target_os = "linux", path = "errand/linux.rs")]
#[cfg_attr(target_os = "macos", path = "errand/macos.rs")]
mod system;

use super::{HostError, bounded, by_itself};
use crate::{
    discover::Found,
    model::{
        Gid, Uid,
        catalog::{Date, Publisher, Ranges},
    },
    policy::DomainName,
    presets::ranges,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    net::{IpAddr, ToSocketAddrs},
    path::PathBuf,
    process::Command,
    time::Duration,
};

/// How long one errand may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// The longest answer, in bytes.
const LONGEST: u64 = 4 << 20;

/// How long curl(1) may take, in seconds.
const FETCH_SECONDS: &str = "60";

/// A person whose tools are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Human {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: Uid,
    /// Group id.
    pub gid: Gid,
    /// Home directory.
    pub home: PathBuf,
    /// Directories of toolchains, from the policy.
    pub path: Vec<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Errand {
    Discover { human: Human, presets: Vec<String> },
    Fetch { publisher: Publisher, last: Ranges, today: Date },
    Resolve { names: BTreeSet<String> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Found(BTreeMap<String, Found>),
    Ranges(Ranges),
    Addresses(BTreeMap<String, Result<BTreeSet<IpAddr>, String>>),
    Error(String),
}

/// What the human's tools are configured to use, by preset.
pub fn discover(human: &Human, presets: &BTreeSet<&str>) -> Result<BTreeMap<String, Found>, HostError> {
    let presets: Vec<String> = presets.iter().map(|&preset| preset.to_owned()).collect();
    let errand = Errand::Discover { human: human.clone(), presets: presets.clone() };
    let Answer::Found(mut found) = run(&errand)? else { return Err(strange()) };
    found.retain(|preset, _| presets.contains(preset));
    for found in found.values_mut() {
        found.hosts.retain(is_host);
        found.notes.truncate(100);
    }
    Ok(found)
}

/// A host that can be opened: a domain or an address, and words that fit a line.
fn is_host(host: &crate::model::catalog::ToolHost) -> bool {
    let name = host.host.parse::<DomainName>().is_ok_and(|name| !name.is_wildcard());
    let address = host.host.parse::<IpAddr>().is_ok_and(|address| !address.is_loopback());
    let fits = |text: &str| text.len() <= 200 && !text.contains(char::is_control);
    (name || address) && host.port > 0 && fits(&host.tool) && fits(&host.setting)
}

/// Fetches what a publisher publishes now; what does not follow the last good ranges is refused.
pub fn fetch(publisher: Publisher, last: &Ranges, today: Date) -> Result<Ranges, HostError> {
    let Answer::Ranges(ranges) = run(&Errand::Fetch { publisher, last: last.clone(), today })? else {
        return Err(strange());
    };
    // The child read bytes of the network, and may have been talked into anything.
    let judged = ranges::judge(ranges).and_then(|ranges| ranges::follows(ranges, last));
    let judged = judged.map_err(|error| HostError::Worker(format!("{}: {error}", publisher.url())))?;
    if judged.source != publisher || judged.date > today {
        return Err(strange());
    }
    Ok(judged)
}

/// Resolves names as the system does; each has addresses, or a reason why not.
pub fn resolve(
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, Result<BTreeSet<IpAddr>, String>>, HostError> {
    let Answer::Addresses(mut addresses) = run(&Errand::Resolve { names: names.clone() })? else {
        return Err(strange());
    };
    addresses.retain(|name, _| names.contains(name));
    Ok(addresses)
}

fn strange() -> HostError {
    HostError::Worker("the child's answer is not one to the question".into())
}

/// Sends a child on an errand.
fn run(errand: &Errand) -> Result<Answer, HostError> {
    let lost = |error: &dyn std::fmt::Display| HostError::Worker(format!("a child was lost: {error}"));
    let started = || {
        let ((theirs, to), (from, said)) = (io::pipe()?, io::pipe()?);
        io::Result::Ok((system::start(theirs.into(), said.into())?, to, from))
    };
    let (mut child, mut to, from) = started().map_err(|error| lost(&error))?;
    let request = serde_json::to_vec(errand).map_err(|error| lost(&error))?;
    // Small enough for a pipe or read at once: a child that has died is noticed below.
    let _ = to.write_all(&request);
    drop(to);
    let listener = std::thread::spawn(move || {
        let mut said = Vec::new();
        from.take(LONGEST + 1).read_to_end(&mut said).map(|_| said)
    });
    let status = child.wait_at_most(PATIENCE);
    let said =
        listener.join().unwrap_or_else(|_| Err(io::Error::other("lost"))).map_err(|error| lost(&error))?;
    let status = status.map_err(|error| lost(&error))?;
    if let Some(status) = status.filter(|status| !status.success()) {
        return Err(lost(&status));
    }
    if said.len() as u64 > LONGEST {
        return Err(lost(&"it said too much"));
    }
    match serde_json::from_slice(&said).map_err(|error| lost(&error))? {
        Answer::Error(error) => Err(HostError::Worker(error)),
        answer => Ok(answer),
    }
}

/// The hidden command: gives up root's rights, and does the errand.
pub fn main() -> io::Result<()> {
    let mut request = Vec::new();
    io::stdin().take(LONGEST).read_to_end(&mut request)?;
    let errand: Errand = serde_json::from_slice(&request)?;
    let answer = perform(errand).unwrap_or_else(|error| Answer::Error(error.to_string()));
    io::stdout().write_all(&serde_json::to_vec(&answer)?)
}

fn perform(errand: Errand) -> io::Result<Answer> {
    Ok(match errand {
        Errand::Discover { human, presets } => Answer::Found(system::ask_tools(&human, presets)?),
        Errand::Fetch { publisher, last, today } => {
            system::become_nobody()?;
            let document = download(publisher)?;
            let read = ranges::read_document(publisher, &document, today);
            let read = read.and_then(|ranges| ranges::follows(ranges, &last));
            Answer::Ranges(read.map_err(|error| io::Error::other(format!("{}: {error}", publisher.url())))?)
        }
        Errand::Resolve { names } => {
            system::become_nobody()?;
            Answer::Addresses(all_addresses(&names))
        }
    })
}

/// Asks for many names at a time: without a network each one takes a resolver its whole patience.
fn all_addresses(names: &BTreeSet<String>) -> BTreeMap<String, Result<BTreeSet<IpAddr>, String>> {
    const AT_A_TIME: usize = 32;
    let names: Vec<&String> = names.iter().collect();
    let mut answers = BTreeMap::new();
    for some in names.chunks(AT_A_TIME) {
        std::thread::scope(|scope| {
            let asked: Vec<_> =
                some.iter().map(|name| ((*name).clone(), scope.spawn(|| addresses(name)))).collect();
            for (name, thread) in asked {
                answers.insert(name, thread.join().unwrap_or_else(|_| Err("it was lost".into())));
            }
        });
    }
    answers
}

fn addresses(name: &str) -> Result<BTreeSet<IpAddr>, String> {
    let found = (name, 443).to_socket_addrs().map_err(|error| error.to_string())?;
    Ok(found.map(|address| address.ip()).collect())
}

/// Fetches over https only, without a configuration file of anybody's, bounded in size and time.
fn download(publisher: Publisher) -> io::Result<Vec<u8>> {
    let curl = super::Program::Curl.path().ok_or_else(|| io::Error::other("curl is not installed"))?;
    let mut command = Command::new(curl);
    command.args(["--disable", "--proto", "=https", "--tlsv1.2", "--fail", "--silent", "--show-error"]);
    command.args(["--max-time", FETCH_SECONDS, "--max-filesize"]).arg(ranges::MAX_DOCUMENT.to_string());
    command.args(["--user-agent", "agentuser", "--", publisher.url()]);
    by_itself(&mut command).env("HOME", "/nonexistent");
    let said = bounded::output(command, ranges::MAX_DOCUMENT as u64, PATIENCE)?;
    if said.status.success() {
        return Ok(said.stdout);
    }
    let why: String = String::from_utf8_lossy(&said.stderr).trim().chars().take(200).collect();
    Err(io::Error::other(format!("{}: {}", publisher.url(), why.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::ToolHost;

    #[test]
    fn hosts_that_a_child_could_not_have_read_are_left_out() {
        let host = |host: &str, port, setting: &str| ToolHost {
            host: host.into(),
            port,
            tool: "npm".into(),
            setting: setting.into(),
        };
        assert!(is_host(&host("npm.example.com", 443, "registry")));
        assert!(is_host(&host("192.0.2.1", 443, "registry")));
        for bad in [
            host("*.example.com", 443, "x"),
            host("127.0.0.1", 443, "x"),
            host("localhost", 443, "x"),
            host("a b", 443, "x"),
            host("a.example.com", 0, "x"),
            host("a.example.com", 1, "\u{1b}[31m"),
        ] {
            assert!(!is_host(&bad), "{bad:?}");
        }
    }
}
