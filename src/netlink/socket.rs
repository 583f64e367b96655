//! A netlink socket.

use super::message::{Batch, messages};
use rustix::{
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::{self, SocketAddrNetlink},
        recv, send, socket_with, sockopt,
    },
    time::Timespec,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// The most that comes in one piece: more than the kernel puts into one (`NLMSG_GOODSIZE`, and 64 KiB for NFLOG).
pub const PIECE: usize = 128 * 1024;

/// A socket to one family of the kernel's netlink.
pub struct Socket(OwnedFd);

impl Socket {
    /// A socket for requests to netfilter, or one that listens to these multicast groups (a bit each) as well.
    pub fn netfilter(groups: u32) -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER), groups)
    }

    /// A socket that listens to these multicast groups of `rtnetlink(7)`, a bit each.
    pub fn routes(groups: u32) -> io::Result<Self> {
        // `NETLINK_ROUTE` is 0.
        Self::open(None, groups)
    }

    /// A socket for questions about sockets (`sock_diag(7)`).
    pub fn diag() -> io::Result<Self> {
        Self::open(Some(netlink::SOCK_DIAG), 0)
    }

    fn open(protocol: Option<rustix::net::Protocol>, groups: u32) -> io::Result<Self> {
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self(fd))
    }

    /// Sets the room for what has not been read; only root may ask for this much.
    pub fn set_room(&self, bytes: usize) -> io::Result<()> {
        Ok(sockopt::set_socket_recv_buffer_size_force(&self.0, bytes)?)
    }

    /// Waits at most this long for something to read.
    pub fn wait(&self, patience: Duration) -> io::Result<bool> {
        let mut fds = [rustix::event::PollFd::new(&self.0, rustix::event::PollFlags::IN)];
        let patience = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
        match rustix::event::poll(&mut fds, Some(&patience)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads one piece.
    pub fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let (length, _) = recv(&self.0, &mut *buffer, RecvFlags::empty())?;
        Ok(&buffer[..length])
    }

    /// Sends a question, and reads the first piece of the answer.
    pub fn ask<'a>(&self, question: &Batch, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        self.send(question)?;
        self.read(buffer)
    }

    fn send(&self, batch: &Batch) -> io::Result<()> {
        match send(&self.0, batch.bytes(), SendFlags::empty())? {
            sent if sent == batch.bytes().len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Sends messages and takes what the kernel says of them; fails with the first error among that.
    pub fn request(&self, batch: &Batch, buffer: &mut [u8]) -> io::Result<()> {
        self.send(batch)?;
        let (mut waiting, mut first) = (batch.acknowledged().is_some(), None);
        while waiting {
            // The kernel has answered before `send` returned; an answer that is missing will not come.
            let (length, _) = match recv(&self.0, &mut *buffer, RecvFlags::DONTWAIT) {
                Err(rustix::io::Errno::AGAIN) if first.is_some() => break,
                other => other?,
            };
            for message in messages(&buffer[..length]) {
                let Some(error) = message.error() else { continue };
                first = first.or((error != 0).then_some(error));
                waiting &= Some(message.number) != batch.acknowledged();
            }
        }
        first.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.0
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}
