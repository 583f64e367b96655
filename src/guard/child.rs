//! Children without privilege: what parses bytes from the agent or the network is a process of its own, with a uid that no
//! account has, and with nothing but the descriptors that it is given.
//!
//! The child is this program again ([`crate::host::role`]). Its standard input is a socket to root, over which its order and
//! its descriptors come first. It never runs as root: its ids are set before it is executed.

use crate::host::role::{self, PARSERS, Role, Started};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::fcntl_dupfd_cloexec,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
    process::{DumpableBehavior, Resource, Rlimit, getegid, geteuid, set_dumpable_behavior, setrlimit},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Seek, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// The most descriptors that a child is given.
const MOST_DESCRIPTORS: usize = 8;

/// Starts a child in a role with an order and descriptors. Answers the child, and the socket to it.
pub(crate) fn spawn(
    role: Role,
    order: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<(Started, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let child = role::start(role, theirs, None)?;
    // What a child does that got no order: it ends, for its socket does.
    let mut text = File::from(memfd_create("agentuser-order", MemfdFlags::CLOEXEC)?);
    text.write_all(&serde_json::to_vec(order)?)?;
    let all: Vec<_> = std::iter::once(text.as_fd()).chain(descriptors.iter().copied()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&all)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(&ours, &[IoSlice::new(b"order")], &mut control, SendFlags::NOSIGNAL)?;
    Ok((child, ours))
}

/// What a child was given.
pub(crate) struct Given<T> {
    /// What it is to do.
    pub(crate) order: T,
    /// The socket to root.
    pub(crate) link: OwnedFd,
    /// Descriptors for its work.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// The child's first act: it makes sure that it holds no privilege and can't get any, then takes its order.
pub(crate) fn receive<T: DeserializeOwned>() -> io::Result<Given<T>> {
    confine()?;
    let link = fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 8];
    recvmsg(&link, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    let order = descriptors.next().ok_or(io::ErrorKind::UnexpectedEof)?;
    let descriptors = descriptors.collect();
    let (mut order, mut text) = (File::from(order), Vec::new());
    order.rewind()?;
    order.read_to_end(&mut text)?;
    Ok(Given { order: serde_json::from_slice(&text)?, link, descriptors })
}

/// How a child ends: that root is gone is no failure.
pub(crate) fn ended(result: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    result.or_else(|error| match error.kind() {
        BrokenPipe | ConnectionReset => Ok(()),
        _ => Err(error),
    })
}

fn confine() -> io::Result<()> {
    let uids = nix::unistd::getresuid()?;
    let ids = [uids.real.as_raw(), uids.effective.as_raw(), uids.saved.as_raw()];
    if ids != [PARSERS; 3] || geteuid().as_raw() != PARSERS || getegid().as_raw() != PARSERS {
        return Err(io::Error::other("this is for the guard to start, without privilege"));
    }
    rustix::thread::set_no_new_privs(true)?;
    // Nobody but root looks into it or stops it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    for (resource, most) in [
        // It is one process of one thread, and writes no file.
        (Resource::Nproc, 0),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 1024),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}
