//! Which process a packet came from: by its socket, as long as that is there.

use crate::{
    host::fsids::wearing,
    model::{Gid, Protocol, Uid},
    netlink::{PIECE, Socket, diag, message::messages, nflog::Packet},
};
use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

/// Looking through the processes of an agent takes a millisecond or so: it is done this often in a second.
const MOST: u32 = 20;

/// The way to sockets and processes.
pub(super) struct Processes {
    socket: Socket,
    buffer: Vec<u8>,
    second: Instant,
    left: u32,
}

impl Processes {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { socket: Socket::diag()?, buffer: vec![0; PIECE], second: Instant::now(), left: MOST })
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
        holder(uid, inode)
    }
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
