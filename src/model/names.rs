//! Names that the agent chose: bytes, kept exactly, and shown so that no terminal obeys them.

use serde::{Deserialize, Serialize};
use std::{ffi::OsStr, fmt, os::unix::ffi::OsStrExt, path::PathBuf};

/// A path or name as bytes. As text, and in JSON, a backslash is doubled and every byte that is not part of a printable
/// UTF-8 character is `\xNN`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathBytes(Vec<u8>);

/// Why a text is not a path in escaped form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` has a backslash that is not `\\\\` or `\\xNN`")]
pub struct EscapeError(String);

impl PathBytes {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for calls of the standard library.
    pub fn to_path(&self) -> PathBuf {
        OsStr::from_bytes(&self.0).into()
    }
}

impl From<&[u8]> for PathBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Display for PathBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str(r"\\")?,
                    c if c.is_control() || is_format(c) => {
                        c.encode_utf8(&mut [0; 4]).bytes().try_for_each(|b| write!(f, r"\x{b:02x}"))?;
                    }
                    c => write!(f, "{c}")?,
                }
            }
            chunk.invalid().iter().try_for_each(|b| write!(f, r"\x{b:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for PathBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// Characters that reorder or hide text (Unicode bidirectional controls, zero width and separators).
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A text of several lines without what a terminal would take for a command, or would hide or reorder.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() || is_format(c) => {
                shown.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!(r"\x{byte:02x}")));
            }
            c => shown.push(c),
        }
    }
    shown
}

impl From<PathBytes> for String {
    fn from(path: PathBytes) -> Self {
        path.to_string()
    }
}

impl TryFrom<String> for PathBytes {
    type Error = EscapeError;

    fn try_from(text: String) -> Result<Self, EscapeError> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            let (byte, after) = match (first, after) {
                (b'\\', [b'\\', after @ ..]) => (b'\\', after),
                (b'\\', [b'x', high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => (high << 4 | low, after),
                    _ => return Err(EscapeError(text)),
                },
                (b'\\', _) => return Err(EscapeError(text)),
                _ => (first, after),
            };
            bytes.push(byte);
            rest = after;
        }
        Ok(Self(bytes))
    }
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// How many there are, and the first of them: a report stays small however much the agent put into a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed<T> {
    /// How many there are.
    pub total: u64,
    /// The first, at most [`Listed::LIMIT`].
    pub first: Vec<T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { total: 0, first: Vec::new() }
    }
}

impl<T> Listed<T> {
    /// How many are kept.
    pub const LIMIT: usize = 100;

    /// Counts one more, and keeps it where there is room.
    pub fn push(&mut self, item: impl FnOnce() -> T) {
        self.total += 1;
        if self.first.len() < Self::LIMIT {
            self.first.push(item());
        }
    }

    /// Adds the others.
    pub fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.first.extend(other.first.into_iter().take(Self::LIMIT - self.first.len()));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shown_without_harm() {
        let show = |bytes: &[u8]| PathBytes::from(bytes).to_string();
        assert_eq!(show(b"a\n\x1b[2J\\\xff"), r"a\x0a\x1b[2J\\\xff");
        assert_eq!(show("ä\u{202e}".as_bytes()), r"ä\xe2\x80\xae");
        assert!(PathBytes::try_from(r"\x4".to_owned()).is_err());
    }

    #[test]
    fn texts_without_harm() {
        assert_eq!(
            harmless("a\n\tb\x1b]0;x\x07\u{202e}\u{9b}ä"),
            "a\n\tb\\x1b]0;x\\x07\\xe2\\x80\\xae\\xc2\\x9bä"
        );
    }

    proptest! {
        #[test]
        fn round_trip(bytes: Vec<u8>) {
            let path = PathBytes(bytes);
            prop_assert_eq!(PathBytes::try_from(path.to_string()).unwrap(), path);
        }
    }
}
