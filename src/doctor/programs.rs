//! Attempts by programs that macOS brings along: each asks a service of the human's login session, and is judged by what came
//! back. They are in no need of macOS to be tested.

use super::probe::{Seen, worst};
use crate::host::{Program, bounded};
use std::{io, path::Path, process::Command, time::Duration};

/// The longest answer that is looked at.
const LONGEST: u64 = 64 * 1024;

/// A program, its arguments, and how long it may take: macOS may put a question on the screen, which nobody has to answer.
pub struct Attempt<'a> {
    /// The program; `None` where it is not there.
    pub program: Option<&'a Path>,
    /// Its arguments.
    pub args: &'a [&'a str],
    /// How long it may take.
    pub patience: Duration,
}

impl Attempt<'_> {
    /// What it said where it succeeded; else what it is judged by.
    fn answer(&self) -> Result<String, Seen> {
        let Some(program) = self.program else { return Err(Seen::Untold("the program is not there".into())) };
        let mut command = Command::new(program);
        command.args(self.args);
        match bounded::output(command, LONGEST, self.patience) {
            Ok(said) if said.status.success() => Ok(said.text()),
            Ok(said) => {
                let first = String::from_utf8_lossy(&said.stderr);
                let first = first.lines().next().unwrap_or_default().trim().chars().take(200);
                let first: String = first.collect::<String>().escape_debug().collect();
                Err(Seen::Closed(if first.is_empty() { said.status.to_string() } else { first }))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(Seen::Closed(error.to_string()))
            }
            Err(error) => Err(Seen::Untold(error.to_string())),
        }
    }

    /// Success is an opening.
    pub fn succeeds(&self, open: &str) -> Seen {
        self.answer().map_or_else(|seen| seen, |_| Seen::Open(open.into()))
    }

    /// An answer that is not empty is an opening. What it is, is not told.
    pub fn answers(&self, open: &str, nothing: &str) -> Seen {
        match self.answer() {
            Ok(said) if said.trim().is_empty() => Seen::Closed(nothing.into()),
            Ok(_) => Seen::Open(open.into()),
            // More than is looked at is an answer, too.
            Err(Seen::Untold(why)) if why.starts_with("it said more than") => Seen::Open(open.into()),
            Err(seen) => seen,
        }
    }

    /// Whatever it says is an opening, but for a refusal with this in it.
    pub fn refuses(&self, needle: &str, open: &str) -> Seen {
        match self.answer() {
            Err(Seen::Closed(why)) if !why.contains(needle) => Seen::Open(open.into()),
            Ok(_) => Seen::Open(open.into()),
            Err(seen) => seen,
        }
    }

    /// An answer with this in it is an opening.
    pub fn tells(&self, needle: &str, open: &str) -> Seen {
        match self.answer() {
            Ok(said) if said.contains(needle) => Seen::Open(open.into()),
            Ok(said) => {
                let first: String =
                    said.lines().next().unwrap_or_default().trim().chars().take(200).collect();
                Seen::Closed(format!("it says `{}`", first.escape_debug()))
            }
            Err(seen) => seen,
        }
    }
}

/// A program of the system with some seconds of time.
pub fn attempt<T>(program: Program, args: &[&str], judge: impl Fn(Attempt) -> T) -> T {
    let path = program.path();
    judge(Attempt { program: path.as_deref(), args, patience: Duration::from_secs(5) })
}

/// The keychain of a home: its file, and whether `security` has it among those that it looks through.
pub fn keychains(home: &Path) -> Seen {
    let file = home.join("Library/Keychains/login.keychain-db");
    let opened = super::probe::judged(std::fs::File::open(&file), &format!("{} can be read", file.display()));
    let needle = format!("{}/", home.display());
    let listed = attempt(Program::Security, &["list-keychains"], |security| {
        security.tells(&needle, "`security list-keychains` has yours")
    });
    worst([opened, listed].into_iter(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(line: &str, judge: impl Fn(Attempt) -> Seen) -> Seen {
        let args = ["-c", line];
        judge(Attempt {
            program: Some(Path::new("/bin/sh")),
            args: &args,
            patience: Duration::from_millis(500),
        })
    }

    #[test]
    fn only_what_came_back_is_an_opening() {
        let (open, closed) = (Seen::Open("o".into()), |why: &str| Seen::Closed(why.into()));
        assert_eq!(sh("true", |a| a.succeeds("o")), open);
        assert_eq!(sh("echo 'LSOpen -600' >&2; exit 1", |a| a.succeeds("o")), closed("LSOpen -600"));
        assert_eq!(sh("exit 36", |a| a.succeeds("o")), closed("exit status: 36"));
        assert_eq!(sh("echo secret", |a| a.answers("o", "n")), open);
        assert_eq!(sh("echo", |a| a.answers("o", "n")), closed("n"));
        assert_eq!(sh("head -c 99999 /dev/zero", |a| a.answers("o", "n")), open);
        assert_eq!(
            sh("echo 'crontab: no crontab for bot' >&2; exit 1", |a| a.refuses("not allowed", "o")),
            open
        );
        assert_eq!(sh("true", |a| a.refuses("not allowed", "o")), open);
        let refused = "crontab: you (bot) are not allowed to use this program";
        let line = format!("echo '{refused}' >&2; exit 1");
        assert_eq!(sh(&line, |a| a.refuses("not allowed", "o")), closed(refused));
        assert_eq!(sh("echo Aqua", |a| a.tells("Aqua", "o")), open);
        assert_eq!(sh("echo Background", |a| a.tells("Aqua", "o")), closed("it says `Background`"));
    }

    #[test]
    fn what_does_not_end_or_is_not_there_tells_nothing() {
        assert!(matches!(sh("exec sleep 60", |a| a.succeeds("o")), Seen::Untold(_)));
        assert!(matches!(sh("echo x; exec sleep 60", |a| a.answers("o", "n")), Seen::Untold(_)));
        let missing = Attempt { program: None, args: &[], patience: Duration::ZERO };
        assert!(matches!(missing.succeeds("o"), Seen::Untold(_)));
    }

    #[test]
    fn escape_sequences_stay_where_they_are() {
        let seen = sh("printf '\\033]52;c;x\\007' >&2; exit 1", |a| a.succeeds("o"));
        let Seen::Closed(why) = seen else { panic!("{seen:?}") };
        assert!(!why.contains('\x1b') && why.contains("52;c;x"), "{why}");
    }

    #[test]
    fn a_keychain_that_can_be_read_is_an_opening() {
        let home = tempfile::tempdir().unwrap();
        assert!(!matches!(keychains(home.path()), Seen::Open(_)));
        std::fs::create_dir_all(home.path().join("Library/Keychains")).unwrap();
        std::fs::write(home.path().join("Library/Keychains/login.keychain-db"), "").unwrap();
        assert!(matches!(keychains(home.path()), Seen::Open(_)));
    }
}
