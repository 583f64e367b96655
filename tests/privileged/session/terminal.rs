//! A launch on a terminal: what is a terminal and how large, keys that send signals, jobs.

use super::Way;
use crate::common::{Machine, Terminal};

#[test]
fn streams_are_terminals_where_they_would_be() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    for redirect in [
        "",
        "</dev/null",
        "| cat",
        "2>/dev/null",
        "</dev/null >/dev/null",
        "</dev/null 2>&1 | cat",
        ">/dev/null 2>&1",
    ] {
        let script = "test -t 0 && a=0; test -t 1 && b=1; test -t 2 && c=2; \
                      (: </dev/tty) 2>/dev/null && d=tty; echo \"$a $b $c $d\" >>report";
        let reports = Way::BOTH.map(|way| {
            human.write("shop/report", "");
            let line = format!("\"$@\" {redirect}; echo over");
            let argv = [&["sh", "-c", &line, "sh"], way.before(), &["sh", "-c", script]].concat();
            let mut terminal = human.terminal(&argv);
            terminal.expect("over");
            assert!(terminal.wait().success());
            std::fs::read_to_string(human.project().join("report")).unwrap()
        });
        assert_eq!(reports[0], reports[1], "with {redirect:?}");
        assert!(reports[0].contains("tty"), "{reports:?}");
    }
}

#[test]
fn without_a_terminal_there_is_none() {
    let Some(machine) = Machine::set_up() else { return };
    let script =
        "for fd in 0 1 2; do test -t $fd && exit 1; done; (: </dev/tty) 2>/dev/null && exit 2; exit 0";
    for way in Way::BOTH {
        way.run(&machine, &["sh", "-c", script], b"").ok();
    }
}

#[test]
fn the_window_has_its_size_and_changes_it() {
    let Some(machine) = Machine::set_up() else { return };
    for way in Way::BOTH {
        // bash forgets a signal that comes while its trap still runs, so the trap does as little as can be.
        let script = "trap changed=1 WINCH; echo at first $(stty size); \
                      while :; do test $changed && changed= && echo now $(stty size); sleep 0.02; done";
        let argv = [way.before(), &["bash", "-c", script]].concat();
        let mut terminal = machine.human().terminal(&argv);
        terminal.expect("at first 24 80");
        terminal.resize(132, 50);
        terminal.expect("now 50 132");
        terminal.resize(40, 10);
        terminal.expect("now 10 40");
        terminal.send("\x03");
        terminal.wait();
    }
}

/// A shell with job control, its prompt known.
fn shell(machine: &Machine) -> Terminal {
    machine.human().terminal(&["env", "PS1=ready> ", "bash", "--norc", "--noprofile", "-i"])
}

/// Waits for the prompt, types a line, and takes its echo off the way.
#[track_caller]
fn line(terminal: &mut Terminal, text: &str) {
    terminal.expect("ready> ");
    terminal.send(&format!("{text}\n"));
    terminal.expect("\r\n");
}

fn typed(way: Way, command: &str) -> String {
    format!("{} {command}", way.before().join(" "))
}

#[test]
fn keys_send_their_signals() {
    let Some(machine) = Machine::set_up() else { return };
    for (key, name, status) in [("\x03", "INT", 130), ("\x1c", "QUIT", 131)] {
        for way in Way::BOTH {
            let mut terminal = shell(&machine);
            // One that does nothing about it.
            line(&mut terminal, &typed(way, "sh -c 'ulimit -c 0; echo up-1; exec sleep 100'"));
            terminal.expect("up-1");
            terminal.send(key);
            line(&mut terminal, "echo status=$?");
            terminal.expect(&format!("status={status}"));
            // One that handles it.
            let script = format!(
                "sh -c 'trap \"echo caught-it; exit 9\" {name}; echo up-2; while :; do sleep 0.02; done'"
            );
            line(&mut terminal, &typed(way, &script));
            terminal.expect("up-2");
            terminal.send(key);
            terminal.expect("caught-it");
            line(&mut terminal, "echo status=$?");
            terminal.expect("status=9");
            assert_eq!(terminal.shown().matches("caught-it\r\n").count(), 1, "{way:?}: it was sent once");
            line(&mut terminal, "exit");
            terminal.wait();
        }
    }
}

#[test]
fn jobs_are_stopped_and_go_on() {
    let Some(machine) = Machine::set_up() else { return };
    for way in Way::BOTH {
        let mut terminal = shell(&machine);
        // A shell's own `fg` is not yet the command's: it tells when it goes on, and only then is the next key pressed.
        let script = "sh -c 'trap \"echo again=$((1+1))\" CONT; echo up; until read word; do :; done; echo \"word: $word\"'";
        line(&mut terminal, &typed(way, script));
        terminal.expect("up");
        for _ in 0..3 {
            terminal.send("\x1a");
            terminal.expect("Stopped");
            line(&mut terminal, "jobs");
            terminal.expect("Stopped");
            line(&mut terminal, "fg");
            terminal.expect("again=2");
        }
        terminal.send("hello\n");
        terminal.expect("word: hello");
        line(&mut terminal, "echo status=$?");
        terminal.expect("status=0");
        line(&mut terminal, "exit");
        terminal.wait();
    }
}

#[test]
fn jobs_run_in_the_background() {
    let Some(machine) = Machine::set_up() else { return };
    for way in Way::BOTH {
        let mut terminal = shell(&machine);
        line(&mut terminal, &format!("{} &", typed(way, "sh -c 'sleep 0.2; exit 4'")));
        line(&mut terminal, "wait %1; echo status=$?");
        terminal.expect("status=4");
        // One that was stopped goes on in the background. (A shell that is stopped as it starts a child may hang.)
        line(&mut terminal, &typed(way, "sh -c 'echo up; exec sleep 0.5'"));
        terminal.expect("up");
        terminal.send("\x1a");
        terminal.expect("Stopped");
        line(&mut terminal, "bg; wait; echo over");
        terminal.expect("over");
        line(&mut terminal, "exit");
        terminal.wait();
    }
}

#[test]
fn a_person_types_into_the_command() {
    let Some(machine) = Machine::set_up() else { return };
    for way in Way::BOTH {
        let argv = [way.before(), &["sh", "-c", "echo up; cat; echo over"]].concat();
        let mut terminal = machine.human().terminal(&argv);
        terminal.expect("up\r\n");
        terminal.send("one\n");
        terminal.expect("one\r\none\r\n");
        terminal.send("\x04");
        terminal.expect("over");
        assert!(terminal.wait().success(), "{way:?}");
    }
}

#[test]
fn the_agents_shell_is_interactive() {
    let Some(machine) = Machine::set_up() else { return };
    let mut terminal = machine.human().terminal(&["agentuser", "shell"]);
    terminal.expect("$ ");
    terminal.send("echo $((6*7)) $USER $PWD; shopt -q login_shell && echo log''in; exit 6\n");
    let project = machine.human().project();
    terminal.expect(&format!("42 {} {}", crate::common::AGENT, project.display()));
    terminal.expect("login");
    assert_eq!(terminal.wait().code(), Some(6));
}

/// The terminal is left as it was found, whatever the command made of it or died by.
#[test]
fn the_terminal_is_left_as_it_was() {
    let Some(machine) = Machine::set_up() else { return };
    let mut terminal = shell(&machine);
    for command in ["true", "sh -c 'kill -KILL $$'", "sh -c 'kill -SEGV $$'", "nonexistent"] {
        line(&mut terminal, "before=$(stty -g)");
        line(&mut terminal, &typed(Way::Agent, command));
        line(&mut terminal, "test \"$before\" = \"$(stty -g)\" && echo sa''me || echo diff''erent");
        terminal.expect("same");
    }
    line(&mut terminal, "exit");
    terminal.wait();
}

/// What a command leaves in the background of a terminal session goes on, as it does in a plain one.
#[test]
fn a_background_child_of_a_terminal_survives() {
    let Some(machine) = Machine::set_up() else { return };
    for way in Way::BOTH {
        let mut terminal = shell(&machine);
        let script = "sh -c 'sleep 300 </dev/null >/dev/null 2>&1 & echo \"pid=$!.\"'";
        line(&mut terminal, &typed(way, script));
        terminal.expect("pid=");
        let pid = terminal.expect(".").trim_end_matches('.').to_owned();
        std::thread::sleep(std::time::Duration::from_millis(200));
        let runs = std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "sleep\n");
        assert!(runs, "{way:?}");
        crate::common::system(&["kill", "-KILL", &pid]);
        line(&mut terminal, "exit");
        terminal.wait();
    }
}
