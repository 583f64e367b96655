//! The child that looks confines itself, by Landlock and seccomp.

pub(super) use super::outside::{Errand, answer as outside};

use crate::{host::itself, launch::confine, model::AbsPath};
use std::{io, process::Command};

/// The beginning of the child's command line.
#[expect(clippy::unnecessary_wraps, reason = "on macOS a program may not be there")]
pub(super) fn child(_: &[AbsPath]) -> io::Result<Command> {
    let mut command = Command::new(itself());
    command.arg("look");
    Ok(command)
}

/// From here on the child can open nothing but these, and only to read.
pub(super) fn only_read(projects: &[AbsPath]) -> io::Result<()> {
    confine::only_read(projects).map_err(io::Error::other)
}

/// From here on the child can list directories, and open no file at all.
pub(super) fn only_list() -> io::Result<()> {
    confine::only_list().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use crate::{host::dir::Dir, review::look};
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_that_leads_out_by_another() {
        let temp = tempfile::tempdir().unwrap();
        let project = temp.path().canonicalize().unwrap().join("project");
        std::fs::create_dir_all(project.join("wt/deep")).unwrap();
        // By their text both stay inside; what the first passes through does not.
        for (link, target) in [("wt/top", ".."), ("wound", "wt/top/../x"), ("straight", "wt/deep/../x")] {
            symlink(target, project.join(link)).unwrap();
        }
        let found = look::of(&Dir::open(&project).unwrap());
        let told = |name: &str| found.0.keys().any(|thing| thing.path == name);
        assert!(told("wound") && !told("straight"), "{found:#?}");
    }
}
