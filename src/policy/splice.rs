//! Where things stand in the text of a policy: the extent of nodes, and of the lines that are an entry.

use super::yaml::{Key, Kind, Node};
use std::ops::Range;

/// The text of a policy, looked at by byte.
#[derive(Clone, Copy)]
pub(super) struct Page<'t>(pub(super) &'t str);

/// An entry of a mapping or item of a list, from its first byte to behind its last.
pub(super) struct Entry {
    pub(super) first: usize,
    pub(super) end: usize,
}

impl<'t> Page<'t> {
    /// Whether a list or mapping is written in brackets.
    pub(super) fn is_flow(self, node: &Node<'t>) -> bool {
        matches!(node.kind, Kind::List(_) | Kind::Map(_)) && self.0[node.at.start..].starts_with(['[', '{'])
    }

    /// The byte behind a node; `None` where brackets can't be followed.
    pub(super) fn end(self, node: &Node<'t>) -> Option<usize> {
        let last = self.entries(node)?.last().map(|entry| entry.end);
        if self.is_flow(node) {
            return self.closer(last.unwrap_or(node.at.start + 1)).map(|at| at + 1);
        }
        let end = last.unwrap_or(node.at.start + node.at.len);
        Some(self.0[..end].trim_end().len().max(node.at.start.min(end)))
    }

    /// The entries of a list or mapping, none for anything else.
    pub(super) fn entries(self, node: &Node<'t>) -> Option<Vec<Entry>> {
        let of = |first: usize, node: &Node<'t>| Some(Entry { first, end: self.end(node)? });
        match &node.kind {
            Kind::List(items) => items.iter().map(|item| of(item.at.start, item)).collect(),
            Kind::Map(entries) => entries.iter().map(|(key, value)| of(key.at.start, value)).collect(),
            _ => Some(Vec::new()),
        }
    }

    /// The closing bracket after the last entry of a list or mapping in brackets.
    pub(super) fn closer(self, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let rest = &self.0[at..];
            match rest.chars().next()? {
                ']' | '}' => return Some(at),
                '#' => at += rest.find('\n')?,
                c if c == ',' || c.is_whitespace() => at += c.len_utf8(),
                _ => return None,
            }
        }
    }

    /// The byte behind the colon of a key.
    pub(super) fn behind_colon(self, key: &Key<'t>) -> Option<usize> {
        let behind = key.at.start + key.at.len;
        let rest = &self.0[behind..];
        let colon = rest.find(|c: char| c != ' ')?;
        rest[colon..].starts_with(':').then_some(behind + colon + 1)
    }

    /// The first byte of the line of a byte.
    pub(super) fn line_start(self, at: usize) -> usize {
        self.0[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// The byte behind the line of a byte, its newline included.
    pub(super) fn line_end(self, at: usize) -> usize {
        self.0[at..].find('\n').map_or(self.0.len(), |newline| at + newline + 1)
    }

    /// The line of a byte, from 1.
    pub(super) fn line(self, at: usize) -> usize {
        self.0[..at].matches('\n').count() + 1
    }

    /// The column of the key, or of the dash of the item, that starts at a byte; `None` where something else stands
    /// before it on its line.
    pub(super) fn column(self, first: usize) -> Option<usize> {
        let before = &self.0[self.line_start(first)..first];
        let bare = before.trim_end_matches(' ');
        let column = bare.strip_suffix('-').unwrap_or(before);
        column.chars().all(|c| c == ' ').then_some(column.len())
    }

    /// The whole lines of an entry, with the comments below it that are indented deeper than it is.
    pub(super) fn lines(self, entry: &Entry) -> Option<Range<usize>> {
        let column = self.column(entry.first)?;
        let mut end = self.line_end(entry.end);
        let mut next = end;
        while next < self.0.len() {
            let line = &self.0[next..self.line_end(next)];
            let bare = line.trim_start_matches(' ');
            let deeper = line.len() - bare.len() > column;
            if !(bare.starts_with('#') && deeper) {
                break;
            }
            next = self.line_end(next);
            end = next;
        }
        Some(self.line_start(entry.first)..end)
    }

    /// The same, with the comments right above it that are indented as it is.
    pub(super) fn lines_with_heading(self, entry: &Entry) -> Option<Range<usize>> {
        let column = self.column(entry.first)?;
        let mut lines = self.lines(entry)?;
        while lines.start > 0 {
            let above = self.line_start(lines.start - 1);
            let line = &self.0[above..lines.start];
            let bare = line.trim_start_matches(' ');
            if !(bare.starts_with('#') && line.len() - bare.len() == column) {
                break;
            }
            lines.start = above;
        }
        Some(lines)
    }

    /// The text with a range replaced, new lines ending as the others do.
    pub(super) fn replace(self, range: Range<usize>, with: &str) -> String {
        let with = if self.0.contains("\r\n") { with.replace('\n', "\r\n") } else { with.into() };
        let (before, after) = (&self.0[..range.start], &self.0[range.end..]);
        let whole_lines = with.ends_with('\n');
        let newline = if whole_lines && !before.is_empty() && !before.ends_with('\n') { "\n" } else { "" };
        format!("{before}{newline}{with}{after}")
    }
}
