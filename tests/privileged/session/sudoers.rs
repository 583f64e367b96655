//! What the human may do through sudo: `enter` as the agent and two fixed questions to root, nothing else; and what
//! `enter` makes of arguments that `run` would not give it.

use crate::common::{AGENT, Machine, Outcome, PROGRAM};

#[track_caller]
fn sudo(machine: &Machine, arguments: &[&str]) -> Outcome {
    machine.human().run(&[&["sudo", "-n"], arguments].concat())
}

/// `enter` by hand, as `run` would call it but for the arguments.
#[track_caller]
fn enter(machine: &Machine, arguments: &[&str]) -> Outcome {
    sudo(machine, &[&["-u", AGENT, PROGRAM, "enter"], arguments].concat())
}

#[test]
fn sudo_lets_through_what_the_drop_in_says_and_no_more() {
    let Some(machine) = Machine::with_humans(2) else { return };
    machine.set_up_agent(0, AGENT);
    machine.set_up_agent(1, crate::common::SECOND_AGENT);
    let other = crate::common::SECOND_AGENT;
    let allowed: [&[&str]; 3] = [
        &["-u", AGENT, PROGRAM, "enter", "--directory=", "--", "true"],
        &[PROGRAM, "helper", "status", AGENT],
        &[PROGRAM, "helper", "ensure", AGENT],
    ];
    for arguments in allowed {
        sudo(&machine, arguments).ok();
    }
    let refused: [&[&str]; 19] = [
        &["-u", AGENT, "id"],
        &["-u", AGENT, "/bin/sh", "-c", "id"],
        &["-u", AGENT, "-i"],
        &["-u", AGENT, "-s"],
        &["-u", AGENT, PROGRAM, "run", "--", "id"],
        &["-u", AGENT, PROGRAM, "worker"],
        &["-u", AGENT, "-g", "root", PROGRAM, "enter", "--directory=", "--", "id"],
        &["-u", AGENT, "LD_PRELOAD=/x", PROGRAM, "enter", "--directory=", "--", "id"],
        &["-u", other, PROGRAM, "enter", "--directory=", "--", "id"],
        &["-u", &machine.humans[1].name, PROGRAM, "enter", "--directory=", "--", "id"],
        &[PROGRAM, "enter", "--directory=", "--", "id"],
        &[PROGRAM, "helper", "boot"],
        &[PROGRAM, "helper", "status", other],
        &[PROGRAM, "helper", "status", AGENT, "--json"],
        &[PROGRAM, "helper", "ensure", other],
        &[PROGRAM, "setup", "--yes"],
        &[PROGRAM, "teardown", "--yes"],
        &[PROGRAM, "worker"],
        &["id"],
    ];
    for arguments in refused {
        let outcome = sudo(&machine, arguments);
        assert!(!outcome.status.success(), "{arguments:?}: {outcome:?}");
        assert_eq!(outcome.text(), "", "{arguments:?}");
        assert!(outcome.said().starts_with("sudo: "), "{arguments:?}: {outcome:?}");
    }
}

/// B18: sudo does not even start.
#[test]
fn the_agent_may_nothing_through_sudo() {
    let Some(machine) = Machine::set_up() else { return };
    for arguments in [&["id"][..], &["-u", "nobody", "id"], &[PROGRAM, "helper", "status", AGENT]] {
        let argv = [&["agentuser", "run", "--", "sudo", "-n"], arguments].concat();
        machine.human().run(&argv).exits(1).mentions("no new privileges");
    }
    sudo(&machine, &[PROGRAM, "helper", "status", AGENT]).ok();
}

#[test]
fn variables_by_hand_are_judged_again() {
    let Some(machine) = Machine::set_up() else { return };
    let hostile =
        ["LD_PRELOAD=/x.so", "PATH=/evil", "HOME=/root", "BASH_ENV=/x", "AGENTUSER=root", "IFS=x", "A", "=B"]
            .map(|pair| format!("--env={pair}"));
    let mut arguments: Vec<_> = hostile.iter().map(String::as_str).collect();
    arguments.extend(["--env=LANG=C.UTF-8", "--directory=", "--", "env"]);
    let seen = enter(&machine, &arguments).ok().text();
    let expected = enter(&machine, &["--env=LANG=C.UTF-8", "--directory=", "--", "env"]).ok().text();
    assert_eq!(seen, expected);
    assert!(seen.contains("LANG=C.UTF-8") && seen.contains(&format!("HOME=/home/{AGENT}")), "{seen}");
}

#[test]
fn directories_by_hand_are_judged_again() {
    let Some(machine) = Machine::set_up() else { return };
    let project = machine.human().project();
    std::os::unix::fs::symlink("/etc", project.join("out")).unwrap();
    let project = project.to_str().unwrap();
    let directory = |dir: &str| enter(&machine, &[&format!("--directory={dir}"), "--", "pwd"]);
    assert_eq!(directory(project).ok().text(), project);
    for bad in
        ["/root", "/etc", "/", "/tmp", "relative", &format!("{project}/../.."), &format!("{project}/out")]
    {
        directory(bad).exits(125);
    }
}

#[test]
fn other_arguments_by_hand_are_refused() {
    let Some(machine) = Machine::set_up() else { return };
    let hostile: [&[&str]; 9] = [
        &["--umask=junk", "--", "true"],
        &["--umask=7777", "--", "true"],
        &["--umask=-1", "--", "true"],
        &["--policy=/tmp/policy", "--", "true"],
        &["true"],
        &["-c", "true"],
        &["--directory", "/", "--", "true"],
        &["--agent=root", "--", "true"],
        &["--help"],
    ];
    for arguments in hostile {
        enter(&machine, arguments).exits(125).mentions("agentuser: ");
    }
    enter(&machine, &["--umask=022", "--", "true"]).ok();
    // Without an argument the entry of sudoers does not match.
    assert!(enter(&machine, &[]).said().starts_with("sudo: "));
    // The least that matches is the agent's own shell in the agent's own home.
    let shell = ["sudo", "-n", "-u", AGENT, PROGRAM, "enter", "--"];
    let outcome = crate::common::finish(machine.human().command(&shell), b"id -un; pwd; umask\n").ok();
    assert_eq!(outcome.text(), format!("{AGENT}\n/home/{AGENT}\n0077"));
}

/// `enter --signal` sends as the agent, who may signal nobody else.
#[test]
fn signals_by_hand_reach_the_agents_processes_alone() {
    let Some(machine) = Machine::set_up() else { return };
    let mut own = machine.human().command(&["sleep", "100"]).spawn().unwrap();
    // SIGCONT, which harms none that runs.
    let send = |pid: &str| enter(&machine, &["--signal=18", &format!("--pid={pid}")]);
    send(&own.id().to_string()).exits(1);
    send("1").exits(1);
    own.kill().unwrap();
    own.wait().unwrap();
    let line = "sleep 300 </dev/null >/dev/null 2>&1 & echo $!";
    let pid = machine.human().run(&["agentuser", "run", "--", "sh", "-c", line]).ok().text();
    send(&pid).ok();
}
