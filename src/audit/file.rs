//! The log's file: root's, readable to the agent's human, of bounded size.

crate::on_linux! {
    #[path = "file/linux.rs"]
    mod system;
}
crate::on_macos! {
    #[path = "file/macos.rs"]
    mod system;
}

use super::{DIRECTORY, Record, path};
use crate::model::{AccountName, Uid};
use rustix::fs::{Mode, OFlags, open};
use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
};

/// A file that has grown beyond is put aside.
const MOST_BYTES: u64 = 8 * 1024 * 1024;
/// How many are kept aside: `NAME.jsonl.1` is the latest.
const KEPT: u32 = 4;

/// The log of one agent, open.
pub struct Log {
    agent: AccountName,
    human: Option<Uid>,
    file: File,
    length: u64,
}

impl Log {
    /// Opens the log of an agent, and makes it where there is none. `human` may read it.
    pub fn open(agent: &AccountName, human: Option<Uid>) -> io::Result<Self> {
        if let Err(error) = DirBuilder::new().mode(0o755).create(DIRECTORY)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let directory = fs::symlink_metadata(DIRECTORY)?;
        if !directory.is_dir() || directory.uid() != 0 || directory.mode() & 0o022 != 0 {
            return Err(io::Error::other(format!("`{DIRECTORY}` is not a directory that root alone writes")));
        }
        // The umask may have narrowed it, and the human reads what is in it.
        fs::set_permissions(DIRECTORY, fs::Permissions::from_mode(0o755))?;
        let (file, length) = open_file(agent, human)?;
        Ok(Self { agent: agent.clone(), human, file, length })
    }

    /// Appends lines, and puts the file aside where it has grown too long.
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let text: Vec<u8> = records.iter().flat_map(Record::line).collect();
        self.file.write_all(&text)?;
        self.length += text.len() as u64;
        if self.length < MOST_BYTES {
            return Ok(());
        }
        let place = path(&self.agent).to_string();
        for number in (1..KEPT).rev() {
            let _ = fs::rename(format!("{place}.{number}"), format!("{place}.{}", number + 1));
        }
        fs::rename(&place, format!("{place}.1"))?;
        (self.file, self.length) = open_file(&self.agent, self.human)?;
        Ok(())
    }
}

fn open_file(agent: &AccountName, human: Option<Uid>) -> io::Result<(File, u64)> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(open(path(agent).as_str(), flags, Mode::from(0o600))?);
    let data = file.metadata()?;
    if !data.is_file() || data.uid() != 0 {
        return Err(io::Error::other(format!("`{}` is not a file of root's", path(agent))));
    }
    file.set_permissions(fs::Permissions::from_mode(0o640))?;
    if let Some(human) = human {
        // A file system without ACLs leaves the log to root.
        let _ = system::let_read(&file, agent, human);
    }
    Ok((file, data.len()))
}
