//! Programs by absolute path, with a clean environment and no shell.

use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

/// Directories that only root writes, in the order in which programs are looked for.
const TRUSTED: [&str; 5] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/run/current-system/sw/bin"];

/// `PATH` of every program that is run, and of libraries that look programs up themselves.
pub const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin";

/// A program of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the program of its name")]
pub enum Program {
    Useradd,
    Userdel,
    Usermod,
    Groupadd,
    Groupdel,
    Gpasswd,
    Iptables,
    Ip6tables,
    IptablesSave,
    Ip6tablesSave,
    IptablesRestore,
    Ip6tablesRestore,
    Ipset,
    Nft,
    Visudo,
    Sshd,
    Systemctl,
    Loginctl,
    Sudo,
    Getent,
    Crontab,
    At,
    Curl,
    Dscl,
    Dseditgroup,
    Dscacheutil,
    Id,
    Chmod,
    Cp,
    Mv,
    Rm,
    Ls,
    Pfctl,
    Launchctl,
    Tcpdump,
    Ifconfig,
    Ps,
    Pbpaste,
    Osascript,
    Open,
    Security,
    SandboxExec,
    SshKeygen,
}

impl Program {
    /// Its file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Useradd => "useradd",
            Self::Userdel => "userdel",
            Self::Usermod => "usermod",
            Self::Groupadd => "groupadd",
            Self::Groupdel => "groupdel",
            Self::Gpasswd => "gpasswd",
            Self::Iptables => "iptables",
            Self::Ip6tables => "ip6tables",
            Self::IptablesSave => "iptables-save",
            Self::Ip6tablesSave => "ip6tables-save",
            Self::IptablesRestore => "iptables-restore",
            Self::Ip6tablesRestore => "ip6tables-restore",
            Self::Ipset => "ipset",
            Self::Nft => "nft",
            Self::Visudo => "visudo",
            Self::Sshd => "sshd",
            Self::Systemctl => "systemctl",
            Self::Loginctl => "loginctl",
            Self::Sudo => "sudo",
            Self::Getent => "getent",
            Self::Crontab => "crontab",
            Self::At => "at",
            Self::Curl => "curl",
            Self::Dscl => "dscl",
            Self::Dseditgroup => "dseditgroup",
            Self::Dscacheutil => "dscacheutil",
            Self::Id => "id",
            Self::Chmod => "chmod",
            Self::Cp => "cp",
            Self::Mv => "mv",
            Self::Rm => "rm",
            Self::Ls => "ls",
            Self::Pfctl => "pfctl",
            Self::Launchctl => "launchctl",
            Self::Tcpdump => "tcpdump",
            Self::Ifconfig => "ifconfig",
            Self::Ps => "ps",
            Self::Pbpaste => "pbpaste",
            Self::Osascript => "osascript",
            Self::Open => "open",
            Self::Security => "security",
            Self::SandboxExec => "sandbox-exec",
            Self::SshKeygen => "ssh-keygen",
        }
    }

    /// Where it is, or `None` where no trusted directory has it.
    pub fn path(self) -> Option<PathBuf> {
        TRUSTED.iter().map(|dir| Path::new(dir).join(self.name())).find(|path| path.exists())
    }
}

/// One run of a program: arguments and standard input are all that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: Program,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it reads.
    pub stdin: Vec<u8>,
}

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It is not installed.
    #[error("`{}` is not installed", .0.name())]
    Missing(Program),
    /// It could not be started or fed.
    #[error("`{command}` could not be run: {source}")]
    Start {
        /// The command line.
        command: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It ended with another status than 0.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said, escaped.
        stderr: String,
    },
}

impl Command {
    /// A run with these arguments and empty standard input.
    pub fn new<S: Into<String>>(program: Program, args: impl IntoIterator<Item = S>) -> Self {
        Self { program, args: args.into_iter().map(Into::into).collect(), stdin: Vec::new() }
    }

    /// The same run, reading `text`.
    #[must_use]
    pub fn reading(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    /// The command line as a person would type it.
    pub fn line(&self) -> String {
        let quote = |arg: &String| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&b);
            if !arg.is_empty() && arg.bytes().all(plain) { arg.clone() } else { format!("{arg:?}") }
        };
        std::iter::once(self.program.name().to_owned())
            .chain(self.args.iter().map(quote))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs it to its end and answers what it printed, whatever its status.
    pub fn output(&self) -> Result<Output, CommandError> {
        self.output_from(Some(Path::new("/")))
    }

    /// The same, in the directory that this process is in.
    pub fn output_here(&self) -> Result<Output, CommandError> {
        self.output_from(None)
    }

    fn output_from(&self, directory: Option<&Path>) -> Result<Output, CommandError> {
        let start = |source| CommandError::Start { command: self.line(), source };
        let path = self.program.path().ok_or(CommandError::Missing(self.program))?;
        let mut command = std::process::Command::new(path);
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        let mut child = command
            .args(&self.args)
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .env("LC_ALL", "C")
            .stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        // The input is written from a thread of its own: a program that prints before it has read all can't block us.
        let feed = child.stdin.take().map(|mut pipe| {
            let text = self.stdin.clone();
            std::thread::spawn(move || pipe.write_all(&text))
        });
        let output = child.wait_with_output().map_err(start)?;
        if let Some(feed) = feed {
            match feed.join() {
                Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => return Err(start(error)),
                _ => {}
            }
        }
        Ok(output)
    }

    /// Turns a failed run into an error.
    pub fn expect_success(&self, output: Output) -> Result<Output, CommandError> {
        if output.status.success() {
            return Ok(output);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stderr = stderr.trim().escape_debug().to_string().replace("\\n", "\n    ").replace("\\'", "'");
        let stderr =
            if stderr.is_empty() { "it said nothing".to_owned() } else { stderr.replace("\\\"", "\"") };
        Err(CommandError::Failed { command: self.line(), status: output.status, stderr })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_can_be_typed() {
        let command = Command::new(Program::Useradd, ["-c", "a b", "", "t_x"]);
        assert_eq!(command.line(), r#"useradd -c "a b" "" t_x"#);
    }
}
