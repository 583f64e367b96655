//! What the guard waits for: signals, changed receipts, changed rules.

use crate::{
    host::places,
    model::AccountName,
    netlink::{
        PIECE, Socket, events,
        message::{Message, messages},
        routes,
    },
};
use nix::sys::{
    signal::{SigSet, Signal as Number},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify,
    io::Errno,
    time::Timespec,
};
use std::{io, mem::MaybeUninit, os::fd::OwnedFd, time::Duration};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// To end.
    End,
    /// To read all anew.
    Reload,
}

/// How long changes that concern nobody are left to pile up.
const PAUSE: Duration = Duration::from_millis(5);

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// A signal came.
    pub(super) signal: Option<Signal>,
    /// Receipts may have changed.
    pub(super) receipts: bool,
    /// Rules may have changed.
    pub(super) rules: bool,
    /// A default route came.
    pub(super) network: bool,
}

/// Where it is heard of.
pub(super) struct Watch {
    signals: SignalFd,
    receipts: OwnedFd,
    rules: Option<Socket>,
    routes: Option<Socket>,
    buffer: Vec<u8>,
}

impl Watch {
    /// Begins to listen. From now on the signals come here alone: threads are started after this.
    pub(super) fn new() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Number::SIGTERM, Number::SIGINT, Number::SIGHUP] {
            set.add(signal);
        }
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let receipts = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let rules = Socket::netfilter(events::GROUP).ok();
        if let Some(rules) = &rules {
            rules.set_room(8 * 1024 * 1024)?;
        }
        let routes = Socket::routes(routes::GROUPS).ok();
        let watch = Self { signals, receipts, rules, routes, buffer: vec![0; PIECE] };
        watch.follow_directory(places::STATE);
        Ok(watch)
    }

    /// Whether the kernel tells of all changes of rules.
    pub(super) fn hears_changes(&self) -> bool {
        let legacy = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"];
        let uses_legacy = |path| std::fs::read_to_string(path).is_ok_and(|names| names.contains("filter"));
        self.rules.is_some() && !legacy.into_iter().any(uses_legacy)
    }

    /// Follows the receipts of these agents as well.
    pub(super) fn follow<'a>(&self, agents: impl Iterator<Item = &'a AccountName>) {
        for name in agents {
            self.follow_directory(places::state(name).as_str());
        }
        // A service that starts again makes its socket anew.
        for socket in places::NAME_SERVICES {
            self.follow_directory(socket.rsplit_once('/').map_or(socket, |(directory, _)| directory));
        }
    }

    /// A directory that is followed already is not followed twice.
    fn follow_directory(&self, path: &str) {
        let flags = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE | inotify::WatchFlags::DELETE;
        let _ = inotify::add_watch(&self.receipts, path, flags | inotify::WatchFlags::ONLYDIR);
    }

    /// Waits at most this long.
    pub(super) fn wait(&mut self, patience: Duration) -> io::Result<Heard> {
        let mut fds =
            vec![PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.receipts, PollFlags::IN)];
        let sockets = [&self.rules, &self.routes];
        fds.extend(sockets.into_iter().flatten().map(|socket| PollFd::new(socket, PollFlags::IN)));
        let patience = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut fds, Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut heard = Heard::default();
        if ready[0] {
            heard.signal = self.read_signals();
        }
        if ready[1] {
            heard.receipts = self.read_receipts();
        }
        if ready[2..].contains(&true) {
            heard.rules = hear(self.rules.as_ref(), &mut self.buffer, events::concerns_agents);
            heard.network = hear(self.routes.as_ref(), &mut self.buffer, routes::is_default_route);
            if !heard.rules {
                // The gates' own work, of which there may be much: it is read in bulk.
                std::thread::sleep(PAUSE);
            }
        }
        Ok(heard)
    }

    fn read_signals(&self) -> Option<Signal> {
        let mut found = None;
        while let Ok(Some(info)) = self.signals.read_signal() {
            let reload = i32::try_from(info.ssi_signo) == Ok(Number::SIGHUP as i32);
            if found != Some(Signal::End) {
                found = Some(if reload { Signal::Reload } else { Signal::End });
            }
        }
        found
    }

    /// Whether one of the events is about a receipt, or about a directory of an agent.
    fn read_receipts(&self) -> bool {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.receipts, &mut space);
        let mut found = false;
        while let Ok(event) = reader.next() {
            let name = event.file_name().map(|name| name.to_bytes().to_owned()).unwrap_or_default();
            let is_directory = event.events().contains(inotify::ReadFlags::ISDIR);
            let is_socket =
                !name.is_empty() && places::NAME_SERVICES.iter().any(|path| path.as_bytes().ends_with(&name));
            found |= is_directory || name == b"receipt.json" || is_socket;
        }
        found
    }
}

/// Reads all that is there; whether one of the messages is of the kind.
fn hear(socket: Option<&Socket>, buffer: &mut [u8], of_the_kind: impl Fn(&Message<'_>) -> bool) -> bool {
    let Some(socket) = socket else { return false };
    let mut found = false;
    while matches!(socket.wait(Duration::ZERO), Ok(true)) {
        match socket.read(buffer) {
            Ok(piece) => found |= messages(piece).any(|message| of_the_kind(&message)),
            // More than there was room for: one of them may have been.
            Err(_) => found = true,
        }
    }
    found
}
