//! Sharing a second project and taking it back.

use super::{agent_can, assert_in_force};
use crate::common::Machine;
use std::fs;

#[test]
fn a_second_project_is_shared_and_taken_back() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let second = human.make_dir("two words");
    let second = second.to_str().unwrap();
    human.write("two words/file", "x\n");
    // Closed to everybody else, or anybody could read it who comes past the home.
    human.run(&["chmod", "o-rwx", second]).ok();
    let before = machine.snapshot();
    human.sh("cd \"$1\" && exec agentuser run -- true", &[second]).exits(125);
    machine.agentuser(&["share", second]).ok();
    assert_in_force(&machine);
    assert!(agent_can(human, "two words", "echo y >>file && echo z >new && mkdir dir"));
    // New files of either side are of use to the other, whatever the umask.
    assert!(agent_can(human, "two words", "umask 077; echo a >agents; mkdir private; echo b >private/file"));
    human
        .sh("cd \"$1\" && umask 077 && echo c >>agents && echo d >>private/file && echo e >humans", &[second])
        .ok();
    assert!(agent_can(human, "two words", "echo f >>humans"));
    machine.agentuser(&["unshare", second]).ok();
    human.sh("cd \"$1\" && exec agentuser run -- true", &[second]).exits(125);
    // Not through the other project either.
    assert!(!agent_can(human, "shop", "cat '../two words/file'"));
    assert!(agent_can(human, "shop", "cat prices"));
    human.sh("cd \"$1\" && rm -r agents private humans new dir && echo x >file", &[second]).ok();
    machine.snapshot().assert_same_as(&before, "after share and unshare");
}

#[test]
fn a_project_for_reading() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let second = human.make_dir("second");
    let second = second.to_str().unwrap();
    human.write("second/file", "x\n");
    machine.agentuser(&["share", "--read-only", second]).ok();
    assert!(agent_can(human, "second", "cat file"));
    for script in ["echo y >>file", "echo y >new", "rm -f file", "mv file other", "chmod 777 file", "mkdir d"]
    {
        assert!(!agent_can(human, "second", script), "{script}");
    }
    // The control: the same where writing is allowed, before and after a change of mind.
    assert!(agent_can(human, "shop", "echo y >>prices && echo y >new && rm -f new"));
    machine.agentuser(&["share", second]).ok();
    assert!(agent_can(human, "second", "echo y >>file && echo y >new && rm -f new"));
    machine.agentuser(&["share", "--read-only", second]).ok();
    assert!(!agent_can(human, "second", "echo y >>file"));
    assert_in_force(&machine);
}

/// A file with another name outside the project would carry what the agent writes out of it.
#[test]
fn files_with_names_outside_the_project() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.make_dir("second");
    human.make_dir("store");
    let store = human.write("store/package", "theirs\n");
    let linked = human.home.join("second/linked");
    fs::hard_link(&store, &linked).unwrap();
    human.write("second/another", "plain\n");
    human.write("second/inside", "both names inside\n");
    fs::hard_link(human.home.join("second/inside"), human.home.join("second/inside-too")).unwrap();
    let second = human.home.join("second");
    let second = second.to_str().unwrap();
    machine.agentuser(&["share", second]).ok().mentions("--break-links");
    assert!(agent_can(human, "second", "cat linked"));
    assert!(!agent_can(human, "second", "echo x >>linked"));
    assert!(agent_can(human, "second", "echo x >>another && echo x >>inside"));
    assert_eq!(fs::read_to_string(&store).unwrap(), "theirs\n");
    machine.agentuser(&["share", "--break-links", second]).ok();
    assert!(agent_can(human, "second", "echo x >>linked"));
    assert_eq!(fs::read_to_string(&store).unwrap(), "theirs\n");
    assert_eq!(fs::read_to_string(&linked).unwrap(), "theirs\nx\n");
    assert_in_force(&machine);
}

/// A project that is gone, or was renamed, can still be taken out of the policy.
#[test]
fn a_project_that_is_gone() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let second = human.make_dir("second");
    machine.agentuser(&["share", second.to_str().unwrap()]).ok();
    fs::remove_dir_all(&second).unwrap();
    for status in [machine.agentuser(&["status"]), human.run(&["agentuser", "status"])] {
        status.exits(1).mentions("second` is not a directory");
    }
    machine.agentuser(&["unshare", second.to_str().unwrap()]).ok();
    assert_in_force(&machine);
}

/// The agent makes new files all the time, in every directory that it may write.
#[test]
fn a_project_is_taken_back_from_an_agent_at_work() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let second = human.make_dir("second");
    for n in 0..200 {
        human.make_dir(&format!("second/{n}"));
    }
    let second = second.to_str().unwrap();
    machine.agentuser(&["share", second]).ok();
    let busy = "import os\n\
                at = [os.open(d, os.O_RDONLY) for d in ['.'] + os.listdir('.') if os.path.isdir(d)]\n\
                open('begun', 'w')\n\
                n = 0\n\
                while True:\n\
                \x20   for d in at:\n\
                \x20       n += 1\n\
                \x20       try: os.mkdir(f'agents{n}', dir_fd=d); at.append(os.open(f'agents{n}', os.O_RDONLY, dir_fd=d))\n\
                \x20       except OSError: pass\n\
                \x20       if len(at) > 500: at[200:300] = []";
    let mut command = human.command(&[
        "agentuser",
        "run",
        "--",
        "sh",
        "-c",
        "setsid python3 -c \"$1\" >/dev/null 2>&1 &",
        "sh",
        busy,
    ]);
    command.current_dir(second);
    crate::common::finish(command, b"").ok();
    crate::common::until("it is at work", || fs::exists(format!("{second}/begun")).unwrap());
    machine.agentuser(&["unshare", second]).ok();
    let agents = crate::common::system(&["find", second, "-user", crate::common::AGENT]);
    let open = crate::common::system(&["getfacl", "-R", second]);
    assert!(agents.is_empty(), "{agents}");
    assert!(!open.contains(crate::common::AGENT), "{open}");
}

/// An ACL stays on what is moved out of a project.
#[test]
fn b32_what_was_moved_out_is_found() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let moved = || human.run(&["agentuser", "status", "--moved", "--json"]);
    let none = moved().ok();
    assert!(none.text().contains("\"moved\": []"), "{none:?}");
    human.sh("mkdir -p ../old && echo x >notes && mkdir sub && echo y >sub/f && mv notes sub ../old && cp prices ../old", &[]).ok();
    let found = moved().exits(1);
    let json: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let paths: Vec<_> =
        json["moved"].as_array().unwrap().iter().map(|item| item["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["old/notes", "old/sub", "old/sub/f"]);
    // Elsewhere there is none, and the command that is named takes them away.
    human.run(&["agentuser", "status", "--moved", "--below", "../shop"]).ok();
    let text = human.run(&["agentuser", "status", "--moved"]).exits(1).text();
    let command = text.lines().find_map(|line| line.strip_prefix("To take them away: ")).unwrap();
    let command = command.split(" PATH").next().unwrap();
    human
        .sh(
            &format!("{command} old/notes && setfacl -R{} old/sub", command.split_once("setfacl").unwrap().1),
            &[],
        )
        .ok();
    moved().ok();
}
