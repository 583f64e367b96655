//! The real machine.

use super::{
    Act, Command, CommandError, DirState, FileState, HostError, Installed, Jump, Observe, Program, Query,
    Seen, Shared, Validator,
    dir::{self, Dir},
    files, homes, places, processes, sockets, users,
    worker::{self, Identity, Task},
};
use crate::{
    formats::accounts,
    model::{
        AbsPath, Family, Gid, IdRange, Uid,
        desired::Owner,
        facts::{GroupLine, Person},
    },
    netlink::{Socket, message::Batch, nft},
    share::{self, Job, Passage, Prior, Report},
};
use rustix::fs::{RenameFlags, renameat_with};
use std::{
    ffi::CString,
    fs,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    process::Output,
    time::{Duration, Instant},
};

/// Called with the number of objects that a pass over a tree has seen.
type Counter = Box<dyn Fn(u64) + Send + Sync>;

/// The real machine.
#[derive(Default)]
pub struct System {
    progress: Option<Counter>,
}

impl System {
    /// The machine, for a caller who wants no numbers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `progress` called while trees are shared.
    pub fn with_progress(progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { progress: Some(Box::new(progress)) }
    }

    /// Moves a home from directory to directory, neither reached through a link, for others may have a say on the way to the
    /// second one; then gives it to its new owner.
    pub fn move_home(
        &mut self,
        from: &AbsPath,
        to: &AbsPath,
        (uid, gid): (Uid, Gid),
        owner: (Uid, Gid),
    ) -> Result<(), HostError> {
        let above = |path: &AbsPath| path.parent().unwrap_or_else(AbsPath::root);
        let (old, new) = (Dir::open(above(from).as_path())?, Dir::open(above(to).as_path())?);
        renameat_with(&old, from.name(), &new, to.name(), RenameFlags::NOREPLACE)
            .map_err(|errno| HostError::path("can't move the home to", to, errno))?;
        let open = |source: io::Error| HostError::path("can't open", to, source);
        let name = CString::new(to.name()).map_err(|error| open(error.into()))?;
        let kept = new.open_child(&name).map_err(|errno| open(errno.into()))?;
        let (agent, owner) = (dir::Account { uid, gid }, dir::Account { uid: owner.0, gid: owner.1 });
        dir::hand_over(&kept, agent, owner, &mut || {})?;
        Ok(())
    }

    /// A point at which a crash test may end the process: before each change to the machine.
    fn change() {
        #[cfg(feature = "kill-points")]
        {
            use std::sync::atomic::{AtomicU32, Ordering};
            static CHANGES: AtomicU32 = AtomicU32::new(0);
            let change = CHANGES.fetch_add(1, Ordering::Relaxed) + 1;
            if std::env::var("AGENTUSER_KILL_AT").is_ok_and(|at| at == change.to_string()) {
                let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
            }
        }
    }

    /// The rights of the account that a shared thing belongs to; none where this process has them already.
    fn identity(&self, uid: Uid) -> Result<Option<Identity>, HostError> {
        if !rustix::process::geteuid().is_root() {
            let own = rustix::process::geteuid().as_raw() == uid.0;
            return if own {
                Ok(None)
            } else {
                Err(HostError::NeedsRoot(format!("what belongs to uid {uid}")))
            };
        }
        let Some(name) = users::name_of(uid.0) else {
            return Err(HostError::Worker(format!("no account has uid {uid}")));
        };
        let person = self.person(&name)?.filter(|person| person.uid == uid);
        let Some(person) = person else { return Err(HostError::Worker(format!("no account has uid {uid}"))) };
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        let groups = groups.lines().filter_map(accounts::group).filter(|group| group.members.contains(&name));
        Ok(Some(Identity { uid, gid: person.gid, groups: groups.map(|group| group.gid).collect() }))
    }

    fn work(&self, uid: Uid, task: Task, record: Option<&mut fs::File>) -> Result<Seen, HostError> {
        self.work_watched(uid, task, record, &mut || {})
    }

    /// The same, with `each` called now and then.
    fn work_watched(
        &self,
        uid: Uid,
        task: Task,
        record: Option<&mut fs::File>,
        each: &mut dyn FnMut(),
    ) -> Result<Seen, HostError> {
        let identity = self.identity(uid)?.ok_or_else(|| HostError::NeedsRoot("a receipt".into()))?;
        worker::run(&identity, task, record, &mut |objects| {
            if let Some(progress) = &self.progress {
                progress(objects);
            }
            each();
        })
    }
}

/// Whose files these are.
fn owner_of(shared: &Shared) -> Uid {
    match shared {
        Shared::Tree(job) | Shared::Root(job) => job.human,
        Shared::Traverse { owner, .. } => *owner,
    }
}

/// The record of a share, read line by line; a line that was cut short by a crash belongs to no change.
fn priors(record: &AbsPath) -> Result<Vec<Prior>, HostError> {
    let file = match fs::File::open(record) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(HostError::path("can't read", record, error)),
    };
    let lines = BufReader::new(file).split(b'\n').collect::<Result<Vec<_>, _>>();
    let lines = lines.map_err(|error| HostError::path("can't read", record, error))?;
    Ok(lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Opens a record to add to it, on a line of its own.
fn appending(record: &AbsPath) -> Result<fs::File, HostError> {
    let open = || {
        let mut file =
            fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(record)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(file)
    };
    open().map_err(|error: std::io::Error| HostError::path("can't write", record, error))
}

fn iptables(family: Family) -> Result<iptables::IPTables, HostError> {
    iptables::new(family == Family::V6).map_err(|error| iptables_error(family, "--version", error.as_ref()))
}

fn iptables_error(family: Family, args: &str, error: &dyn std::error::Error) -> HostError {
    let name = if family == Family::V4 { "iptables" } else { "ip6tables" };
    HostError::Worker(format!("`{name} {args}` failed: {}", error.to_string().escape_debug()))
}

impl Observe for System {
    fn file(&self, path: &AbsPath) -> Result<Option<FileState>, HostError> {
        files::read(path)
    }

    fn directory(&self, path: &AbsPath) -> Result<Option<DirState>, HostError> {
        files::directory(path)
    }

    fn names(&self, path: &AbsPath) -> Result<Vec<String>, HostError> {
        files::names(path)
    }

    fn program(&self) -> Result<Vec<u8>, HostError> {
        files::program()
    }

    fn installed(&self, path: &AbsPath) -> Result<Option<Installed>, HostError> {
        files::installed(path)
    }

    fn person(&self, name: &str) -> Result<Option<Person>, HostError> {
        users::person(name)
    }

    fn group(&self, name: &str) -> Result<Option<GroupLine>, HostError> {
        users::group(name)
    }

    fn query(&self, query: &Query) -> Result<Output, HostError> {
        let command = match query {
            Query::FilterTable(Family::V4) => Command::new(Program::IptablesSave, ["-t", "filter"]),
            Query::FilterTable(Family::V6) => Command::new(Program::Ip6tablesSave, ["-t", "filter"]),
            Query::Sets => Command::new(Program::Ipset, ["save"]),
            Query::NftTable(family, name) => Command::new(Program::Nft, ["list", "table", family, name]),
            Query::UnitEnabled(unit) => Command::new(Program::Systemctl, ["is-enabled", unit]),
            Query::UnitActive(unit) => Command::new(Program::Systemctl, ["is-active", unit]),
            Query::Mac(_) => return Err(HostError::Elsewhere("a look at macOS")),
        };
        if !matches!(query, Query::UnitEnabled(_) | Query::UnitActive(_))
            && !rustix::process::geteuid().is_root()
        {
            return Err(HostError::NeedsRoot(format!("`{}`", command.line())));
        }
        Ok(command.output()?)
    }

    fn has_filter_table(&self, family: Family, chain: Option<&str>) -> Result<bool, HostError> {
        if !rustix::process::geteuid().is_root() {
            return Err(HostError::NeedsRoot(format!("the filter table for {family}")));
        }
        // The kernel answers in a hundredth of the time that nft(8) takes.
        match ask_netfilter(&nft::question(family, "filter", chain)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(HostError::path("can't look for", format!("table filter for {family}"), error)),
        }
    }

    fn output_chain(&self, family: Family) -> Result<Vec<String>, HostError> {
        let rules = iptables(family)?.list("filter", "OUTPUT");
        let rules = rules.map_err(|error| iptables_error(family, "-S OUTPUT", error.as_ref()))?;
        Ok(rules.iter().filter_map(|rule| rule.strip_prefix("-A OUTPUT ")).map(str::to_owned).collect())
    }

    fn socket_is_closed(&self, path: &AbsPath, uid: Uid) -> Result<Option<bool>, HostError> {
        sockets::is_closed(path, uid)
    }

    fn look_at(&self, shared: &Shared) -> Result<Seen, HostError> {
        if self.identity(owner_of(shared))?.is_some() {
            return self.work(owner_of(shared), Task::Look(shared.clone()), None);
        }
        Ok(match shared {
            Shared::Tree(job) => Seen::Tree(Box::new(share::check(job, job.human)?)),
            Shared::Root(job) => Seen::Root(share::root_is_open(job)?),
            Shared::Traverse { dir, agent, owner } => {
                Seen::Passage(share::traverse_check(dir, *agent, *owner)?)
            }
        })
    }
}

impl Act for System {
    fn observe(&self) -> &dyn Observe {
        self
    }

    fn write(&mut self, path: &AbsPath, file: &FileState, validator: Validator) -> Result<(), HostError> {
        Self::change();
        files::write(path, file, validator)
    }

    fn remove(&mut self, path: &AbsPath) -> Result<(), HostError> {
        Self::change();
        files::remove(path)
    }

    fn make_dir(&mut self, path: &AbsPath, mode: u32) -> Result<(), HostError> {
        Self::change();
        files::make_dir(path, mode)
    }

    fn remove_dir(&mut self, path: &AbsPath) -> Result<(), HostError> {
        Self::change();
        files::remove_dir(path)
    }

    fn try_run(&mut self, command: &Command) -> Result<Output, HostError> {
        Self::change();
        Ok(command.output()?)
    }

    fn make_filter_table(&mut self, family: Family) -> Result<(), HostError> {
        Self::change();
        ask_netfilter(&nft::make(family, "filter"))
            .map_err(|error| HostError::path("can't make", format!("table filter for {family}"), error))
    }

    fn delete_nft_table(&mut self, table: &str) -> Result<(), HostError> {
        Self::change();
        match ask_netfilter(&nft::delete(table)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(HostError::path("can't delete table", table, error))
            }
            _ => Ok(()),
        }
    }

    fn jump(&mut self, family: Family, change: &Jump) -> Result<(), HostError> {
        Self::change();
        let iptables = iptables(family)?;
        match change {
            Jump::Insert(at, rule) => iptables
                .insert("filter", "OUTPUT", rule, i32::try_from(*at).unwrap_or(1))
                .map_err(|error| iptables_error(family, "-I OUTPUT", error.as_ref())),
            Jump::Remove(at) => {
                let args = format!("-D OUTPUT {at}");
                let output = iptables
                    .execute("filter", &args)
                    .map_err(|e| iptables_error(family, &args, e.as_ref()))?;
                if output.status.success() {
                    return Ok(());
                }
                let stderr = String::from_utf8_lossy(&output.stderr).trim().escape_debug().to_string();
                Err(CommandError::Failed {
                    command: format!("iptables {args}"),
                    status: output.status,
                    stderr,
                }
                .into())
            }
        }
    }

    fn make_home(&mut self, path: &AbsPath, uid: Uid, gid: Gid) -> Result<(), HostError> {
        Self::change();
        homes::make(path, uid, gid)
    }

    fn remove_home(&mut self, path: &AbsPath, uid: Uid, name: &str) -> Result<Vec<String>, HostError> {
        Self::change();
        homes::remove(path, uid, name)
    }

    fn remove_tree(&mut self, path: &AbsPath) -> Result<(), HostError> {
        Self::change();
        homes::remove_root_owned(path)
    }

    fn close_socket(&mut self, path: &AbsPath, uid: Uid) -> Result<(), HostError> {
        Self::change();
        sockets::close(path, uid)
    }

    fn open_socket(&mut self, path: &AbsPath, uid: Uid) -> Result<(), HostError> {
        Self::change();
        sockets::open_again(path, uid)
    }

    fn end_processes(&mut self, uid: Uid, sub_uids: &[IdRange]) -> Result<usize, HostError> {
        Self::change();
        processes::end(uid, sub_uids)
    }

    fn open_to_agent(&mut self, shared: &Shared, record: &AbsPath) -> Result<Seen, HostError> {
        Self::change();
        let mut file = appending(record)?;
        let mut seen = self.work(owner_of(shared), Task::Open(shared.clone()), Some(&mut file))?;
        if let (Shared::Tree(job), Seen::Tree(report)) = (shared, &mut seen)
            && report.agent_owned_lacking > 0
        {
            // The human can't change what belongs to the agent; the agent itself can.
            let theirs = self.work(job.agent, Task::Open(shared.clone()), Some(&mut file))?;
            report.agent_owned_lacking =
                if let Seen::Tree(theirs) = theirs { theirs.lacking.total } else { 0 };
        }
        if file.metadata().is_ok_and(|file| file.len() == 0) {
            files::remove(record)?;
        }
        Ok(seen)
    }

    fn close_to_agent(
        &mut self,
        shared: &Shared,
        human: &Owner,
        record: &AbsPath,
    ) -> Result<Seen, HostError> {
        Self::change();
        let path = match shared {
            Shared::Tree(job) | Shared::Root(job) => &job.root,
            Shared::Traverse { dir, .. } => dir,
        };
        if matches!(files::directory(path), Ok(None) | Err(HostError::Unexpected { .. })) {
            files::remove(record)?;
            return Ok(Seen::Gone);
        }
        let seen = match shared {
            Shared::Tree(job) => Seen::Tree(Box::new(self.close_tree(job, human, &priors(record)?)?)),
            Shared::Root(_) | Shared::Traverse { .. } => {
                self.work(owner_of(shared), Task::Close(shared.clone(), None, priors(record)?), None)?
            }
        };
        if matches!(shared, Shared::Tree(_)) || !self.others_pass(path, human.uid)? {
            files::remove(record)?;
        }
        Ok(seen)
    }
}

impl System {
    /// Hands over what the agent owns in a tree, and takes its entries off.
    ///
    /// The agent may be at work there, and make files faster than they can be taken. Where its new files are found, or it
    /// takes too long, its processes are ended; then a last pass finds all that there is.
    fn close_tree(&self, job: &Job, human: &Owner, priors: &[Prior]) -> Result<Report, HostError> {
        const ROUNDS: usize = 4;
        const PATIENCE: Duration = Duration::from_secs(5);
        let agent = self.identity(job.agent).ok().flatten();
        let gid = agent.map(|agent| agent.gid);
        let to = dir::Account { uid: human.uid, gid: human.gid };
        let from = dir::Account { uid: job.agent, gid: gid.unwrap_or(human.gid) };
        let begin = Instant::now();
        let mut ended: Option<Result<(), HostError>> = None;
        let mut in_time = || {
            if ended.is_none() && begin.elapsed() > PATIENCE {
                ended = Some(processes::end(job.agent, &[]).map(drop));
            }
        };
        let mut all = Report::default();
        for _ in 0..ROUNDS {
            dir::hand_over(&Dir::open(job.root.as_path())?, from, to, &mut in_time)?;
            let task = Task::Close(Shared::Tree(job.clone()), gid, priors.to_vec());
            let Seen::Tree(report) = self.work_watched(human.uid, task, None, &mut in_time)? else { break };
            let altered = std::mem::replace(&mut all, *report).altered;
            all.altered.merge(altered);
            if all.agent_owned == 0 {
                break;
            }
            processes::end(job.agent, &[])?;
        }
        ended.unwrap_or(Ok(()))?;
        Ok(all)
    }

    /// Whether another agent has an entry on a directory, whose record must then stay.
    fn others_pass(&self, dir: &AbsPath, owner: Uid) -> Result<bool, HostError> {
        for name in self.names(&places::fixed(places::STATE))? {
            let Some(person) = self.person(&name)? else { continue };
            let passage = Shared::Traverse { dir: dir.clone(), agent: person.uid, owner };
            if self.look_at(&passage)? != Seen::Passage(Passage::Missing) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Sends the kernel messages about the firewall, and fails as it says.
fn ask_netfilter(batch: &Batch) -> io::Result<()> {
    Socket::netfilter(0)?.request(batch, &mut [0; 4096])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A power cut in the middle of a line costs that line alone, not those that a later setup adds.
    #[test]
    fn a_record_that_was_cut_short() {
        let temp = tempfile::tempdir().unwrap();
        let record: AbsPath = temp.path().join("record").to_str().unwrap().parse().unwrap();
        let prior = |inode| {
            format!(
                r#"{{"path":"a","access":null,"default":null,"mode":420,"inode":{inode},"device":1,"born":null}}"#
            )
        };
        fs::write(&record, format!("{}\n{}", prior(1), &prior(2)[..20])).unwrap();
        appending(&record)
            .unwrap()
            .write_all(format!("{}\n\u{0}\n{}\n", prior(3), prior(4)).as_bytes())
            .unwrap();
        appending(&record).unwrap();
        let inodes: Vec<_> = priors(&record).unwrap().iter().map(|prior| prior.inode).collect();
        assert_eq!(inodes, [1, 3, 4]);
    }
}
