//! Absolute paths in normal form.

use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};

/// An absolute path without `.`, `..`, doubled slashes, a trailing slash or control characters.
///
/// It is text, for it comes from the policy; names below a project, which the agent chooses, are bytes and never get here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AbsPath(String);

/// Why a text is not a path in normal form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Relative, or empty.
    #[error("`{0}` is not an absolute path")]
    Relative(String),
    /// `.`, `..`, `//` or a trailing slash.
    #[error("`{0}` is not in normal form: write it without `.`, `..`, doubled or trailing slashes")]
    Form(String),
    /// A control character or NUL.
    #[error("`{0}` has a control character")]
    Control(String),
}

impl AbsPath {
    /// The root directory.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// A path that stands in the program's own text, in normal form.
    pub(crate) fn fixed(path: &'static str) -> Self {
        debug_assert!(Self::try_from(path.to_owned()).is_ok());
        Self(path.to_owned())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for calls of the standard library.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The directory that holds it; none for `/`.
    pub fn parent(&self) -> Option<Self> {
        let cut = self.0.rfind('/')?;
        match (cut, self.0.len()) {
            (_, 1) => None,
            (0, _) => Some(Self::root()),
            _ => Some(Self(self.0[..cut].into())),
        }
    }

    /// All directories above it, the nearest first, `/` last.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// The last component; empty for `/`.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Whether `self` is `dir` or lies below it.
    pub fn is_within(&self, dir: &Self) -> bool {
        dir.0 == "/"
            || self.0.strip_prefix(&dir.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path with more characters at its end.
    #[must_use]
    pub fn with_ending(&self, ending: &str) -> Self {
        Self(format!("{}{ending}", self.0))
    }

    /// The path with one more component, or several parted by slashes.
    #[must_use]
    pub fn join(&self, below: &str) -> Self {
        Self(format!("{}/{below}", if self.0 == "/" { "" } else { &self.0 }))
    }
}

impl TryFrom<String> for AbsPath {
    type Error = PathError;

    fn try_from(path: String) -> Result<Self, PathError> {
        if path.chars().any(char::is_control) {
            return Err(PathError::Control(path.escape_debug().to_string()));
        }
        let Some(below) = path.strip_prefix('/') else { return Err(PathError::Relative(path)) };
        if !below.is_empty() && below.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PathError::Form(path));
        }
        Ok(Self(path))
    }
}

impl std::str::FromStr for AbsPath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        path.to_owned().try_into()
    }
}

impl From<AbsPath> for String {
    fn from(path: AbsPath) -> Self {
        path.0
    }
}

impl AsRef<Path> for AbsPath {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

impl fmt::Display for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> AbsPath {
        text.parse().unwrap()
    }

    #[test]
    fn normal_form() {
        for bad in ["", "a", "/a/", "//", "/a//b", "/a/.", "/../a", "/a\nb", "/a\0"] {
            assert!(bad.parse::<AbsPath>().is_err(), "{bad:?}");
        }
        assert_eq!(p("/").join("etc"), p("/etc"));
    }

    #[test]
    fn ancestors_end_at_the_root() {
        let up: Vec<_> = p("/home/ann/shop").ancestors().map(String::from).collect();
        assert_eq!(up, ["/home/ann", "/home", "/"]);
        assert_eq!(p("/").ancestors().count(), 0);
    }

    #[test]
    fn within_is_by_component() {
        assert!(p("/home/ann").is_within(&p("/home/ann")));
        assert!(p("/home/ann/x").is_within(&p("/home/ann")));
        assert!(!p("/home/anna").is_within(&p("/home/ann")));
        assert!(p("/x").is_within(&p("/")));
    }
}
