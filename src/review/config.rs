//! git's configuration format (git-config(1), "Syntax"), read without git, and which keys matter.

use super::Kind;

/// A key in the form `section.subsection.name`, section and name in lower case, and its value.
pub type Setting = (String, String);

/// Why a text is no configuration: git refuses it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is none of git's configuration")]
pub struct Malformed(pub usize);

/// Reads a configuration. Keys that stand there twice are there twice.
pub fn parse(text: &[u8]) -> Result<Vec<Setting>, Malformed> {
    let text = String::from_utf8_lossy(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut section = String::new();
    let mut found = Vec::new();
    loop {
        reader.skip_blank();
        match reader.rest.peek() {
            None => return Ok(found),
            Some('#' | ';') => reader.skip_line(),
            Some('[') => section = reader.section()?,
            Some(c) if c.is_ascii_alphabetic() && !section.is_empty() => {
                let name = reader.word();
                let value = reader.value()?;
                found.push((format!("{section}.{name}"), value));
            }
            Some(_) => return Err(Malformed(reader.line)),
        }
    }
}

struct Reader<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let mut c = self.rest.next()?;
        if c == '\r' && self.rest.peek() == Some(&'\n') {
            c = self.rest.next()?;
        }
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn skip_blank(&mut self) {
        while self.rest.peek().is_some_and(|c| c.is_whitespace()) {
            self.next();
        }
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '.') {
            word.push(c.to_ascii_lowercase());
        }
        word
    }

    /// `[section]`, `[section "Subsection"]`, or the old `[section.subsection]`.
    fn section(&mut self) -> Result<String, Malformed> {
        let line = self.line;
        self.next();
        let mut section = self.word();
        while self.rest.next_if(|c| *c == ' ' || *c == '\t').is_some() {}
        if self.rest.next_if_eq(&'"').is_some() {
            section.push('.');
            loop {
                match self.next() {
                    Some('"') => break,
                    Some('\\') => section.push(self.next().ok_or(Malformed(line))?),
                    Some('\n') | None => return Err(Malformed(line)),
                    Some(c) => section.push(c),
                }
            }
        }
        if self.next() == Some(']') && !section.is_empty() { Ok(section) } else { Err(Malformed(line)) }
    }

    /// What follows a name: nothing, which means true, or `= value` with quotes, escapes, comments, continued lines.
    fn value(&mut self) -> Result<String, Malformed> {
        let line = self.line;
        while self.rest.next_if(|c| *c == ' ' || *c == '\t').is_some() {}
        match self.rest.peek() {
            None | Some('\n' | '\r' | '#' | ';') => {
                self.skip_line();
                return Ok("true".into());
            }
            Some('=') => self.next(),
            Some(_) => return Err(Malformed(line)),
        };
        let (mut value, mut kept, mut quoted) = (String::new(), 0, false);
        while self.rest.next_if(|c| *c == ' ' || *c == '\t').is_some() {}
        loop {
            match self.next() {
                None | Some('\n') if quoted => return Err(Malformed(line)),
                None | Some('\n') => break,
                Some('#' | ';') if !quoted => {
                    self.skip_line();
                    break;
                }
                Some('"') => quoted = !quoted,
                Some('\\') => match self.next() {
                    Some('\n') => continue,
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some('b') => value.push('\u{8}'),
                    Some(c @ ('"' | '\\')) => value.push(c),
                    _ => return Err(Malformed(line)),
                },
                Some(c) => {
                    value.push(c);
                    if c.is_whitespace() && !quoted {
                        continue;
                    }
                }
            }
            kept = value.len();
        }
        // Blanks at the end that were not in quotes are none of the value.
        value.truncate(kept);
        Ok(value)
    }
}

/// Keys that name a program, or lead to where more orders are. A `*` stands for a subsection.
const COMMANDS: [&str; 45] = [
    "core.fsmonitor",
    "core.hookspath",
    "core.sshcommand",
    "core.pager",
    "core.editor",
    "core.askpass",
    "core.gitproxy",
    "core.worktree",
    "core.alternaterefscommand",
    "core.attributesfile",
    "core.excludesfile",
    "sequence.editor",
    "pager.*",
    "alias.*",
    "alias.*.command",
    "filter.*.clean",
    "filter.*.smudge",
    "filter.*.process",
    "diff.external",
    "diff.*.command",
    "diff.*.textconv",
    "difftool.*.cmd",
    "difftool.*.path",
    "mergetool.*.cmd",
    "mergetool.*.path",
    "merge.*.driver",
    "credential.helper",
    "credential.*.helper",
    "gpg.program",
    "gpg.*.program",
    "gpg.ssh.defaultkeycommand",
    "include.path",
    "includeif.*.path",
    "url.*.insteadof",
    "url.*.pushinsteadof",
    "remote.*.uploadpack",
    "remote.*.receivepack",
    "remote.*.vcs",
    "remote.*.proxy",
    "submodule.*.update",
    "extensions.worktreeconfig",
    "hook.*.command",
    "protocol.*.allow",
    "uploadpack.packobjectshook",
    "http.proxy",
];

/// Keys that git and its users write all the time, and that run nothing.
const HARMLESS: [&str; 25] = [
    "core.repositoryformatversion",
    "core.filemode",
    "core.bare",
    "core.logallrefupdates",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.symlinks",
    "core.autocrlf",
    "core.eol",
    "core.commentchar",
    "user.name",
    "user.email",
    "branch.*.remote",
    "branch.*.merge",
    "branch.*.rebase",
    "branch.*.description",
    "branch.*.vscode-merge-base",
    "branch.*.gh-merge-base",
    "remote.*.fetch",
    "submodule.*.active",
    "pull.rebase",
    "push.default",
    "rebase.autosquash",
    "extensions.objectformat",
    "gc.auto",
];

/// The kind of a key; none for one that is harmless.
pub fn kind(key: &str) -> Option<Kind> {
    if COMMANDS.iter().any(|known| matches(known, key)) {
        Some(Kind::GitCommand)
    } else if HARMLESS.iter().any(|known| matches(known, key)) {
        None
    } else {
        Some(Kind::GitSetting)
    }
}

/// A subsection may have dots of its own, so a pattern is its two ends.
fn matches(known: &str, key: &str) -> bool {
    let Some((before, after)) = known.split_once('*') else { return known == key };
    key.len() > before.len() + after.len() && key.starts_with(before) && key.ends_with(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Setting {
        let found = parse(text.as_bytes()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    }

    #[test]
    fn the_forms_that_git_reads() {
        for (text, key, value) in [
            ("[core]\n\tfsmonitor = sh -c x\n", "core.fsmonitor", "sh -c x"),
            ("[CORE] FSMonitor=x", "core.fsmonitor", "x"),
            ("[core]\r\nfsmonitor = a \\\r\n b # note\r\n", "core.fsmonitor", "a  b"),
            ("[core]\nfsmonitor", "core.fsmonitor", "true"),
            ("[filter \"A \\\"b\"]\nclean = \"x ; y\" ; z\n", "filter.A \"b.clean", "x ; y"),
            ("[branch.Main]\nmerge = y  \n", "branch.main.merge", "y"),
            ("\u{feff}# c\n;d\n[a]b=\"q\"r\\n", "a.b", "qr\n"),
            ("[a \"x]y\"]\nb = 1", "a.x]y.b", "1"),
        ] {
            assert_eq!(one(text), (key.into(), value.into()), "{text:?}");
        }
        for bad in ["x = 1", "[a\nb = 1", "[a]\n= 1", "[a]\nb = \"x", "[]\nb", "[a]\nb = \\q", "[a]\nb c"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keys() {
        let red = Some(Kind::GitCommand);
        for key in [
            "core.fsmonitor",
            "alias.st",
            "filter.a.b.clean",
            "includeif.gitdir:/x/.path",
            "pager.log",
            "diff.x.textconv",
        ] {
            assert_eq!(kind(key), red, "{key}");
        }
        assert_eq!(kind("branch.a.b.merge"), None);
        assert_eq!(kind("remote.origin.url"), Some(Kind::GitSetting));
        assert_eq!(kind("filter.clean"), Some(Kind::GitSetting));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_is_written_in_quotes_is_read_back(sub in "[a-zA-Z0-9 ./_-]{1,12}", value in "[^\\x00-\\x1f\"\\\\]{0,30}") {
            let text = format!("[s \"{sub}\"]\n\tkey = \"{value}\"\n");
            prop_assert_eq!(one(&text), (format!("s.{sub}.key"), value));
        }
    }
}
