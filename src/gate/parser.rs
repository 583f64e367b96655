//! The process that reads DNS: without privilege, with its listening sockets and the way to the keeper.

use super::{Order, server::Server};
use crate::host::child::{Given, Work, ended, receive, seal};
use std::{
    io,
    net::{TcpListener, UdpSocket},
};

/// Serves until the keeper is gone. The first half of the descriptors it is given are UDP sockets, the other half listen.
pub(crate) fn main() -> io::Result<()> {
    let Given { order, link, mut descriptors } = receive::<Order>()?;
    let listeners = descriptors.split_off(descriptors.len() / 2);
    let udp: Vec<UdpSocket> = descriptors.into_iter().map(Into::into).collect();
    let listeners: Vec<TcpListener> = listeners.into_iter().map(Into::into).collect();
    udp.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
    listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
    let server = Server::new(order, link.into(), udp, listeners);
    seal(Work::Asks)?;
    ended(server.run())
}
