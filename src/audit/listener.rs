//! The process that reads logged packets: without privilege, with a socket that root bound to the group.

use super::tally::{Tally, Told};
use crate::{
    host::child::{Given, Work, ended, receive, seal},
    netlink::{PIECE, Socket, message::messages, nflog},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{SendFlags, send},
    time::Timespec,
};
use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

/// The most that is told in one message.
pub(super) const AT_ONCE: usize = 256;

/// Room for packets that were not read yet: those of more than ten thousand refusals.
const ROOM: usize = 32 * 1024 * 1024;

/// The socket for the listener. It takes root to bind it, not to read it.
pub(super) fn open() -> io::Result<OwnedFd> {
    let socket = Socket::netfilter(0)?;
    socket.set_room(ROOM)?;
    socket.request(&nflog::subscribe(), &mut vec![0; PIECE])?;
    Ok(socket.into())
}

/// Reads until root is gone.
pub(crate) fn main() -> io::Result<()> {
    let Given { order: (), link, descriptors } = receive()?;
    let socket = descriptors.into_iter().next().ok_or(io::ErrorKind::UnexpectedEof)?;
    let socket = Socket::from(socket);
    seal(Work::Reads)?;
    ended(listen(&socket, &link))
}

fn listen(socket: &Socket, link: &OwnedFd) -> io::Result<()> {
    let (mut buffer, mut tally, mut sequence) = (vec![0; PIECE], Tally::new(Instant::now()), None);
    loop {
        let pause = tally.pause(Instant::now()).unwrap_or(Duration::from_hours(1));
        if !wait(socket, link, pause)? {
            return Ok(());
        }
        let mut told = Vec::new();
        while told.len() < AT_ONCE && socket.wait(Duration::ZERO)? {
            match socket.read(&mut buffer) {
                Ok(piece) => read(piece, &mut tally, &mut sequence, &mut told),
                // What was lost shows in the numbers of those that come.
                Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        told.extend(tally.repeats(Instant::now()));
        for some in told.chunks(AT_ONCE) {
            let bytes: Vec<u8> = some.iter().flat_map(|one| one.to_bytes()).collect();
            send(link, &bytes, SendFlags::NOSIGNAL)?;
        }
    }
}

fn read(piece: &[u8], tally: &mut Tally, sequence: &mut Option<u32>, told: &mut Vec<Told>) {
    for message in messages(piece) {
        if let Some(number) = nflog::sequence(&message) {
            let missing = sequence.map_or(0, |last| number.wrapping_sub(last).wrapping_sub(1));
            // The kernel counts from 0 again when somebody binds the group anew.
            if missing > 0 && missing < u32::MAX / 2 {
                told.push(Told::Lost(missing));
            }
            *sequence = Some(number);
        }
        told.extend(nflog::read(&message).and_then(|packet| tally.count(packet)));
    }
}

/// Waits for packets; whether root is still there.
fn wait(socket: &Socket, link: &OwnedFd, pause: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(socket, PollFlags::IN), PollFd::new(link, PollFlags::IN)];
    let pause = Timespec::try_from(pause).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut fds, Some(&pause)) {
        Ok(_) => Ok(fds[1].revents().is_empty()),
        Err(Errno::INTR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}
