//! The agent's tokens: variables of its environment that stand in a file of their own, for the policy can be read by all.
//!
//! The file is root's, and the agent's group reads it: what runs as the agent sees its tokens and can't change which ones
//! later sessions get. The values come from the human's keyboard or a pipe, never from a command line or the human's files.

use crate::{
    host::{Act, FileState, HostError, Validator, places},
    model::{AbsPath, AccountName, Gid, Uid},
    policy,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io::Read};

/// The longest value, in bytes: one argument or variable of execve(2) may have 128 KiB.
pub const LONGEST: usize = 64 * 1024;

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
    /// Reads a request that is no longer than one can be.
    pub fn from(input: impl Read) -> std::io::Result<Self> {
        let mut text = Vec::new();
        // A value is escaped to six bytes for one at most.
        input.take(8 * LONGEST as u64).read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(|_| std::io::Error::other("not a request for tokens"))
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
        assert!(matches!(Request::from(&text[..]), Ok(Request::Set(_, value)) if value.len() == LONGEST));
        for bad in ["", "{}", "\"drop\"", "[1]", "{\"set\":[\"A\"]}"] {
            assert!(Request::from(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
