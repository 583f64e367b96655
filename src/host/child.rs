//! Children without privilege: what parses bytes from the agent or the network is a process of its own, with a uid that no
//! account has, and with nothing but the descriptors that it is given.
//!
//! The child is this program again ([`super::role`]). Its standard input is a socket to root, over which its descriptors come
//! first; the first of them is a pipe with its order. It never runs as root: its ids are set before it is executed.

#[cfg_attr(target_os = "linux", path = "child/seal.rs")]
#[cfg_attr(target_os = "macos", path = "child/sandbox.rs")]
mod system;

pub(crate) use system::seal;

use super::role::{self, PARSERS, Role, Started};
use rustix::{
    io::fcntl_dupfd_cloexec,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
    process::{Resource, Rlimit, getegid, geteuid, getgid, getuid, setrlimit},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// The most descriptors that a child is given.
const MOST_DESCRIPTORS: usize = 8;

/// What comes with the descriptors. It is read to its last byte and no further, for the socket may be a stream.
const WORD: [u8; 5] = *b"order";

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// It reads messages that come to it.
    #[cfg_attr(target_os = "macos", expect(dead_code, reason = "the listener is Linux's"))]
    Reads,
    /// It asks others as well, over IPv4 and IPv6.
    Asks,
}

/// Starts a child in a role with an order and descriptors. It gets one end of this pair of sockets.
pub(crate) fn spawn(
    role: Role,
    order: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
    (ours, theirs): (&OwnedFd, OwnedFd),
) -> io::Result<Started> {
    let mut child = role::start(role, theirs, None)?;
    // A child that got no order ends, for the pipe does. One that has died is told by the link.
    match instruct(ours, order, descriptors) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            child.end();
            Err(error)
        }
        _ => Ok(child),
    }
}

fn instruct(ours: &OwnedFd, order: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let (theirs, mut text) = io::pipe()?;
    let all: Vec<_> = std::iter::once(theirs.as_fd()).chain(descriptors.iter().copied()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&all)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(ours, &[IoSlice::new(&WORD)], &mut control, SendFlags::empty())?;
    drop(theirs);
    // As long as the child is on its way a long order waits for it here.
    text.write_all(&serde_json::to_vec(order)?)
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
    let mut word = WORD;
    // It starts nothing, so that nobody could inherit them.
    recvmsg(&link, &mut [IoSliceMut::new(&mut word)], &mut control, RecvFlags::empty())?;
    let mut descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    let order = descriptors.next().ok_or(io::ErrorKind::UnexpectedEof)?;
    let descriptors = descriptors.collect();
    let mut text = Vec::new();
    File::from(order).read_to_end(&mut text)?;
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
    let uids = [getuid(), geteuid()].map(rustix::process::Uid::as_raw);
    let gids = [getgid(), getegid()].map(rustix::process::Gid::as_raw);
    if uids != [PARSERS; 2] || gids != [PARSERS; 2] {
        return Err(io::Error::other("this is for the guard to start, without privilege"));
    }
    system::renounce()?;
    for (resource, most) in [
        // It is one process of one thread.
        (Resource::Nproc, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 1024),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}
