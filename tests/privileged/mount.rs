//! Sharing by id-mapped mounts: both parties work on the same files, whatever mode a tool picks, and nothing on the disk is
//! changed for it. The control is the same without the mapping, by entries on the disk.

use crate::common::{AGENT, Machine, Outcome, processes_of, system};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

const MOUNT: &str = "    sharing: mount\n";

fn set_up() -> Option<Machine> {
    let machine = Machine::take()?;
    machine.set_up_policy(MOUNT);
    Some(machine)
}

#[track_caller]
fn agent(machine: &Machine, line: &str) -> Outcome {
    machine.human().run(&["agentuser", "run", "--", "sh", "-c", line])
}

/// On the disk all of it is the human's, and git asks the human nothing.
#[test]
fn what_the_agent_makes_is_the_humans() {
    let Some(machine) = set_up() else { return };
    agent(&machine, "umask 077; mkdir made; echo x >made/f; git init -q made/repo").ok();
    let (uid, human) = (machine.human().uid, machine.human());
    for path in ["made", "made/f", "made/repo/.git/config"] {
        assert_eq!(fs::metadata(human.project().join(path)).unwrap().uid(), uid, "{path}");
    }
    human.sh("git -C made/repo status && echo y >>made/f && rm -r made", &[]).ok();
}

#[test]
fn nothing_on_the_disk_is_changed_to_share() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    human.make_dir("shop/deep");
    human.write("shop/deep/closed", "x\n");
    human.run(&["chmod", "600", "deep/closed"]).ok();
    let acls = || system(&["getfacl", "-R", "-n", "-p", human.home.to_str().unwrap()]);
    let before = acls();
    machine.set_up_policy(MOUNT);
    human.run(&["rm", "-f", "../policy.yaml"]).ok();
    assert_eq!(acls(), before);
    agent(&machine, "cat deep/closed && echo y >>deep/closed").ok();
    human.run(&["agentuser", "status"]).ok().mentions("by an id-mapped mount");
    // Outside a session the home stays shut.
    let outside = machine.command_as_agent(&["cat", "/home/t_pv_ann/shop/prices"]);
    assert!(!outside.status.success(), "{outside:?}");
    // Control: sharing by entries opens the way.
    machine.set_up_policy("    sharing: acl\n");
    assert_ne!(acls(), before);
    machine.command_as_agent(&["cat", "/home/t_pv_ann/shop/prices"]).ok();
}

/// From entries to mounts and back: what the agent made is handed over, entries go and come.
#[test]
fn from_entries_to_mounts_and_back() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let acls = || system(&["getfacl", "-R", "-n", "-p", human.project().to_str().unwrap()]);
    let before = acls();
    machine.set_up_policy("");
    agent(&machine, "umask 077; echo x >theirs").ok();
    let theirs = human.project().join("theirs");
    assert_ne!(fs::metadata(&theirs).unwrap().uid(), human.uid);
    machine.set_up_policy(MOUNT);
    assert_eq!(fs::metadata(&theirs).unwrap().uid(), human.uid);
    agent(&machine, "cat theirs && echo y >>theirs && rm theirs").ok();
    assert_eq!(acls(), before);
    human.run(&["agentuser", "status"]).ok();
    machine.set_up_policy("");
    assert_ne!(acls(), before);
    agent(&machine, "echo z >>prices").ok();
}

/// Files of third accounts and of root are nobody's, and what the human may not change the agent may not.
#[test]
fn files_of_others_stay_theirs() {
    let Some(machine) = set_up() else { return };
    let project = machine.human().project();
    fs::write(project.join("roots"), "x\n").unwrap();
    fs::set_permissions(project.join("roots"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!agent(&machine, "echo y >>roots").status.success());
    agent(&machine, "cat roots && echo y >>prices").ok();
}

/// B21: a set-user-id bit would make a program of the agent's run as the human for whoever starts it outside.
#[test]
fn b21_no_set_id_bits_through_a_mount() {
    let Some(machine) = set_up() else { return };
    agent(&machine, "cp /usr/bin/id f").ok();
    for line in
        ["chmod u+s f", "chmod 4755 f", "chmod g+s f", "install -m 4755 f g && test -u g", "chmod 2755 ."]
    {
        assert!(!agent(&machine, line).status.success(), "{line}");
    }
    // openat2(2) and io_uring carry a mode where a filter can't see it.
    let by_number = |number: u32| {
        format!("python3 -c 'import ctypes; exit(ctypes.CDLL(None).syscall({number}, -1, 0, 0, 0) != -1)'")
    };
    agent(&machine, &by_number(437)).ok();
    agent(&machine, "chmod 755 f && ./f -u").ok();
    let mode = fs::metadata(machine.human().project().join("f")).unwrap().mode();
    assert_eq!(mode & 0o6000, 0);
    // Control: the human's own program may have the bit, and in a session it does not count.
    machine.human().run(&["chmod", "4755", "f"]).ok();
    let uid = agent(&machine, "./f -u").ok().text();
    assert_ne!(uid, machine.human().uid.to_string());
    machine.human().run(&["test", "-u", "f"]).ok();
}

/// A file with a name outside the project is written there, too: the human decides first.
#[test]
fn hard_links_out_of_the_project() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    human.write("store", "x\n");
    human.run(&["ln", "../store", "linked"]).ok();
    let text = format!(
        "version: 1\nagents:\n  {AGENT}:\n    human: {}\n    sharing: mount\n    projects:\n      - path: {}\n",
        human.name,
        human.project().display()
    );
    let file = human.write("policy.yaml", &text);
    let refused = machine.agentuser(&["setup", "--yes", "--policy", file.to_str().unwrap()]);
    refused.exits(1).mentions("other names outside the project").mentions("--break-links");
    machine.agentuser(&["share", "--break-links", human.project().to_str().unwrap()]).ok();
    agent(&machine, "echo y >>linked").ok();
    assert_eq!(fs::read_to_string(human.home.join("store")).unwrap(), "x\n");
}

/// A filesystem that can't map ids is shared by entries, and `status` says why.
#[test]
fn a_filesystem_that_can_not_map_ids() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let (over, project) = (human.home.join("over"), human.project());
    let project = project.to_str().unwrap();
    system(&["install", "-d", over.to_str().unwrap()]);
    system(&["mount", "-t", "tmpfs", "t_pv", over.to_str().unwrap()]);
    for name in ["upper", "work"] {
        fs::create_dir(over.join(name)).unwrap();
    }
    system(&["chown", &human.name, over.join("upper").to_str().unwrap()]);
    let options = format!("lowerdir={project},upperdir={0}/upper,workdir={0}/work", over.display());
    system(&["mount", "-t", "overlay", "t_pv", "-o", &options, project]);
    let result = std::panic::catch_unwind(|| {
        machine.set_up_policy(MOUNT);
        human.run(&["agentuser", "status"]).ok().mentions("sharing: acl").mentions("can't map ids");
        agent(&machine, "cat prices").ok();
        machine.tear_down(AGENT);
    });
    for dir in [project, over.to_str().unwrap()] {
        system(&["umount", "-l", dir]);
    }
    result.unwrap();
}

/// git needs no exception there, for the repository is the agent's own.
#[test]
fn git_through_a_mount() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    human
        .sh(
            "git init -q . && git add -A && git -c user.name=A -c user.email=a@example.com commit -qm one",
            &[],
        )
        .ok();
    machine.set_up_policy(MOUNT);
    let commit =
        "echo x >g; git add g; git -c user.name=B -c user.email=b@example.com commit -qm two; git gc -q";
    agent(&machine, &format!("GIT_CONFIG_SYSTEM=/dev/null; export GIT_CONFIG_SYSTEM; {commit}")).ok();
    for plant in ["git config core.fsmonitor x", "echo x >.git/hooks/pre-commit", "mv .git g"] {
        assert!(!agent(&machine, plant).status.success(), "{plant}");
    }
    human.sh("git log --oneline | grep two && git status", &[]).ok();
}

/// What a session holds can't be taken from it, so it ends with the project.
#[test]
fn a_project_that_is_taken_back_ends_the_sessions_that_hold_it() {
    let Some(machine) = set_up() else { return };
    let uid = system(&["id", "-u", AGENT]).parse().unwrap();
    agent(&machine, "sleep 300 </dev/null >/dev/null 2>&1 &").ok();
    assert!(!processes_of(uid).is_empty());
    machine.set_up_policy(MOUNT);
    assert!(!processes_of(uid).is_empty(), "control: another setup ends nothing");
    machine.agentuser(&["unshare", machine.human().project().to_str().unwrap()]).ok();
    assert!(processes_of(uid).is_empty());
    agent(&machine, "true").exits(125).mentions("is not shared");
}
