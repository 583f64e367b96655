//! A human with an account, a home and a project.

use super::{
    Outcome, Terminal, finish,
    outcome::{self, system},
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where programs are looked for, by the human and by those who start it.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// An account `t_…`, removed with its home when it is dropped.
pub(crate) struct Human {
    pub(crate) name: String,
    pub(crate) home: PathBuf,
    pub(crate) uid: u32,
    netns: String,
}

impl Human {
    pub(super) fn new(name: &str, netns: &str) -> Self {
        assert!(name.starts_with("t_"));
        system(&["useradd", "--create-home", "--shell", "/bin/bash", name]);
        let uid = system(&["id", "-u", name]).parse().expect("a uid");
        let human = Self { name: name.into(), home: Path::new("/home").join(name), uid, netns: netns.into() };
        fs::set_permissions(&human.home, std::os::unix::fs::PermissionsExt::from_mode(0o750))
            .expect("the home");
        human.make_dir("shop");
        human.write("shop/prices", "tea 2\n");
        human
    }

    /// The project, which tests share.
    pub(crate) fn project(&self) -> PathBuf {
        self.home.join("shop")
    }

    /// Makes a directory below the home.
    pub(crate) fn make_dir(&self, name: &str) -> PathBuf {
        let path = self.home.join(name);
        system(&[
            "install".as_ref(),
            "-d".as_ref(),
            "-o".as_ref(),
            self.name.as_ref(),
            "-g".as_ref(),
            self.name.as_ref(),
            path.as_os_str(),
        ]);
        path
    }

    /// Writes a file below the home.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.join(name);
        fs::write(&path, text).expect("a file");
        std::os::unix::fs::chown(&path, Some(self.uid), Some(self.uid)).expect("its owner");
        path
    }

    /// A command of this human's, in the namespace, in the project, with a plain environment and no terminal. Its process
    /// is the one that is started: nothing waits between it and the test.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, argv: &[S]) -> Command {
        self.command_behind(&["setsid"], argv)
    }

    fn command_behind<S: AsRef<OsStr>>(&self, before: &[&str], argv: &[S]) -> Command {
        let mut all: Vec<OsString> = before.iter().map(Into::into).collect();
        all.extend(["ip", "netns", "exec", &self.netns].map(Into::into));
        all.extend(["setpriv".into(), format!("--reuid={}", self.name).into()]);
        all.extend([format!("--regid={}", self.name).into(), "--init-groups".into(), "--".into()]);
        all.extend(argv.iter().map(|argument| argument.as_ref().to_owned()));
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).env_clear().current_dir(self.project());
        command.envs([("PATH", PATH), ("TERM", "xterm"), ("LANG", "C.UTF-8")]);
        command.envs([("USER", &self.name), ("LOGNAME", &self.name)]);
        command.env("HOME", &self.home).env("SHELL", "/bin/bash");
        command
    }

    /// Runs a command to its end, with empty input.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(&self, argv: &[S]) -> Outcome {
        finish(self.command(argv), b"")
    }

    /// Runs a line of sh(1) to its end; `"$@"` are the arguments.
    #[track_caller]
    pub(crate) fn sh(&self, line: &str, arguments: &[&str]) -> Outcome {
        self.run(&[&["sh", "-c", line, "sh"], arguments].concat())
    }

    /// Starts a command on a terminal of its own.
    pub(crate) fn terminal<S: AsRef<OsStr>>(&self, argv: &[S]) -> Terminal {
        Terminal::start(self.command_behind(&["setsid", "--ctty"], argv), self.uid)
    }
}

impl Drop for Human {
    fn drop(&mut self) {
        outcome::end_processes(self.uid);
        outcome::attempt(&["userdel", "--remove", "--force", &self.name]);
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// A right to everything through sudo, with a password, as an administrator has it; gone when it is dropped.
pub(crate) struct Administrator(String);

impl Administrator {
    /// Gives it to the first human by a drop-in of this name.
    pub(crate) fn new(machine: &super::Machine, drop_in: &str, password: &str) -> Self {
        let (name, file) = (&machine.human().name, format!("/etc/sudoers.d/{drop_in}"));
        machine.feed(&["chpasswd"], &format!("{name}:{password}\n"));
        fs::write(&file, format!("{name} ALL=(ALL:ALL) ALL\n")).expect("a drop-in");
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o440)).expect("its mode");
        Self(file)
    }
}

impl Drop for Administrator {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
