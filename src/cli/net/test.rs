//! `net test`: a connection as the agent, through the whole way in.

use super::{View, why};
use crate::{
    cli::{
        Failure, Global,
        printer::{self, Mark},
        run,
    },
    host::places,
    model::Protocol,
    presets::place::{Host, Place},
};
use clap::Args;
use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    process::ExitCode,
    time::{Duration, Instant},
};

/// How long a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A host, an address or the address of a page; port 443 where none is named
    #[arg(value_name = "HOST[:PORT]|ADDRESS|URL")]
    destination: String,
}

/// What the agent's half takes.
#[derive(Args, Debug)]
pub(crate) struct ConnectArguments {
    destination: String,
}

/// The human's half: says which rule decides, then has the agent try.
pub(crate) fn test(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (place, _) = why::read(&arguments.destination)?;
    let view = View::of(global)?;
    let verdict = why::judge(&view, &place);
    if !global.quiet {
        why::show(&view, &verdict);
    }
    let command = [places::PROGRAM, "connect", "--", &place.to_string()];
    let global = Global { agent: Some(view.name), ..global.clone() };
    run::at_home(&global, command.map(Into::into).into())
}

/// The agent's half: tries, and says what became of it.
pub(crate) fn connect(arguments: &ConnectArguments) -> Result<ExitCode, Failure> {
    let (place, _) = why::read(&arguments.destination)?;
    let host = match &place.host {
        Host::Loopback => "localhost".to_owned(),
        host => host.to_string(),
    };
    let addresses = match (host.as_str(), place.port).to_socket_addrs() {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(error) => {
            printer::marked(Mark::Bad, &format!("tried: the name {host} is not resolved: {error}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut open = false;
    for address in addresses {
        let begun = Instant::now();
        let answer = attempt(&place, address);
        let took = begun.elapsed();
        let (mark, said) = match answer {
            Ok(said) => (Mark::Good, said.to_owned()),
            Err(error) => (Mark::Bad, reason(&error)),
        };
        open |= mark == Mark::Good;
        printer::marked(mark, &format!("tried {address}: {said} ({:.1} ms)", took.as_secs_f64() * 1000.0));
    }
    Ok(if open { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn attempt(place: &Place, address: SocketAddr) -> std::io::Result<&'static str> {
    if place.protocol == Protocol::Tcp {
        return TcpStream::connect_timeout(&address, PATIENCE).map(|_| "it is open");
    }
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    UdpSocket::bind(any)?.send_to(&[], address)?;
    Ok("a datagram left; whether it arrived nobody says")
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "it is refused, by a rule or because nothing listens there".into(),
        ErrorKind::PermissionDenied => "it is refused by a rule".into(),
        ErrorKind::TimedOut => format!("nothing answered in {} seconds", PATIENCE.as_secs()),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn tried(port: u16) -> std::io::Result<&'static str> {
        let (place, _) = Place::read(&format!("127.0.0.1:{port}")).unwrap();
        attempt(&place, ([127, 0, 0, 1], port).into())
    }

    #[test]
    fn a_listener_is_open_and_a_closed_port_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(tried(port).unwrap(), "it is open");
        drop(listener);
        assert!(reason(&tried(port).unwrap_err()).contains("refused"));
    }
}
