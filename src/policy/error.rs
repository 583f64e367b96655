//! What is wrong in a policy file, where, and what to write instead.
//!
//! Whatever comes from the file is escaped before it is shown: a policy that somebody was talked into checking must not
//! drive the terminal it is checked on.

use std::fmt::{self, Write as _};

/// Everything found wrong in one policy file, in the file's order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.listing())]
pub struct PolicyError {
    file: String,
    problems: Vec<Problem>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong, with the offending text.
    pub message: String,
    /// What to write instead.
    pub hint: String,
    source: String,
    width: u32,
}

/// Why a value is refused, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub(super) message: String,
    pub(super) hint: String,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// What to write instead.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

/// A place in the text: where something starts, and how much of the line it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) start: usize,
    pub(super) len: usize,
}

impl Place {
    pub(super) fn problem(self, text: &str, refusal: &Refusal) -> Problem {
        let source = text.lines().nth((self.line as usize).saturating_sub(1)).unwrap_or_default();
        let covered = text.get(self.start..self.start + self.len).unwrap_or_default();
        let width = covered.lines().next().unwrap_or_default().trim_end().chars().count().max(1);
        Problem {
            line: self.line,
            column: self.column,
            message: escape(&refusal.message),
            hint: escape(&refusal.hint),
            source: source.into(),
            width: u32::try_from(width).unwrap_or(1),
        }
    }
}

impl PolicyError {
    pub(super) fn new(file: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Self { file: file.into(), problems }
    }

    /// The faults, in the file's order; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What to write instead, one line a fault.
    pub fn hint(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for problem in &self.problems {
            let line = match self.problems.len() {
                1 => problem.hint.clone(),
                _ => format!("line {}: {}", problem.line, problem.hint),
            };
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines.join("\n")
    }

    fn listing(&self) -> String {
        let mut out = String::new();
        for (i, problem) in self.problems.iter().enumerate() {
            let between = if i == 0 { "" } else { "\n" };
            let file = escape(&self.file);
            let Problem { line, column, message, .. } = problem;
            let _ = write!(out, "{between}{file}:{line}:{column}: {message}\n{}", Snippet(problem));
        }
        out
    }
}

/// The source line with a caret below what is meant.
struct Snippet<'a>(&'a Problem);

/// Characters shown of a long line, before and after the column.
const BEFORE: usize = 60;
const SHOWN: usize = 100;

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = self.0;
        let column = (problem.column as usize).saturating_sub(1);
        let skip = if column > BEFORE + 20 { column - BEFORE } else { 0 };
        let chars = || problem.source.chars().skip(skip);
        let before: String = chars().take(column - skip).collect();
        let meant: String = chars().skip(column - skip).take(problem.width as usize).collect();
        let cut = |on: bool| if on { "…" } else { "" };
        let line = escape(&chars().take(SHOWN).collect::<String>());
        let more = problem.source.chars().nth(skip + SHOWN).is_some();
        let gutter = " ".repeat(problem.line.to_string().len());
        let indent = escape(&before).chars().count() + usize::from(skip > 0);
        let carets = escape(&meant).chars().count().clamp(1, SHOWN.saturating_sub(column - skip).max(1));
        writeln!(f, " {} | {}{line}{}", problem.line, cut(skip > 0), cut(more))?;
        write!(f, " {gutter} | {}{}", " ".repeat(indent), "^".repeat(carets))
    }
}

/// Text from the file as it may be shown: control characters, and those that change the direction or hide, as escapes, and
/// tabs as spaces.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            c if c.is_control() || is_hidden(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Text from the file between backquotes, escaped and cut to a length that fits a message.
pub(super) fn quote(text: &str) -> String {
    let mut shown = escape(&text.replace('\t', "\\t")).replace('`', "'");
    if let Some((cut, _)) = shown.char_indices().nth(60) {
        shown.truncate(cut);
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says_never_reaches_the_terminal_raw() {
        assert_eq!(escape("a\u{1b}]52;c;x\u{7}b\u{202e}c"), "a\\u{1b}]52;c;x\\u{7}b\\u{202e}c");
        assert_eq!(quote("x\ty`z\n"), "`x\\ty'z\\n`");
        assert_eq!(quote(&"ä".repeat(99)).chars().count(), 63);
    }

    #[test]
    fn the_caret_stands_below_the_text_also_on_long_lines() {
        let text = format!("{}bad", " ".repeat(200));
        let place = Place { line: 1, column: 201, start: 200, len: 3 };
        let error = PolicyError::new("p", vec![place.problem(&text, &Refusal::new("m", "h"))]);
        let shown = error.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1].find("bad").map(|at| lines[1][..at].chars().count()), lines[2].find('^'));
        assert_eq!(lines[2].matches('^').count(), 3);
    }
}
