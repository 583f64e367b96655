//! The private view: what the agent does not see there, with the plain view as the control, and that it can't be undone.

use crate::common::{AGENT, Machine, View, finish, processes_of, system, until};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};

/// What a test made on the machine, taken away when it is dropped.
enum Made {
    Path(PathBuf),
    Account(&'static str),
    Memory(String),
}

impl Drop for Made {
    fn drop(&mut self) {
        match self {
            Self::Path(path) if path.is_dir() => drop(fs::remove_dir_all(path)),
            Self::Path(path) => drop(fs::remove_file(path)),
            Self::Account(name) => crate::common::attempt(&["userdel", "--force", name]),
            Self::Memory(id) => crate::common::attempt(&["ipcrm", "--shmem-id", id]),
        }
    }
}

/// A directory in which everybody may look around, with a file that everybody may read.
fn open_home(path: &str) -> Made {
    fs::create_dir(path).unwrap();
    let made = Made::Path(path.into());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(format!("{path}/notes"), "everybody's\n").unwrap();
    made
}

/// Whether the agent succeeds with a line of sh(1) in a session.
#[track_caller]
fn succeeds(machine: &Machine, line: &str) -> bool {
    machine.human().run(&["agentuser", "run", "--", "sh", "-c", line]).status.success()
}

/// Each line must succeed in the plain view, and fail in the private one, in which the project is there all the same.
#[track_caller]
fn only_in_the_plain_view(lines: &[&str], before: impl Fn(&Machine) -> Vec<Made>) {
    for view in [View::Plain, View::Private] {
        let Some(machine) = Machine::take() else { return };
        // Landlock would close some of it in the plain view, too.
        machine.set_up_policy(&format!(
            "    view: {}\n    confine: {{ landlock: false, abstract-sockets: allow, signals: allow }}\n",
            view.word()
        ));
        let _made = before(&machine);
        assert!(succeeds(&machine, "cat prices && echo x >>prices && ls -d ~/."), "{view:?}");
        for line in lines {
            assert_eq!(succeeds(&machine, line), view == View::Plain, "{view:?}: {line}");
        }
    }
}

#[test]
fn b12_siblings_of_a_project_and_other_homes() {
    let lines = [
        "cat /home/t_pv_ann/notes",
        "test -e /home/t_pv_ann/notes",
        "cat /home/t_pv_other/notes",
        "cat /srv/t_pv_else/notes",
        "cat /srv/t_pv_work/notes",
    ];
    only_in_the_plain_view(&lines, |machine| {
        let human = machine.human();
        human.write("notes", "everybody's\n");
        let mut made =
            vec![open_home("/home/t_pv_other"), open_home("/srv/t_pv_else"), open_home("/srv/t_pv_work")];
        // The home of somebody whose home is not below /home.
        system(&["useradd", "--no-create-home", "--home-dir", "/srv/t_pv_else", "t_pv_else"]);
        made.push(Made::Account("t_pv_else"));
        system(&["chown", "-R", "t_pv_else:", "/srv/t_pv_else"]);
        // A directory of the human's elsewhere, with another project in it.
        fs::create_dir("/srv/t_pv_work/site").unwrap();
        system(&["chown", "-R", &human.name, "/srv/t_pv_work"]);
        human.run(&["true"]).ok();
        machine.agentuser(&["share", "/srv/t_pv_work/site"]).ok();
        assert!(succeeds(machine, "touch /srv/t_pv_work/site/made"));
        made
    });
}

#[test]
fn b13_temporary_files_and_shared_memory() {
    let places = ["/tmp", "/var/tmp", "/dev/shm"].map(|dir| format!("{dir}/t_pv_note"));
    let lines = places.clone().map(|path| format!("cat {path}"));
    only_in_the_plain_view(&lines.each_ref().map(String::as_str), |_| {
        let made = places.iter().map(|path| {
            fs::write(path, "everybody's\n").unwrap();
            Made::Path(path.into())
        });
        made.collect()
    });
    let Some(machine) = Machine::set_up_with(View::Private) else { return };
    // What the agent leaves there is seen by its other sessions, and by nobody else.
    assert!(succeeds(&machine, "echo words | tee /tmp/t_pv_own /var/tmp/t_pv_own /dev/shm/t_pv_own"));
    assert!(succeeds(
        &machine,
        "grep words /tmp/t_pv_own /var/tmp/t_pv_own && test $(stat -c %a /tmp) = 1777"
    ));
    for place in ["/tmp", "/var/tmp", "/dev/shm"] {
        assert!(!Path::new(place).join("t_pv_own").exists(), "{place}");
    }
    machine.human().run(&["ls", &format!("/var/lib/agentuser/{AGENT}/private")]).exits(2);
}

/// Shared memory of System V that others made (sysvipc(7)).
#[test]
fn b13_memory_of_others_by_its_number() {
    let line = "ipcs -m | grep 0x0000a9e7";
    only_in_the_plain_view(&[line], |_| {
        let attach = "import ctypes; print(ctypes.CDLL(None).shmget(0xa9e7, 4096, 0o1666))";
        vec![Made::Memory(system(&["python3", "-c", attach]))]
    });
}

/// A socket that everybody may call, in the places where those of desktops are.
#[test]
fn b14_sockets_of_desktops() {
    let call = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
    let paths = ["/run/user/t_pv_socket", "/tmp/t_pv_socket"];
    let lines = paths.map(|path| format!("python3 -c '{call}' {path}"));
    only_in_the_plain_view(&lines.each_ref().map(String::as_str), |_| {
        let mut made = Vec::new();
        if !Path::new("/run/user").exists() {
            fs::create_dir("/run/user").unwrap();
            made.push(Made::Path("/run/user".into()));
        }
        for path in paths {
            let listener = UnixListener::bind(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
            std::thread::spawn(move || listener.incoming().for_each(drop));
            made.push(Made::Path(path.into()));
        }
        made.reverse();
        made
    });
}

#[test]
fn b15_processes_of_others() {
    for view in [View::Plain, View::Private] {
        let Some(machine) = Machine::set_up_with(view) else { return };
        let mut child = machine.human().command(&["sleep", "1000.5"]).spawn().unwrap();
        let pid = child.id();
        until("it runs", || fs::read(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == b"sleep\n"));
        for line in [
            format!("grep -a 1000.5 /proc/{pid}/cmdline"),
            format!("test -e /proc/{pid}"),
            "grep -as '1000[.]5' /proc/[0-9]*/cmdline | grep -v grep".into(),
        ] {
            assert_eq!(succeeds(&machine, &line), view == View::Plain, "{view:?}: {line}");
        }
        // Its own are there, and so is what the system tells of itself.
        let own = "sleep 100 & ls /proc/$!/fd >/dev/null && grep -a sleep /proc/$!/cmdline && kill $!";
        for line in
            [own, "cat /proc/meminfo /proc/cpuinfo /proc/self/status", "ls /proc/self/fd /proc/sys/kernel"]
        {
            assert!(succeeds(&machine, line), "{view:?}: {line}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// What a process that may make user namespaces tries, to get at what lies under a mask. Each is followed by a look.
const UNMASK: [&str; 8] = [
    "umount /home; umount -l /home",
    "unshare -Ur sh -c 'umount /home; umount -l /home; LOOK'",
    "unshare -Urm sh -c 'umount /home; umount -l /home; LOOK'",
    "unshare -Urm sh -c 'mkdir -p /tmp/t_pv_at; mount --bind / /tmp/t_pv_at; cat /tmp/t_pv_at/home/t_pv_ann/notes'",
    "unshare -Urm sh -c 'mount --make-rprivate /; mount -o remount,bind,rw /home; mount --move /home /mnt; LOOK'",
    "unshare -Urmpf --mount-proc sh -c 'cat /proc/1/root/home/t_pv_ann/notes'",
    "for root in /proc/[0-9]*/root /proc/[0-9]*/cwd; do cat $root/home/t_pv_ann/notes $root/../notes; done",
    "nsenter -t 1 -m cat /home/t_pv_ann/notes; nsenter -t $PPID -m cat /home/t_pv_ann/notes",
];

#[test]
fn the_view_can_not_be_undone() {
    let Some(machine) = Machine::set_up_with(View::Private) else { return };
    let human = machine.human();
    human.write("notes", "everybody's\n");
    let look = "cat /home/t_pv_ann/notes";
    for line in UNMASK {
        let line = format!("{{ {}; {look}; }} 2>/dev/null; true", line.replace("LOOK", look));
        let outcome = human.run(&["agentuser", "run", "--", "sh", "-c", &line]).ok();
        assert!(!outcome.text().contains("everybody's"), "{line}: {outcome:?}");
    }
    // Nor does the mask hold anything that the agent put there.
    for line in
        ["touch /home/x", "mkdir /home/t_pv_ann/x", "touch /home/t_pv_ann/notes", "rmdir /home/t_pv_ann/shop"]
    {
        assert!(!succeeds(&machine, line), "{line}");
    }
    // Control: the file is there, and open to the agent outside the view.
    machine.inside(&[
        "setpriv",
        &format!("--reuid={AGENT}"),
        "--clear-groups",
        "cat",
        "/home/t_pv_ann/notes",
    ]);
}

/// Nothing of root's comes along, and the account is as sudo would have made it.
#[test]
fn root_leaves_nothing_behind() {
    let look = "grep -E '^(Uid|Gid|Groups|Cap[IPEA]|NoNewPrivs)' /proc/self/status; cat /proc/self/uid_map; umask; \
                ls /proc/self/fd; ulimit -a; pwd";
    let seen = [View::Plain, View::Private].map(|view| {
        let machine = Machine::set_up_with(view)?;
        let outcome = machine.human().run(&["agentuser", "run", "--", "sh", "-c", look]).ok();
        Some(outcome.text())
    });
    assert_eq!(seen[0], seen[1]);
    assert!(seen.iter().flatten().all(|text| text.contains("CapPrm:\t0000000000000000")), "{seen:?}");
}

/// Mounts of a session are the session's alone, while it runs and after it.
#[test]
fn nothing_shows_on_the_machine() {
    let Some(machine) = Machine::set_up_with(View::Private) else { return };
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let mut child = machine
        .human()
        .command(&["agentuser", "run", "--", "sh", "-c", "touch up; sleep 100"])
        .spawn()
        .unwrap();
    until("it runs", || machine.human().project().join("up").exists());
    assert_eq!(mounts(), before);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(mounts(), before);
}

/// What is unmounted on the machine goes from sessions that run, and does not stay busy for them.
#[test]
fn what_is_unmounted_goes_from_sessions() {
    let Some(machine) = Machine::set_up_with(View::Private) else { return };
    let human = machine.human();
    fs::create_dir("/mnt/t_pv_disk").unwrap();
    let _made = Made::Path("/mnt/t_pv_disk".into());
    // In the mount namespace that the launcher has.
    let line = format!(
        "mount --make-rshared / && mount -t tmpfs t_pv /mnt/t_pv_disk && echo words >/mnt/t_pv_disk/f && \
         setpriv --reuid={0} --regid={0} --init-groups env HOME=/home/{0} sh -c 'cd shop && agentuser run -- sh -c \
         \"cat /mnt/t_pv_disk/f; touch up; until test -e gone; do sleep 0.1; done; test -e /mnt/t_pv_disk/f && echo still; true\"' & \
         until test -e {1}/up; do sleep 0.1; done; umount /mnt/t_pv_disk && touch {1}/gone; wait",
        human.name,
        human.project().display()
    );
    let mut command = machine.root(&["unshare", "-m", "sh", "-c", &line]);
    command.current_dir(&human.home);
    assert_eq!(finish(command, b"").ok().text(), "words");
}

/// A project that is not what it was is refused, and the others of the policy can't be told from what they were.
#[test]
fn projects_that_were_replaced() {
    let Some(machine) = Machine::set_up_with(View::Private) else { return };
    let human = machine.human();
    let project = human.project();
    let aside = human.home.join("aside");
    fs::rename(&project, &aside).unwrap();
    let run = || {
        let mut command = human.command(&["agentuser", "run", "--home", "--", "true"]);
        command.current_dir("/");
        finish(command, b"")
    };
    run().ok();
    std::os::unix::fs::symlink(&aside, &project).unwrap();
    run().exits(125).mentions("symbolic link");
    fs::remove_file(&project).unwrap();
    fs::create_dir(&project).unwrap();
    run().exits(125).mentions("it belongs to root");
    system(&["chown", "games:", project.to_str().unwrap()]);
    run().exits(125).mentions("neither its human nor root");
    fs::remove_dir(&project).unwrap();
    fs::rename(&aside, &project).unwrap();
    assert!(succeeds(&machine, "cat prices"));
}

/// Groups of the policy come along, and no others.
#[test]
fn groups_are_those_of_the_policy() {
    for view in View::BOTH {
        let Some(machine) = Machine::take() else { return };
        machine.set_up_policy(&format!("    groups: [games]\n    view: {}\n", view.word()));
        let groups = machine.human().run(&["agentuser", "run", "--", "id", "-Gn"]).ok().text();
        assert_eq!(groups, format!("{AGENT} games"), "{view:?}");
    }
}

/// A process that came in while the view was plain does not outlive that.
#[test]
fn sessions_of_the_other_view_end() {
    let Some(machine) = Machine::set_up_with(View::Plain) else { return };
    let line = "sleep 300 </dev/null >/dev/null 2>&1 & echo $!";
    let pid = machine.human().run(&["agentuser", "run", "--", "sh", "-c", line]).ok().text();
    let uid = system(&["id", "-u", AGENT]).parse().unwrap();
    let runs = || processes_of(uid).iter().any(|process| process.to_string() == pid);
    assert!(runs());
    machine.set_up_policy("    view: plain\n");
    assert!(runs(), "control: another setup of the same policy ends nothing");
    machine.set_up_policy("    view: private\n");
    assert!(!runs());
}
