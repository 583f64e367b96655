//! Files of the system, which only root writes: read without following links, replaced as a whole.

use super::{
    Command, DirState, FileState, HostError, Installed, Program, Validator,
    modes::{bits, mode},
};
use crate::model::{AbsPath, Gid, Uid};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fchown, fstat, fsync, open, rename, stat, statat};
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
};

/// Reads a regular file; `None` where there is nothing.
pub(super) fn read(path: &AbsPath) -> Result<Option<FileState>, HostError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match open(path.as_str(), flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => {
            return Err(HostError::Unexpected { path: path.to_string(), is: "is a symbolic link".into() });
        }
        Err(errno) => return Err(HostError::path("can't read", path, errno)),
    };
    let error = |source: std::io::Error| HostError::path("can't read", path, source);
    let is = rustix::fs::fstat(&file).map_err(|errno| error(errno.into()))?;
    if FileType::from_raw_mode(is.st_mode) != FileType::RegularFile {
        return Err(HostError::Unexpected { path: path.to_string(), is: "is not a regular file".into() });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(is.st_size).unwrap_or_default());
    File::from(file).read_to_end(&mut bytes).map_err(error)?;
    Ok(Some(FileState { bytes, mode: bits(is.st_mode), uid: Uid(is.st_uid), gid: Gid(is.st_gid) }))
}

/// The file behind `path` where the running program was started from it: an executable that runs can't be written to, so
/// its content needs no look.
fn running_from(path: &AbsPath) -> Option<Installed> {
    let is = statat(rustix::fs::CWD, path.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let running = stat(super::itself().as_path()).ok()?;
    ((is.st_dev, is.st_ino) == (running.st_dev, running.st_ino)).then_some(Installed {
        same: true,
        mode: bits(is.st_mode),
        uid: Uid(is.st_uid),
        gid: Gid(is.st_gid),
    })
}

/// Looks at a directory; `None` where there is nothing.
pub(super) fn directory(path: &AbsPath) -> Result<Option<DirState>, HostError> {
    match statat(rustix::fs::CWD, path.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(is) if FileType::from_raw_mode(is.st_mode) == FileType::Directory => {
            Ok(Some(DirState { mode: bits(is.st_mode), uid: Uid(is.st_uid), gid: Gid(is.st_gid) }))
        }
        Ok(_) => Err(HostError::Unexpected { path: path.to_string(), is: "is not a directory".into() }),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(errno) => Err(HostError::path("can't look at", path, errno)),
    }
}

/// The file beside `path` that [`write()`] fills. sudo ignores it for its dot, sshd for its ending.
fn beside(path: &AbsPath) -> AbsPath {
    let name = format!(".{}.agentuser-new", path.name());
    path.parent().unwrap_or_else(AbsPath::root).join(&name)
}

/// Replaces a file: a new one beside it, on the disk, checked, renamed over it.
pub(super) fn write(path: &AbsPath, file: &FileState, validator: Validator) -> Result<(), HostError> {
    let new = beside(path);
    let error = |source: std::io::Error| HostError::path("can't write", path, source);
    unlink(&new)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut to =
        File::from(open(new.as_str(), flags, Mode::from(0o600)).map_err(|errno| error(errno.into()))?);
    let filled = to.write_all(&file.bytes).and_then(|()| {
        let (uid, gid, is) = (file.uid.0, file.gid.0, fstat(&to)?);
        // Our units may write what is root's, and give nothing away.
        if (is.st_uid, is.st_gid) != (uid, gid) {
            let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            fchown(&to, Some(uid), Some(gid))?;
        }
        fchmod(to.as_fd(), mode(file.mode))?;
        Ok(fsync(to.as_fd())?)
    });
    let checked = filled.map_err(error).and_then(|()| validate(&new, validator));
    if checked.is_err() {
        unlink(&new)?;
    }
    checked?;
    rename(new.as_str(), path.as_str()).map_err(|errno| error(errno.into()))?;
    sync_parent(path)
}

fn validate(new: &AbsPath, validator: Validator) -> Result<(), HostError> {
    let command = match validator {
        Validator::Nobody => return Ok(()),
        Validator::Visudo => Command::new(Program::Visudo, ["-cf", new.as_str()]),
        Validator::Sshd => Command::new(Program::Sshd, ["-t", "-f", new.as_str()]),
    };
    let output = command.output()?;
    // sshd -t also fails where the machine lacks host keys or /run/sshd; only a fault in the file concerns us.
    let names_the_file = String::from_utf8_lossy(&output.stderr).contains(new.as_str());
    if validator == Validator::Sshd && !names_the_file {
        return Ok(());
    }
    command.expect_success(output)?;
    Ok(())
}

/// Removes a file and what an interrupted [`write()`] left beside it.
pub(super) fn remove(path: &AbsPath) -> Result<(), HostError> {
    if path.parent().is_some_and(|dir| stat(dir.as_str()).is_err()) {
        return Ok(());
    }
    unlink(&beside(path))?;
    unlink(path)?;
    sync_parent(path)
}

fn unlink(path: &AbsPath) -> Result<(), HostError> {
    match rustix::fs::unlink(path.as_str()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(HostError::path("can't remove", path, errno)),
    }
}

fn sync_parent(path: &AbsPath) -> Result<(), HostError> {
    let dir = path.parent().unwrap_or_else(AbsPath::root);
    let error = |errno| HostError::path("can't write", &dir, errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fsync(open(dir.as_str(), flags, Mode::empty()).map_err(error)?).map_err(error)
}

/// Names in a directory; none where there is no such directory.
pub(super) fn names(path: &AbsPath) -> Result<Vec<String>, HostError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(HostError::path("can't list", path, error)),
    };
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// The program that is running now.
pub(super) fn program() -> Result<Vec<u8>, HostError> {
    let itself = super::itself();
    std::fs::read(&itself).map_err(|error| HostError::path("can't read", itself.display(), error))
}

/// How a file compares with the program that is running now; `None` where there is nothing.
pub(super) fn installed(path: &AbsPath) -> Result<Option<Installed>, HostError> {
    // After setup the installed copy itself is what runs, all megabytes of it.
    if let Some(itself) = running_from(path) {
        return Ok(Some(itself));
    }
    let Some(file) = read(path)? else { return Ok(None) };
    let same = file.bytes == program()?;
    Ok(Some(Installed { same, mode: file.mode, uid: file.uid, gid: file.gid }))
}

/// Makes a directory owned by root, or sets the mode of one that is there.
pub(super) fn make_dir(path: &AbsPath, bits: u32) -> Result<(), HostError> {
    let error = |errno| HostError::path("can't make", path, errno);
    match rustix::fs::mkdir(path.as_str(), mode(bits)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(error(errno)),
    }
    // The umask may have narrowed it.
    rustix::fs::chmod(path.as_str(), mode(bits)).map_err(error)
}

/// Removes a directory if it is empty.
pub(super) fn remove_dir(path: &AbsPath) -> Result<(), HostError> {
    match rustix::fs::rmdir(path.as_str()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(HostError::path("can't remove", path, errno)),
    }
}
