//! This program again, in a role of its own: a process that gives up root's rights before it looks at anything.
//!
//! Whoever may become another account (`CAP_SETUID`, capabilities(7)) starts it as a child. What the service manager runs for
//! us may not, so that it can't be talked into it: there the service manager starts the process, for root alone can connect
//! to `agentuser-child.socket`, in the sandbox of `agentuser-child@.service`, which holds no right over the network.

use super::{places, worker};
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg, sockopt::socket_peercred,
    },
    process::{Pid, PidfdFlags, Signal, getpid, kill_process_group, pidfd_open, pidfd_send_signal},
    thread::{CapabilitySet, capabilities},
    time::Timespec,
};
use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// The uid and gid of those that parse what the agent or the network sent. It is near the end of the range, where no
/// distribution, directory or container hands uids out; it needs no entry anywhere, and it is not the uid of `nobody`, whose
/// other processes could signal it.
pub(crate) const PARSERS: u32 = u32::MAX - 2;

/// How long the service manager may take to start a process.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Works on files of an account, or ends its processes, as that account.
    Worker,
    /// Finds something out about the network as nobody, or of the human's tools as the human.
    Errand,
    /// Reads DNS for a gate.
    ParseDns,
    /// Reads packets for the audit logs.
    ReadPackets,
    /// Finds the process that has a socket, with the rights of its account.
    FindHolder,
}

impl Role {
    const ALL: [Self; 5] = [Self::Worker, Self::Errand, Self::ParseDns, Self::ReadPackets, Self::FindHolder];

    fn number(self) -> u8 {
        Self::ALL.iter().position(|role| *role == self).map_or(u8::MAX, |at| at.to_le_bytes()[0])
    }

    fn command(self) -> Command {
        let mut command = Command::new("/proc/self/exe");
        super::by_itself(&mut command);
        match self {
            Self::Worker => command.arg("worker"),
            // Names are whole: the search list of resolv.conf(5) is not tried. A dot at their end would also hide hosts(5).
            Self::Errand => command.arg("errand").env("LOCALDOMAIN", "."),
            Self::ParseDns => command.args(["guard", "parse-dns"]).uid(PARSERS).gid(PARSERS),
            Self::ReadPackets => command.args(["guard", "read-packets"]).uid(PARSERS).gid(PARSERS),
            Self::FindHolder => command.args(["guard", "find-holder"]),
        };
        command
    }
}

/// A process in a role.
pub(crate) struct Started {
    pidfd: OwnedFd,
    child: Option<Child>,
}

/// Whether this process may become another account.
pub(crate) fn may_become_others() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETUID))
}

/// Whether this is root without the right to become another account.
pub(crate) fn is_bound() -> bool {
    rustix::process::geteuid().is_root() && !may_become_others()
}

/// Starts a process in a role; without a standard output of its own it has none.
pub(crate) fn start(role: Role, stdin: OwnedFd, stdout: Option<OwnedFd>) -> io::Result<Started> {
    if is_bound() {
        return ask(role, &stdin, stdout.as_ref()).map_err(|error| {
            let socket = places::CHILDREN;
            io::Error::new(
                error.kind(),
                format!("{socket}: {error}: see `systemctl status agentuser-child.socket`"),
            )
        });
    }
    let mut command = role.command();
    command.stdin(stdin).stdout(stdout.map_or_else(Stdio::null, Stdio::from));
    if role == Role::Errand {
        // What it starts goes with it, see `wait_at_most`.
        command.process_group(0);
    }
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::Other)?;
    Ok(Started { pidfd: pidfd_open(pid, PidfdFlags::empty())?, child: Some(child) })
}

/// Has the service manager start it.
fn ask(role: Role, stdin: &OwnedFd, stdout: Option<&OwnedFd>) -> io::Result<Started> {
    let mut link = UnixStream::connect(places::CHILDREN)?;
    link.set_read_timeout(Some(PATIENCE))?;
    let descriptors: Vec<_> = [Some(stdin), stdout].into_iter().flatten().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(&link, &[IoSlice::new(&[role.number()])], &mut control, SendFlags::NOSIGNAL)?;
    let mut pid = [0; 4];
    link.read_exact(&mut pid)?;
    let pid = Pid::from_raw(i32::from_le_bytes(pid)).ok_or(io::ErrorKind::InvalidData)?;
    // It waits for our word: the number is still its own.
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    link.write_all(b"!")?;
    Ok(Started { pidfd, child: None })
}

/// What the service manager runs for each that connects: it takes the role that it is told.
pub(crate) fn become_asked() -> io::Result<()> {
    let mut link = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?);
    if !socket_peercred(&link)?.uid.is_root() {
        return Err(io::Error::other("only root is served"));
    }
    link.set_read_timeout(Some(PATIENCE))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut number = [0];
    recvmsg(&link, &mut [IoSliceMut::new(&mut number)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    let role = Role::ALL.get(usize::from(number[0])).ok_or(io::ErrorKind::InvalidData)?;
    let stdin = descriptors.next().ok_or(io::ErrorKind::UnexpectedEof)?;
    let stdout = descriptors.next().map_or_else(Stdio::null, Stdio::from);
    link.write_all(&getpid().as_raw_nonzero().get().to_le_bytes())?;
    link.read_exact(&mut [0])?;
    let mut command = role.command();
    if *role == Role::Worker {
        command.arg(worker::BOUND);
    }
    Err(command.stdin(stdin).stdout(stdout).exec())
}

impl Started {
    /// A way to end it from elsewhere.
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        Ok(Handle(self.pidfd.try_clone()?))
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn end(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = self.wait();
    }

    /// Waits until it is gone; answers how it ended, where that can be known.
    pub(crate) fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if let Some(child) = &mut self.child {
            return child.wait().map(Some);
        }
        self.gone_within(None).map(|_| None)
    }

    /// Waits for an errand, for so long at most; then it is killed, with what it started. What it leaves when it ends goes
    /// as well: where the service manager started it, that one sees to it.
    pub(crate) fn wait_at_most(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let in_time = self.gone_within(Some(Instant::now() + patience))?;
        if let Some(group) = self.child.as_ref().and_then(|child| Pid::from_raw(child.id().cast_signed())) {
            // ESRCH says that nothing is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        if in_time {
            return self.wait();
        }
        self.end();
        Err(io::Error::other(format!("it did not end in {} seconds", patience.as_secs())))
    }

    /// Whether it has ended before then.
    fn gone_within(&self, end: Option<Instant>) -> io::Result<bool> {
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let left = left.map(|left| Timespec::try_from(left).map_err(io::Error::other)).transpose()?;
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], left.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// A way to end a process that another thread has.
pub(crate) struct Handle(OwnedFd);

impl Handle {
    /// Kills it, if it is there still.
    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }
}
