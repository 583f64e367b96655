//! The agent's tokens: variables of its environment that stand in a file of their own, for the policy can be read by all.
//!
//! The file is root's, and the agent's group reads it: what runs as the agent sees its tokens and can't change which ones
//! later sessions get. The values come from the human's keyboard or a pipe, never from a command line or the human's files.

use crate::{
    host::{Act, FileState, HostError, Validator, places},
    model::{AbsPath, AccountName, Gid, Uid},
    policy,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// The longest value, in bytes: one argument or variable of execve(2) may have 128 KiB.
pub const LONGEST: usize = 64 * 1024;

/// The most tokens of an agent: all of them together are part of one environment.
const MOST: usize = 100;

/// Tokens by the names of their variables.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(BTreeMap<String, String>);

/// A token that can't be kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The name is none for a token.
    #[error(transparent)]
    Name(#[from] policy::Refusal),
    /// Nothing was given.
    #[error("the value is empty")]
    Empty,
    /// There are many already.
    #[error("there are {MOST} tokens already, which is the most")]
    TooMany,
    /// A variable can't hold it.
    #[error("the value has {0}, which no token has")]
    Value(&'static str),
}

impl Secrets {
    /// Reads the tokens of an agent, as root or as the agent itself; none where there is no file.
    pub fn read(name: &AccountName) -> Result<Self, HostError> {
        let path = places::secrets(name);
        match std::fs::read(path.as_path()) {
            Ok(bytes) => Self::parse(&path, &bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(HostError::path("can't read", path, error)),
        }
    }

    fn parse(path: &AbsPath, bytes: &[u8]) -> Result<Self, HostError> {
        serde_json::from_slice(bytes)
            .map_err(|_| HostError::Unexpected { path: path.to_string(), is: "does not hold tokens".into() })
    }

    /// Writes them, readable for root and the agent's group; without any, the file goes.
    pub fn store(&self, name: &AccountName, gid: Gid, machine: &mut dyn Act) -> Result<(), HostError> {
        let path = places::secrets(name);
        if self.0.is_empty() {
            return machine.remove(&path);
        }
        let bytes =
            serde_json::to_vec_pretty(self).map_err(|error| HostError::path("can't write", &path, error))?;
        machine.write(&path, &FileState { bytes, mode: 0o640, uid: Uid(0), gid }, Validator::Nobody)
    }

    /// Keeps a token, in place of one of the same name.
    pub fn set(&mut self, name: &str, value: String) -> Result<(), SecretError> {
        policy::secret_name(name)?;
        if value.is_empty() {
            return Err(SecretError::Empty);
        }
        if value.len() > LONGEST {
            return Err(SecretError::Value("more than 64 KiB"));
        }
        if value.contains('\0') {
            return Err(SecretError::Value("a zero byte"));
        }
        if self.0.len() >= MOST && !self.0.contains_key(name) {
            return Err(SecretError::TooMany);
        }
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    /// Forgets a token, and answers whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Names and values.
    pub fn into_variables(self) -> impl Iterator<Item = (String, String)> {
        self.0.into_iter()
    }
}

/// The most lines about hosts, and the longest of them in bytes.
const MOST_HOSTS: usize = 1000;
const LONGEST_LINE: usize = 8 * 1024;

/// Whether a line is one of `known_hosts` (sshd(8), `SSH_KNOWN_HOSTS FILE FORMAT`): names, a kind of key and the key.
pub fn is_known_host(line: &str) -> bool {
    let plain = line.len() <= LONGEST_LINE && line.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    let mut words = line.split(' ').filter(|word| !word.starts_with('@'));
    let [names, kind, key] = [(); 3].map(|()| words.next().unwrap_or_default());
    plain && !names.starts_with('#') && !names.is_empty() && !kind.is_empty() && key.len() > 16
}

/// Writes down which hosts ssh knows in projects with a deploy key, for all to read; without any, the file goes.
pub fn know_hosts(name: &AccountName, lines: &[String], machine: &mut dyn Act) -> Result<(), HostError> {
    let path = places::known_hosts(name);
    if lines.is_empty() {
        return machine.remove(&path);
    }
    if lines.len() > MOST_HOSTS || !lines.iter().all(|line| is_known_host(line)) {
        return Err(HostError::Unexpected { path: "what was asked".into(), is: "names no hosts".into() });
    }
    let bytes = lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().into_bytes();
    machine.write(&path, &FileState { bytes, mode: 0o644, uid: Uid(0), gid: Gid(0) }, Validator::Nobody)
}

/// Names alone: values belong into no message.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What the human asks root's helper, on its standard input.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Which tokens there are.
    List,
    /// Keep one: name and value.
    Set(String, String),
    /// Forget one.
    Remove(String),
    /// Let ssh know these hosts, and no others, in projects with a deploy key: lines as of `known_hosts`.
    KnownHosts(Vec<String>),
}

impl Request {
    /// Reads a request that is no longer than one can be, and that comes in time.
    pub fn read(input: impl AsFd, patience: Duration) -> io::Result<Self> {
        let end = Instant::now() + patience;
        // A value is escaped to six bytes for one at most.
        let mut text = vec![0; 8 * LONGEST];
        let mut filled = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            match rustix::io::read(&input, &mut text[filled..]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        serde_json::from_slice(&text[..filled]).map_err(|_| io::Error::other("not a request for tokens"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_listed_and_forgotten() {
        let mut secrets = Secrets::default();
        secrets.set("GH_TOKEN", "a \"b\" c".into()).unwrap();
        secrets.set("API_KEY", "1".into()).unwrap();
        secrets.set("API_KEY", "2".into()).unwrap();
        assert_eq!(secrets.names().collect::<Vec<_>>(), ["API_KEY", "GH_TOKEN"]);
        assert_eq!(format!("{secrets:?}"), "{\"API_KEY\", \"GH_TOKEN\"}");
        let bytes = serde_json::to_vec(&secrets).unwrap();
        let path = AbsPath::root();
        assert_eq!(Secrets::parse(&path, &bytes).unwrap(), secrets);
        assert!(
            Secrets::parse(&path, b"{\"A\": 1}").unwrap_err().to_string().contains("does not hold tokens")
        );
        assert!(secrets.remove("API_KEY") && !secrets.remove("API_KEY"));
        assert_eq!(secrets.into_variables().collect::<Vec<_>>(), [("GH_TOKEN".into(), "a \"b\" c".into())]);
    }

    #[test]
    fn what_no_variable_can_hold() {
        let mut secrets = Secrets::default();
        assert_eq!(secrets.set("GH_TOKEN", String::new()), Err(SecretError::Empty));
        assert!(secrets.set("GH_TOKEN", "a\0b".into()).is_err());
        assert!(secrets.set("GH_TOKEN", "x".repeat(LONGEST + 1)).is_err());
        assert!(secrets.set("LD_PRELOAD", "x".into()).is_err());
        assert_eq!(secrets, Secrets::default());
    }

    #[test]
    fn requests() {
        let text = serde_json::to_vec(&Request::Set("A_KEY".into(), "\u{1}".repeat(LONGEST))).unwrap();
        assert!(matches!(read(&text), Ok(Request::Set(_, value)) if value.len() == LONGEST));
        for bad in ["", "{}", "\"drop\"", "[1]", "{\"set\":[\"A\"]}"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(&vec![b' '; 9 * LONGEST]).is_err());
    }

    /// Reads what comes through a pipe.
    fn read(text: &[u8]) -> io::Result<Request> {
        let (from, mut to) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(io::Write::write_all(&mut to, text)));
            let read = Request::read(&from, Duration::from_secs(10));
            drop(from);
            read
        })
    }

    #[test]
    fn nobody_is_waited_for_forever() {
        let (from, to) = io::pipe().unwrap();
        let late = Request::read(&from, Duration::from_millis(20)).err().map(|error| error.kind());
        assert_eq!(late, Some(io::ErrorKind::TimedOut));
        drop(to);
        assert!(
            Request::read(&from, Duration::from_millis(20))
                .is_err_and(|error| error.kind() == io::ErrorKind::Other)
        );
    }

    #[test]
    fn there_are_no_more_than_an_environment_holds() {
        let mut secrets = Secrets::default();
        for number in 0..MOST {
            secrets.set(&format!("TOKEN_{number}"), "x".into()).unwrap();
        }
        assert_eq!(secrets.set("ONE_MORE", "x".into()), Err(SecretError::TooMany));
        secrets.set("TOKEN_0", "y".into()).unwrap();
    }
}
