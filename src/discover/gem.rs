//! `RubyGems`: `gem sources --list`.

use super::Found;

/// Reads the sources of `RubyGems`: one address a line, below a heading.
pub fn gem(list: &str) -> Found {
    let mut found = Found::default();
    for line in list.lines().map(str::trim).filter(|line| line.contains("://")) {
        found.url("gem", "sources", line);
    }
    if found == Found::default() {
        found.notes.push("gem: it lists no source".into());
    }
    found
}
