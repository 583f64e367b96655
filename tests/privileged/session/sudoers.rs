//! What the human may do through sudo: the way in and two fixed questions to root, nothing else; and what is made of
//! arguments that `run` would not give, in either view.

use crate::common::{AGENT, Administrator, Machine, Outcome, PROGRAM, SECOND_AGENT, View};

#[track_caller]
fn sudo(machine: &Machine, arguments: &[&str]) -> Outcome {
    machine.human().run(&[&["sudo", "-n"], arguments].concat())
}

/// The way in by hand, as `run` would go but for the arguments.
#[track_caller]
fn enter(machine: &Machine, view: View, arguments: &[&str]) -> Outcome {
    machine.human().run(&[&view.way_in()[..], arguments].concat())
}

#[test]
fn sudo_lets_through_what_the_drop_in_says_and_no_more() {
    let Some(machine) = Machine::with_humans(2) else { return };
    machine.set_up_agent(0, AGENT);
    machine.set_up_agent(1, SECOND_AGENT);
    let other = SECOND_AGENT;
    let allowed: [&[&str]; 3] = [
        &[PROGRAM, "helper", "session", AGENT, "--", "--directory=", "--", "true"],
        &[PROGRAM, "helper", "status", AGENT],
        &[PROGRAM, "helper", "ensure", AGENT],
    ];
    for arguments in allowed {
        sudo(&machine, arguments).ok();
    }
    let refused: [&[&str]; 26] = [
        &["-u", AGENT, "id"],
        &["-u", AGENT, "/bin/sh", "-c", "id"],
        &["-u", AGENT, "-i"],
        &["-u", AGENT, "-s"],
        &["-u", AGENT, PROGRAM, "run", "--", "id"],
        &["-u", AGENT, PROGRAM, "worker"],
        &["-u", AGENT, PROGRAM, "enter", "--directory=", "--", "id"],
        &["-u", AGENT, "-g", "root", PROGRAM, "enter", "--directory=", "--", "id"],
        &["-u", AGENT, "LD_PRELOAD=/x", PROGRAM, "enter", "--directory=", "--", "id"],
        &["-u", other, PROGRAM, "enter", "--directory=", "--", "id"],
        &["-u", &machine.humans[1].name, PROGRAM, "enter", "--directory=", "--", "id"],
        &["-u", AGENT, PROGRAM, "helper", "session", AGENT, "--", "--directory=", "--", "id"],
        &["LD_PRELOAD=/x", PROGRAM, "helper", "session", AGENT, "--", "--directory=", "--", "id"],
        &[PROGRAM, "helper", "session", AGENT, "--"],
        &[PROGRAM, "helper", "session", AGENT, "--directory=", "--", "id"],
        &[PROGRAM, "helper", "session", other, "--", "--directory=", "--", "id"],
        &[PROGRAM, "helper", "session", "root", "--", "--directory=", "--", "id"],
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
        refused_by_sudo(&sudo(&machine, arguments), arguments);
    }
}

#[track_caller]
fn refused_by_sudo(outcome: &Outcome, arguments: &[&str]) {
    assert!(!outcome.status.success(), "{arguments:?}: {outcome:?}");
    assert_eq!(outcome.text(), "", "{arguments:?}");
    assert!(outcome.said().starts_with("sudo: "), "{arguments:?}: {outcome:?}");
}

/// With the plain view root is not on the way in, and `enter` is.
#[test]
fn each_view_has_its_own_way_in() {
    for view in View::BOTH {
        let Some(machine) = Machine::set_up_with(view) else { return };
        for way in View::BOTH {
            let outcome = enter(&machine, way, &["--directory=", "--", "true"]);
            if way == view {
                outcome.ok();
            } else {
                refused_by_sudo(&outcome, &way.way_in());
            }
        }
        // Nor does a rule of somebody else's lead around the view.
        let drop_in = "/etc/sudoers.d/t_pv_enter";
        let rule = format!("{} ALL=({AGENT}) NOPASSWD: {PROGRAM} enter *\n", machine.human().name);
        std::fs::write(drop_in, rule).unwrap();
        let by_enter = enter(&machine, View::Plain, &["--directory=", "--", "true"]);
        std::fs::remove_file(drop_in).unwrap();
        match view {
            View::Plain => by_enter.ok(),
            View::Private => by_enter.exits(125).mentions("has a private view"),
        };
    }
}

/// B18: the agent is in nobody's sudoers.
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
    for view in View::BOTH {
        let Some(machine) = Machine::set_up_with(view) else { return };
        let hostile = [
            "LD_PRELOAD=/x.so",
            "PATH=/evil",
            "HOME=/root",
            "BASH_ENV=/x",
            "AGENTUSER=root",
            "IFS=x",
            "A",
            "=B",
        ]
        .map(|pair| format!("--env={pair}"));
        let mut arguments: Vec<_> = hostile.iter().map(String::as_str).collect();
        arguments.extend(["--env=LANG=C.UTF-8", "--directory=", "--", "env"]);
        let seen = enter(&machine, view, &arguments).ok().text();
        let expected =
            enter(&machine, view, &["--env=LANG=C.UTF-8", "--directory=", "--", "env"]).ok().text();
        assert_eq!(seen, expected);
        assert!(seen.contains("LANG=C.UTF-8") && seen.contains(&format!("HOME=/home/{AGENT}")), "{seen}");
    }
}

#[test]
fn directories_by_hand_are_judged_again() {
    for view in View::BOTH {
        let Some(machine) = Machine::set_up_with(view) else { return };
        let project = machine.human().project();
        std::os::unix::fs::symlink("/etc", project.join("out")).unwrap();
        let project = project.to_str().unwrap();
        let directory = |dir: &str| enter(&machine, view, &[&format!("--directory={dir}"), "--", "pwd"]);
        assert_eq!(directory(project).ok().text(), project);
        for bad in
            ["/root", "/etc", "/", "/tmp", "relative", &format!("{project}/../.."), &format!("{project}/out")]
        {
            directory(bad).exits(125);
        }
    }
}

#[test]
fn other_arguments_by_hand_are_refused() {
    for view in View::BOTH {
        let Some(machine) = Machine::set_up_with(view) else { return };
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
            enter(&machine, view, arguments).exits(125).mentions("agentuser: ");
        }
        enter(&machine, view, &["--umask=022", "--", "true"]).ok();
        // Without an argument the entry of sudoers does not match.
        assert!(enter(&machine, view, &[]).said().starts_with("sudo: "));
        // The least that matches is the agent's own shell in the agent's own home.
        let shell = [&view.way_in()[..], &["--"]].concat();
        let outcome = crate::common::finish(machine.human().command(&shell), b"id -un; pwd; umask\n").ok();
        assert_eq!(outcome.text(), format!("{AGENT}\n/home/{AGENT}\n0077"));
    }
}

/// `enter --signal` sends as the agent, who may signal nobody else.
#[test]
fn signals_by_hand_reach_the_agents_processes_alone() {
    for view in View::BOTH {
        let Some(machine) = Machine::set_up_with(view) else { return };
        let mut own = machine.human().command(&["sleep", "100"]).spawn().unwrap();
        // SIGCONT, which harms none that runs.
        let send = |pid: &str| enter(&machine, view, &["--signal=18", &format!("--pid={pid}")]);
        send(&own.id().to_string()).exits(1);
        send("1").exits(1);
        own.kill().unwrap();
        own.wait().unwrap();
        let line = "sleep 300 </dev/null >/dev/null 2>&1 & echo $!";
        let pid = machine.human().run(&["agentuser", "run", "--", "sh", "-c", line]).ok().text();
        send(&pid).ok();
    }
}

/// Of rules that match the last one counts, so one that asks for a password may undo ours.
#[test]
fn a_rule_that_asks_for_a_password() {
    for view in View::BOTH {
        let Some(machine) = Machine::set_up_with(view) else { return };
        let (human, name) = (machine.human(), machine.human().name.clone());
        {
            // As most have it: before ours.
            let _before = Administrator::new(&machine, &name, "kettle-9");
            human.run(&["agentuser", "run", "--", "sh", "-c", "exit 1"]).exits(1);
            human.run(&["agentuser", "run", "--", "true"]).ok();
            machine.agentuser(&["setup", "--yes"]).ok();
        }
        let _after = Administrator::new(&machine, &format!("zzz-{name}"), "kettle-9");
        let refused = human.run(&["agentuser", "run", "--", "true"]).exits(125);
        assert!(refused.said().contains("without a password"), "{refused:?}");
        assert!(refused.said().contains("/etc/sudoers.d/zz-agentuser-"), "{refused:?}");
        machine.agentuser(&["setup", "--yes"]).exits(1).mentions("/etc/sudoers.d/zz-agentuser-");
    }
}
