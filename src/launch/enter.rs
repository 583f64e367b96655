//! The agent's half of a launch: what sudo starts as the agent, which becomes the command.
//!
//! The order matters. First everything that came along from the human is let go (keyring, descriptors), then the policy is
//! read and proved to be in force, and only then is a directory entered and a command looked up. Confinement comes last, for
//! it takes away what these steps need. Nothing of the agent's own (its PATH, its files) plays a part before that (B07, B24,
//! B29).

use super::{
    brief::{self, Brief, BriefError, Stamp},
    canary, confine, environment, keeper,
    repositories::{self, Inside},
    request::{self, Ended, Instead, Refusal, Request},
    secrets::Secrets,
};
use crate::{
    formats::accounts,
    host::{HostError, places, sys, trust, users},
    model::{AccountName, Uid},
    plan,
};
use rustix::{
    fs::Mode,
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
    process::{DumpableBehavior, set_dumpable_behavior},
};
use std::{fs, io, path::Path};

/// Why `enter` did not start the command.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// For a reason that every system has.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The program or its policy could be changed by somebody but root.
    #[error(transparent)]
    Trust(#[from] trust::TrustError),
    /// The policy can't be read.
    #[error("can't read the policy: {0}")]
    Read(#[source] io::Error),
    /// The policy does not tell what may be started.
    #[error(transparent)]
    Brief(#[from] BriefError),
    /// The account is no agent of the policy.
    #[error("`{0}` is no agent of the policy")]
    NoAgent(String),
    /// The agent has the private view, which root has to make.
    #[error("`{0}` has a private view, which `enter` can't make")]
    Private(AccountName),
    /// Descriptors or keys of the human could not be let go.
    #[error("can't let go of {0}: {1}")]
    LetGo(&'static str, #[source] io::Error),
    /// The account has sub-uids, under which it would escape the rules.
    #[error("the account has sub-uids ({0} in /etc/subuid), which it could hide behind")]
    SubUids(String),
    /// The firewall does not hold.
    #[error("the firewall is not in force for the agent: {0}")]
    Firewall(#[from] canary::Open),
    /// A service would resolve names for the agent, unseen by its rules.
    #[error("the agent can reach {0}, which asks other hosts for it")]
    NameService(&'static str),
    /// The agent's tokens can't be read.
    #[error("the tokens of the agent: {0}")]
    Secrets(#[from] HostError),
    /// The agent's rights could not be given up as the policy says.
    #[error(transparent)]
    Confine(#[from] confine::ConfineError),
    /// A limit of the policy could not be set.
    #[error("a limit of the policy can't be set: {0}")]
    Limits(#[source] io::Error),
    /// The keeper can't work.
    #[error("files can't be kept usable for both: {0}")]
    Keep(#[source] io::Error),
}

impl EnterError {
    /// The exit status: 127 and 126 as env(1) has them, 125 when agentuser itself refused.
    pub fn status(&self) -> u8 {
        if let Self::Refused(refusal) = self { refusal.status() } else { 125 }
    }

    /// The command to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused(refusal) => return refusal.hint(),
            Self::Trust(error) => error.hint(),
            Self::Read(_) | Self::SubUids(_) | Self::Firewall(_) | Self::NameService(_) => {
                "agentuser status, then agentuser setup".into()
            }
            Self::Confine(confine::ConfineError::NotCarried { line, .. }) => {
                format!("leave `{}` out of `confine` in {}, then agentuser setup", line.key(), places::POLICY)
            }
            Self::NoAgent(_) | Self::Confine(_) | Self::Keep(_) | Self::Limits(_) => {
                "agentuser status".into()
            }
            Self::Secrets(_) => "agentuser secret list".into(),
            Self::Brief(error) => error.hint(),
            Self::Private(_) => "agentuser run, which goes the right way".into(),
            Self::LetGo(..) => return None,
        })
    }
}

/// Becomes the command, or says why not. It is what sudo starts as the agent, with the plain view.
pub fn enter(request: Request) -> Result<Ended, EnterError> {
    match request.instead {
        Some(Instead::BeLetIn) => return Ok(Ended(0)),
        Some(Instead::Signal(signal, pid)) => return Ok(request::send(signal, pid)),
        Some(Instead::Look) => return keeper::look().map(|()| Ended(0)).map_err(EnterError::Keep),
        // Its standard input is the lock that it holds, and whoever started it has left all else behind.
        Some(Instead::Keep) => {}
        None | Some(Instead::StartKeeper) => leave_behind()?,
    }
    let text = trusted_policy()?;
    let uid = rustix::process::getuid().as_raw();
    let account = users::name_of(uid).unwrap_or_else(|| uid.to_string());
    let name: AccountName = account.parse().map_err(|_| EnterError::NoAgent(account))?;
    let brief = read_brief(&text, &name)?;
    // A keeper is started from inside a view, and does not leave it.
    if brief.private.is_some() && request.instead != Some(Instead::Keep) {
        return Err(EnterError::Private(name));
    }
    become_command(request, &brief)
}

/// Lets go of what came along from the human: keys, and all descriptors but 0 to 2.
pub(super) fn leave_behind() -> Result<(), EnterError> {
    // Other processes of the account don't get hold of this one before it is confined. The command can be looked into again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| EnterError::LetGo("being traced", errno.into()))?;
    sys::join_new_session_keyring()
        .or_else(no_keyrings)
        .map_err(|error| EnterError::LetGo("the session keyring", error))?;
    close_descriptors()
}

/// The text of the policy, once it and this program were found to be root's alone.
pub(super) fn trusted_policy() -> Result<String, EnterError> {
    let program = fs::read_link("/proc/self/exe").map_err(EnterError::Read)?;
    trust::check(&program)?;
    trust::check(Path::new(places::POLICY))?;
    fs::read_to_string(places::POLICY).map_err(EnterError::Read)
}

/// An agent's brief, from its stamp or else from the policy.
pub(super) fn read_brief(text: &str, name: &AccountName) -> Result<Brief, EnterError> {
    match Stamp::read(name).and_then(|stamp| stamp.brief_for(text)) {
        Some(brief) => Ok(brief),
        None => Ok(brief::from_policy(text, name)?),
    }
}

/// The last steps, as the agent: proof that the policy holds, then the directory and the command.
pub(super) fn become_command(request: Request, brief: &Brief) -> Result<Ended, EnterError> {
    let home = plan::home(&brief.name);
    match request.instead {
        None => {}
        Some(Instead::BeLetIn) => return Ok(Ended(0)),
        Some(Instead::Signal(signal, pid)) => return Ok(request::send(signal, pid)),
        Some(Instead::Look) => return keeper::look().map(|()| Ended(0)).map_err(EnterError::Keep),
        Some(Instead::StartKeeper) => {
            keeper::start_agents(brief, home.as_path());
            return Ok(Ended(0));
        }
        Some(Instead::Keep) => return keeper::agents(brief).map(|()| Ended(0)).map_err(EnterError::Keep),
    }
    refuse_sub_uids(&brief.name, Uid(rustix::process::getuid().as_raw()))?;
    canary::fly(&brief.flight)?;
    if !brief.outbound_allowed {
        refuse_name_services()?;
    }
    request::enter_directory(&request.directory, &brief.projects, home.as_path())?;
    if !request.alone && brief.inside == Inside::OneByOne {
        repositories::write_down(home.as_path(), &brief.projects);
    }
    rustix::process::umask(Mode::from(request.umask));
    let secrets = Secrets::read(&brief.name)?;

    let mut command = request::command(&request.command, &brief.shell);
    command.env_clear().envs(environment::build(
        &brief.environment(),
        home.as_str(),
        secrets,
        request.variables,
    ));
    if !request.alone {
        keeper::start_agents(brief, home.as_path());
    }
    brief.limits.lower().map_err(EnterError::Limits)?;
    confine::confine(&brief.confine)?;
    Err(request::become_it(command).into())
}

/// A kernel without keyrings has none to hand on.
fn no_keyrings(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) { Ok(()) } else { Err(error) }
}

/// Lets go of all descriptors but 0 to 2, and makes sure that these give nothing but a stream of bytes: through a directory
/// the agent could reach files, and a network socket carries the rights of whoever opened it.
fn close_descriptors() -> Result<(), EnterError> {
    if let Err(error) = sys::close_on_exec_from(3) {
        // Before Linux 5.11 sudo's own closing must have done it. One more descriptor reads the list.
        let open = fs::read_dir("/proc/self/fd").map_or(usize::MAX, Iterator::count);
        if open > 4 {
            return Err(EnterError::LetGo("file descriptors", error));
        }
    }
    Ok(request::judge_streams()?)
}

fn refuse_sub_uids(name: &AccountName, uid: Uid) -> Result<(), EnterError> {
    let text = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let uid = uid.to_string();
    let range = accounts::sub_ids(&text).find(|(owner, _)| *owner == name.as_str() || *owner == uid);
    range.map_or(Ok(()), |(_, range)| Err(EnterError::SubUids(range.to_string())))
}

/// Name services must not take a call of this account.
fn refuse_name_services() -> Result<(), EnterError> {
    let reached = |path: &&&str| {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None)?;
        connect(&socket, &SocketAddrUnix::new(**path)?)
    };
    // A service that is too busy to take the call at once is one that takes calls.
    let reached = |path: &&&str| matches!(reached(path), Ok(()) | Err(Errno::AGAIN));
    places::NAME_SERVICES.iter().find(reached).map_or(Ok(()), |path| Err(EnterError::NameService(path)))
}
