//! The keeper beside the table of [`crate::table`]: what it leaves alone, and what becomes of it.

use crate::common::{AGENT, Human, Machine, processes_of, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    process::Child,
    time::{Duration, Instant},
};

/// A session that lasts as long as it lives.
pub(crate) struct Session(Child);

impl Session {
    pub(crate) fn start(human: &Human) -> Self {
        let session = Self(human.command(&["agentuser", "run", "--", "sleep", "300"]).spawn().unwrap());
        until("both keepers are at work", || keepers(human).len() == 2);
        session
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn agents_uid() -> u32 {
    nix::unistd::User::from_name(AGENT).unwrap().unwrap().uid.as_raw()
}

/// The processes of both keepers.
fn keepers(human: &Human) -> Vec<i32> {
    let is = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "agentuser-keep\n")
    };
    [human.uid, agents_uid()].into_iter().flat_map(processes_of).filter(is).collect()
}

/// The process that tells the agent's keeper whether sessions run.
fn lookers() -> Vec<i32> {
    let is = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "agentuser-look\n")
    };
    processes_of(agents_uid()).into_iter().filter(is).collect()
}

fn field(pid: i32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_default().trim().to_owned()
}

/// Either half of the agent's keeper ends with the other one, and both come back while the session goes on.
#[test]
fn halves_of_the_agents_keeper() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let session = Session::start(human);
    until("there is a looker", || lookers().len() == 1);
    for of_looker in [true, false] {
        let agents = || {
            processes_of(agents_uid())
                .into_iter()
                .filter(|pid| keepers(human).contains(pid))
                .collect::<Vec<_>>()
        };
        let (looker, keeper) = (lookers()[0], agents()[0]);
        // It parses nothing of the agent's, and so is of one thread, with a filter and one open pipe.
        until("it is confined", || field(looker, "Seccomp:") == "2");
        assert_eq!((field(looker, "Threads:"), field(keeper, "Threads:")), ("1".into(), "1".into()));
        assert_eq!(field(looker, "NoNewPrivs:"), "1");
        let open: Vec<_> = fs::read_dir(format!("/proc/{looker}/fd"))
            .unwrap()
            .flatten()
            .map(|fd| fs::read_link(fd.path()).unwrap())
            .collect();
        assert_eq!(open.iter().filter(|to| !to.starts_with("/dev/null")).count(), 1, "{open:?}");
        kill(Pid::from_raw(if of_looker { looker } else { keeper }), Signal::SIGKILL).unwrap();
        until("the other half ends", || !lookers().contains(&looker) && !agents().contains(&keeper));
        until("both are there again", || lookers().len() == 1 && keepers(human).len() == 2);
        let name = format!("made{of_looker}");
        until("files are kept", || {
            sh(human, true, "install -m 600 /etc/hostname $1 && sleep 0.1", &name).ok();
            human.sh("cat $1", &[&name]).status.success()
        });
    }
    drop(session);
    until("all of it ends", || lookers().is_empty() && keepers(human).is_empty());
}

pub(crate) fn signal_keepers(human: &Human, signal: Signal) {
    for pid in keepers(human) {
        kill(Pid::from_raw(pid), signal).unwrap();
    }
}

/// How `$1` is made or used by one of both.
fn sh(human: &Human, by_agent: bool, line: &str, name: &str) -> crate::common::Outcome {
    let before: &[&str] = if by_agent { &["agentuser", "run", "--"] } else { &[] };
    human.run(&[before, &["sh", "-c", line, "sh", name]].concat())
}

#[test]
fn keepers_end_after_the_last_session() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    drop(Session::start(human));
    until("the keepers end", || keepers(human).is_empty());
}

/// They see that the session goes on, for longer than they stay after one.
#[test]
fn keepers_stay_as_long_as_the_session() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    let first = keepers(human);
    std::thread::sleep(Duration::from_secs(9));
    assert_eq!(keepers(human), first);
}

#[test]
fn keys_stay_as_their_tools_want_them() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    let make =
        "mkdir .ssh; for f in id_test tls.key .ssh/config plain; do install -m 600 /etc/hostname $f; done";
    sh(human, true, make, "").ok();
    until("the plain file is mended", || human.sh("cat plain", &[]).status.success());
    for name in ["id_test", "tls.key", ".ssh/config"] {
        human.run(&["cat", name]).exits(1);
    }
}

/// git gives an object its name by a second one, and takes the first away. The kernel tells nobody of that.
#[test]
fn a_file_that_had_another_name_for_a_while() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    signal_keepers(human, Signal::SIGSTOP);
    human.sh("for f in a b; do install -m 600 /etc/hostname .$f; ln .$f $f; done", &[]).ok();
    signal_keepers(human, Signal::SIGCONT);
    // The keeper comes upon both names.
    human.sh("sleep 0.1; rm .a", &[]).ok();
    until("the agent reads it", || sh(human, true, "cat a && echo 1 >>a", "").status.success());
    // The control: what keeps its other name may have it outside of the project.
    sh(human, true, "cat b || exit 7", "").exits(7);
}

/// The human's keeper can't enter a directory that the agent closed; it watches it as soon as it can.
#[test]
fn a_directory_that_opens_later_is_kept() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    let agents = || keepers(human).into_iter().filter(|pid| processes_of(agents_uid()).contains(pid));
    for pid in agents() {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    }
    sh(human, true, "mkdir -m 700 d", "").ok();
    std::thread::sleep(Duration::from_millis(300));
    human.sh("ls d || exit 7", &[]).exits(7);
    signal_keepers(human, Signal::SIGCONT);
    until("the human enters it", || human.sh("ls d", &[]).status.success());
    std::thread::sleep(Duration::from_millis(600));
    human.sh("install -m 600 /etc/hostname d/f", &[]).ok();
    until("the agent reads it", || sh(human, true, "cat d/f && echo 1 >>d/f", "").status.success());
    // The control: without a keeper it stays closed.
    signal_keepers(human, Signal::SIGSTOP);
    human.sh("install -m 600 /etc/hostname d/g", &[]).ok();
    std::thread::sleep(Duration::from_millis(300));
    sh(human, true, "cat d/g || exit 7", "").exits(7);
    signal_keepers(human, Signal::SIGCONT);
}

/// A mask that rises lets nobody else in: other entries lose first what it would give them.
#[test]
fn nobody_else_gains() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    sh(human, true, "echo 1 >f; setfacl -m u:nobody:rw,g::rw f; chmod 600 f", "").ok();
    until("the human reads it", || human.sh("cat f && echo 1 >>f", &[]).status.success());
    let acl = human.run(&["getfacl", "-cE", "f"]).ok().text();
    for line in acl.lines().filter(|line| line.starts_with("user:nobody") || line.starts_with("group::")) {
        assert!(line.ends_with(":---"), "{acl}");
    }
    assert!(acl.contains("other::---"), "{acl}");
}

#[test]
fn a_killed_keeper_is_replaced_and_the_next_one_sweeps() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let session = Session::start(human);
    // Only the agent's: the human's has another one started.
    let own = |uid: u32| {
        keepers(human).into_iter().filter(|pid| processes_of(uid).contains(pid)).collect::<Vec<_>>()
    };
    for pid in own(agents_uid()) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    until("there is another one", || own(agents_uid()).len() == 1);

    // Both, and what was made meanwhile waits for the sweep of the next ones.
    let wait = "while [ ! -e go ]; do sleep 0.05; done; mkdir -m 700 left; install -m 600 /etc/hostname left/f; touch made";
    let mut waiting = human.command(&["agentuser", "run", "--", "sh", "-c", wait]).spawn().unwrap();
    until("the other session waits", || processes_of(agents_uid()).len() >= 3);
    for pid in own(human.uid).into_iter().chain(own(agents_uid())) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    human.write("shop/go", "");
    waiting.wait().unwrap();
    assert!(human.project().join("made").exists());
    human.run(&["cat", "left/f"]).exits(1);
    human.run(&["agentuser", "run", "--", "true"]).ok();
    until("the sweep mends it", || human.sh("cat left/f", &[]).status.success());
    drop(session);
}

/// Makes a tree of so many directories with ten files each, closed to everybody else, as the agent.
fn burst(human: &Human, name: &str, dirs: &str) {
    let make = "import os, sys\nos.umask(0o77)\nos.mkdir(sys.argv[1])\nfor i in range(int(sys.argv[2])):\n  d = f'{sys.argv[1]}/{i}'; os.mkdir(d)\n  for j in range(10): os.close(os.open(f'{d}/{j}', os.O_CREAT | os.O_WRONLY, 0o600))";
    human.run(&["agentuser", "run", "--", "/usr/bin/python3", "-c", make, name, dirs]).ok();
}

/// How many files of a tree the human can read and write; it fails at the first one that is closed.
fn readable(human: &Human, name: &str) -> crate::common::Outcome {
    let count = "import os, sys\nfound = 0\nfor dir, dirs, files in os.walk(sys.argv[1]):\n  for f in files:\n    os.close(os.open(f'{dir}/{f}', os.O_RDWR)); found += 1\nprint(found)";
    human.run(&["/usr/bin/python3", "-c", count, name])
}

/// The kernel's limit of waiting events of an inotify instance, until it is dropped.
struct QueueOf(String);

impl QueueOf {
    const FILE: &str = "/proc/sys/fs/inotify/max_queued_events";

    fn new(events: u32) -> Self {
        let before = fs::read_to_string(Self::FILE).unwrap();
        fs::write(Self::FILE, events.to_string()).unwrap();
        Self(before)
    }
}

impl Drop for QueueOf {
    fn drop(&mut self) {
        let _ = fs::write(Self::FILE, &self.0);
    }
}

/// Where nearly every event is lost, sweeps find what was made.
#[test]
fn a_queue_of_16_events() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let small = QueueOf::new(16);
    let session = Session::start(human);
    drop(small);
    burst(human, "many", "2000");
    let began = Instant::now();
    until("all of it can be used", || readable(human, "many").text() == "20000");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The control: nobody keeps it.
    signal_keepers(human, Signal::SIGSTOP);
    burst(human, "more", "20");
    assert!(readable(human, "more").text() != "200");
    signal_keepers(human, Signal::SIGCONT);
    drop(session);
}

#[test]
fn a_burst_leaves_nothing_closed() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    let (burst, readable) =
        (|name: &str, dirs: &str| burst(human, name, dirs), |name: &str| readable(human, name));
    burst("many", "1000");
    until("all of it can be used", || readable("many").text() == "10000");

    // The kernel keeps 16,384 events for a keeper that stands still, and tells it of those that are lost.
    signal_keepers(human, Signal::SIGSTOP);
    let flood =
        "import os\nfor i in range(20000): os.close(os.open(f'many/f{i}', os.O_CREAT | os.O_WRONLY, 0o600))";
    human.run(&["agentuser", "run", "--", "/usr/bin/python3", "-c", flood]).ok();
    burst("more", "200");
    assert!(readable("more").text() != "2000", "control: nothing is mended meanwhile");
    signal_keepers(human, Signal::SIGCONT);
    let began = Instant::now();
    until("what was lost is found", || {
        readable("many").text() == "30000" && readable("more").text() == "2000"
    });
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// A directory that is made where one was that somebody still holds, and one that goes to another place and comes back.
#[test]
fn directories_that_come_again_are_kept() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    let make = "mkdir $1; cd $1; new() { install -m 600 /etc/hostname $1; }
        mkdir -m 700 a b d; sleep 0.3; exec 9<d; rmdir d; mkdir -m 700 d; mkdir -m 700 a/e; sleep 0.3
        mv a/e b/e; new b/e/f; sleep 0.3; mv b/e a/e; new a/e/g; sleep 0.3; new d/f";
    let read = |name: &str| human.sh("cat $1/a/e/f && cat $1/a/e/g && cat $1/d/f", &[name]);
    sh(human, true, make, "kept").ok();
    until("all of it can be read", || read("kept").status.success());

    signal_keepers(human, Signal::SIGSTOP);
    sh(human, true, make, "control").ok();
    assert!(!read("control").status.success());
    signal_keepers(human, Signal::SIGCONT);
}

/// A project that is taken back stays so, whatever a keeper still hears of it.
#[test]
fn what_is_taken_back_is_not_given_again() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    sh(human, true, "umask 077; mkdir -p a/b; echo 1 >a/b/f", "").ok();
    let project = human.project().display().to_string();
    machine.agentuser(&["unshare", &project]).ok();
    std::thread::sleep(Duration::from_millis(300));
    let acls = machine.inside(&["getfacl", "-RcEp", &project]);
    assert!(!acls.contains(AGENT), "{acls}");
}

/// How `$1` is made: closed to all but its owner.
const CLOSED: &str = "install -m 600 /etc/hostname \"$1\"";

fn settle() {
    std::thread::sleep(Duration::from_millis(600));
}

/// A directory has one watch, which goes with it to another project.
#[test]
fn a_directory_that_moves_to_another_project() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let site = human.make_dir("site").display().to_string();
    machine.agentuser(&["share", &site]).ok();
    let _session = Session::start(human);
    human.sh("mkdir lib stays", &[]).ok();
    settle();
    human.sh("mv lib \"$1\"", &[&site]).ok();
    settle();
    // The control: one that stays.
    for name in ["stays/f".to_owned(), format!("{site}/lib/f")] {
        human.sh(CLOSED, &[&name]).ok();
        until(&format!("the agent reads {name}"), || sh(human, true, "cat \"$1\"", &name).status.success());
    }
    let name = format!("{site}/lib/g");
    sh(human, true, CLOSED, &name).ok();
    until("the human reads it", || human.sh("cat \"$1\"", &[&name]).status.success());
}

/// What is made in a directory of the other party's while it has another name for less than the time that it would wait.
#[test]
fn the_others_directory_goes_and_comes_back() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    sh(human, true, "mkdir d", "").ok();
    settle();
    human.sh(&format!("mv d x; sleep 0.05; set -- x/f; {CLOSED}; sleep 0.05; mv x d"), &[]).ok();
    until("the agent reads it", || sh(human, true, "cat d/f", "").status.success());
}

/// A test suite's way to make a directory that can't be entered, and to clean up.
#[test]
fn what_was_made_before_its_directory_was_closed() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    sh(human, true, "mkdir -p a/b c", "").ok();
    settle();
    signal_keepers(human, Signal::SIGSTOP);
    sh(human, true, &format!("for f in a/b/f c/f; do set -- $f; {CLOSED}; done; chmod 000 a c"), "").ok();
    signal_keepers(human, Signal::SIGCONT);
    std::thread::sleep(Duration::from_millis(300));
    // The control: what is closed to its owner is closed.
    sh(human, true, "cat a/b/f || exit 7", "").exits(7);
    sh(human, true, "chmod 700 a c", "").ok();
    for name in ["a/b/f", "c/f"] {
        until(&format!("the human reads {name}"), || human.sh("cat $1", &[name]).status.success());
    }
}

/// However deep it was: what its new place has is not the project's.
#[test]
fn a_directory_that_leaves_the_project_is_not_kept() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    let levels = "d/".repeat(80);
    for depth in [10, 62, 63, 64, 66] {
        human.sh("mkdir -p $1", &[&levels]).ok();
        settle();
        let (below, out) = (&levels[..2 * depth - 1], human.home.join(format!("out{depth}")));
        let (deep, out) = (format!("{below}/control"), out.display().to_string());
        human.sh(CLOSED, &[&deep]).ok();
        until("the control is mended", || sh(human, true, "cat $1", &deep).status.success());
        human.sh("mv $1 $2 && sleep 0.6 && chmod 700 $2", &[below, &out]).ok();
        let mut way = out.clone();
        for _ in 0..4 {
            let made = format!("{way}/mine");
            human.sh(&format!("umask 077; {CLOSED}"), &[&made]).ok();
            std::thread::sleep(Duration::from_millis(200));
            let acl = human.run(&["getfacl", "-cp", &made]).ok().text();
            assert!(!acl.contains("mask::rw"), "depth {depth}, {made}: {acl}");
            way += "/d";
        }
        human.sh("rm -rf d", &[]).ok();
    }
}

/// How many directories both keepers watch.
fn watches(human: &Human) -> usize {
    let of = |pid: i32| {
        let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten();
        let texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
        texts.map(|text| text.lines().filter(|line| line.starts_with("inotify wd:")).count()).sum::<usize>()
    };
    keepers(human).into_iter().map(of).sum()
}

/// A human has a limit of watches, which other tools need too.
#[test]
fn what_left_the_project_is_not_watched() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    let before = watches(human);
    let out = human.make_dir("out").display().to_string();
    let make = |name: &str| {
        human.sh("mkdir $1; for i in $(seq 100); do mkdir $1/$i; done", &[name]).ok();
        // The control: they are watched by both where they are.
        until("all are watched", || watches(human) == before + 202);
        human.sh("mv $1 $2", &[name, &out]).ok();
    };
    make("told");
    human.sh("for i in $(seq 100); do touch $1/told/$i/f; done; touch $1/told/f", &[&out]).ok();
    until("what happens there ends the watch", || watches(human) == before);
    make("untold");
    // The queue runs over, and a sweep comes.
    signal_keepers(human, Signal::SIGSTOP);
    let flood =
        "import os\nfor i in range(20000): os.close(os.open(f'f{i}', os.O_CREAT | os.O_WRONLY, 0o600))";
    human.run(&["/usr/bin/python3", "-c", flood]).ok();
    signal_keepers(human, Signal::SIGCONT);
    until("a sweep ends the others", || watches(human) == before);
}
