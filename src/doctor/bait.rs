//! What the human lays out for the probes to find: each thing is harmless, lives as long as the doctor, and is found by
//! whoever is not kept away from it.

use super::{probe::VARIABLE, system};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::{
        fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

/// Where the bait is. It is written to the probes' standard input.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bait {
    /// A TCP server on loopback.
    pub tcp4: Option<SocketAddr>,
    /// The same by IPv6.
    pub tcp6: Option<SocketAddr>,
    /// A UDP server on loopback.
    pub udp: Option<SocketAddr>,
    /// A word that is in the variable and in the files.
    pub word: String,
    /// A file beside the projects, readable for all.
    pub sibling: Option<PathBuf>,
    /// Files in directories for temporary files, readable for all.
    pub temporary: Vec<PathBuf>,
    /// The name of an abstract socket.
    pub abstract_name: Option<String>,
    /// The doctor itself, as a process.
    pub pid: u32,
    /// The human's run-time directory.
    pub runtime: Option<PathBuf>,
    /// git configurations of the projects.
    pub git: Vec<PathBuf>,
    /// The session keyring's number.
    pub keyring: Option<i32>,
    /// The human's home.
    pub home: PathBuf,
    /// The device and inode of a file that the human has open, and hands on to whatever is started.
    pub handed_on: Option<(u64, u64)>,
    /// The terminal that the human sits at.
    pub terminal: Option<PathBuf>,
    /// Where the human's ssh-agent takes calls.
    pub ssh_agent: Option<PathBuf>,
}

/// The bait, and what keeps it there.
pub struct Laid {
    /// Where it is.
    pub bait: Bait,
    files: Vec<PathBuf>,
    #[expect(dead_code, reason = "kept open, so that whoever asks is answered")]
    open: (Vec<TcpListener>, Option<UdpSocket>, Option<UnixListener>, Option<File>),
}

impl Laid {
    /// Lays it out, as the human. `home` is the human's; `projects` are those of the agent.
    pub fn out(home: &Path, projects: &[PathBuf]) -> io::Result<Self> {
        let pid = std::process::id();
        let mut random = [0; 8];
        io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut random)?;
        let word = format!("agentuser-doctor-{:016x}", u64::from_ne_bytes(random));
        let tcp4 = TcpListener::bind("127.0.0.1:0")?;
        let tcp6 = TcpListener::bind("[::1]:0").ok();
        let udp = UdpSocket::bind("127.0.0.1:0").ok();
        let mut files = Vec::new();
        let mut file = |dir: &Path| {
            let path = dir.join(format!(".{word}"));
            write(&path, &word).is_ok().then(|| {
                files.push(path.clone());
                path
            })
        };
        let sibling = file(home);
        let temporary: Vec<_> = system::TEMPORARY.iter().filter_map(|dir| file(Path::new(dir))).collect();
        // This one is handed on to whatever is started, as a careless program would.
        let handed_on = temporary.first().and_then(|path| File::open(path).ok());
        if let Some(file) = &handed_on {
            fcntl_setfd(file, FdFlags::empty())?;
        }
        let handed_on_is = handed_on.as_ref().and_then(|file| file.metadata().ok());
        let git = projects.iter().map(|project| project.join(".git/config")).filter(|path| path.is_file());
        let mut bait = Bait {
            tcp4: tcp4.local_addr().ok(),
            tcp6: tcp6.as_ref().and_then(|server| server.local_addr().ok()),
            udp: udp.as_ref().and_then(|server| server.local_addr().ok()),
            sibling,
            temporary,
            pid,
            git: git.collect(),
            home: home.to_owned(),
            handed_on: handed_on_is.map(|is| (is.dev(), is.ino())),
            word,
            ..Bait::default()
        };
        let unix = system::lay_out(&mut bait, home)?;
        let servers = [Some(tcp4), tcp6].into_iter().flatten().collect();
        Ok(Self { bait, files, open: (servers, udp, unix, handed_on) })
    }

    /// The variable that a probe looks for.
    pub fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.bait.word)
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        for path in &self.files {
            let _ = fs::remove_file(path);
        }
    }
}

fn write(path: &Path, word: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    // The umask may have narrowed it.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.write_all(word.as_bytes())
}
