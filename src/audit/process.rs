//! Which process a packet came from: by its socket, as long as that is there.

use crate::{
    host::{
        fsids::wearing,
        role::{self, Role, Started},
    },
    model::{Gid, Protocol, Uid},
    netlink::{PIECE, Socket, diag, message::messages, nflog::Packet},
};
use rustix::{
    io::fcntl_dupfd_cloexec,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use std::{
    fs, io,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    time::{Duration, Instant},
};

/// Looking through the processes of an agent takes a millisecond or so: it is done this often in a second.
const MOST: u32 = 20;

/// How long the finder may take over one socket: the log waits for it.
const PATIENCE: Duration = Duration::from_millis(200);

/// The longest path of a program, in bytes (`PATH_MAX`).
const LONGEST: usize = 4096;

/// The way to sockets and processes.
pub(super) struct Processes {
    socket: Socket,
    buffer: Vec<u8>,
    second: Instant,
    left: u32,
    finder: Option<Finder>,
}

impl Processes {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            socket: Socket::diag()?,
            buffer: vec![0; PIECE],
            second: Instant::now(),
            left: MOST,
            finder: None,
        })
    }

    /// The process, and the path of its program, where the kernel still has the socket and it is one of these owners.
    pub(super) fn of(&mut self, packet: &Packet, owner: Uid) -> Option<(i32, String)> {
        let protocol = match packet.protocol {
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            _ => return None,
        };
        if self.second.elapsed() >= Duration::from_secs(1) {
            (self.second, self.left) = (Instant::now(), MOST);
        }
        self.left = self.left.checked_sub(1)?;
        let (from, to) = packet.ports?;
        let question = diag::question(
            protocol,
            SocketAddr::new(packet.source, from),
            SocketAddr::new(packet.destination, to),
        );
        let answer = self.socket.ask(&question, &mut self.buffer).ok()?;
        let (uid, inode) = messages(answer).find_map(|message| diag::owner(&message))?;
        if uid != owner {
            return None;
        }
        if !role::is_bound() {
            return holder(uid, inode);
        }
        if self.finder.is_none() {
            self.finder = Finder::start().ok();
        }
        let found = self.finder.as_ref()?.find(uid, inode);
        if found.is_err() {
            // Another one is started for the next packet: an answer that comes late would be taken for that one's.
            self.finder = None;
        }
        found.ok().flatten()
    }
}

/// The process that looks at processes of an account for one that may not take its rights.
struct Finder {
    process: Started,
    link: OwnedFd,
}

impl Finder {
    fn start() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (link, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        set_socket_timeout(&link, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { process: role::start(Role::FindHolder, theirs, None)?, link })
    }

    fn find(&self, uid: Uid, inode: u32) -> io::Result<Option<(i32, String)>> {
        send(&self.link, [uid.0, inode].map(u32::to_ne_bytes).as_flattened(), SendFlags::NOSIGNAL)?;
        let mut buffer = [0; 4 + LONGEST];
        let (length, _) = recv(&self.link, &mut buffer, RecvFlags::empty())?;
        let (pid, exe) = buffer[..length].split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        let exe = String::from_utf8_lossy(exe).into_owned();
        Ok(Some((i32::from_ne_bytes(*pid), exe)).filter(|(pid, _)| *pid != 0))
    }
}

impl Drop for Finder {
    fn drop(&mut self) {
        self.process.end();
    }
}

/// The finder: answers each question, a uid and an inode, with a process and the path of its program, or with 0.
pub(crate) fn main() -> io::Result<()> {
    let link = fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let mut question = [[0; 4]; 2];
    while recv(&link, question.as_flattened_mut(), RecvFlags::empty())?.0 == size_of_val(&question) {
        let [uid, inode] = question.map(u32::from_ne_bytes);
        let (pid, exe) = holder(Uid(uid), inode).unwrap_or_default();
        let answer: Vec<u8> = pid.to_ne_bytes().into_iter().chain(exe.bytes().take(LONGEST)).collect();
        send(&link, &answer, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// A process of this uid that has the socket open, and its program.
///
/// Its descriptors are looked at as the account, so that no more is shown than the account may see: processes in a user
/// namespace of the agent's making, such as a browser's, are not.
fn holder(uid: Uid, inode: u32) -> Option<(i32, String)> {
    let wanted = format!("socket:[{inode}]");
    let mut processes = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let is = entry.metadata().ok()?;
        (is.uid() == uid.0).then_some((pid, Gid(is.gid())))
    });
    let has = |pid: i32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.take(4096).any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str()))
    };
    processes.by_ref().take(4096).find_map(|(pid, gid)| {
        wearing(uid, gid, || {
            let exe = has(pid).then(|| fs::read_link(format!("/proc/{pid}/exe")))?.ok()?;
            Some((pid, exe.to_string_lossy().into_owned()))
        })
    })
}
