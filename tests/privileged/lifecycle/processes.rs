//! Processes of the agent that would rather not be ended, and would rather end others.

use crate::common::{AGENT, Machine, finish, system, until};
use std::{fs, time::Instant};

/// Starts a program of Python's as the agent, which goes on after the session, and answers its process id.
#[track_caller]
fn leave_running(machine: &Machine, program: &str) -> String {
    let human = machine.human();
    let script = "rm -f pid; setsid python3 -c \"$1\" </dev/null >/dev/null 2>&1 & \
                  while ! test -s pid; do sleep 0.01; done";
    let mut command = human.command(&["agentuser", "run", "--", "sh", "-c", script, "sh", program]);
    command.current_dir(human.project());
    finish(command, b"").ok();
    fs::read_to_string(human.project().join("pid")).unwrap()
}

/// proc(5) calls a process a zombie once its first thread has ended, whatever the others do.
#[test]
fn a_process_whose_first_thread_has_ended_is_ended() {
    let Some(machine) = Machine::set_up() else { return };
    let pid = leave_running(
        &machine,
        "import ctypes, os, threading, time\n\
         threading.Thread(target=time.sleep, args=(600,)).start()\n\
         open('pid', 'w').write(str(os.getpid()))\n\
         ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)",
    );
    let status = format!("/proc/{pid}/status");
    until("its first thread has ended", || fs::read_to_string(&status).unwrap().contains("State:\tZ"));
    machine.tear_down(AGENT);
    // Whoever adopted it may not have waited for it yet.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    if threads > 1 {
        system(&["kill", "-9", &pid]);
    }
    assert!(threads <= 1, "it outlived the teardown");
}

/// What a child of ours does as the agent's account can't be ended or stopped by the agent.
#[test]
fn nobody_signals_the_child_that_works_as_the_agent() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let project = human.project();
    for signal in ["KILL", "STOP"] {
        leave_running(
            &machine,
            &format!(
                "import os, signal\n\
                 open('pid', 'w').write(str(os.getpid()))\n\
                 while not os.path.exists('begin'): pass\n\
                 while True:\n\
                 \x20   try: os.kill(-1, signal.SIG{signal})\n\
                 \x20   except OSError: pass"
            ),
        );
        // Something for the agent's own pass to mend.
        let theirs = human.write("shop/theirs", "");
        let uid = system(&["id", "-u", AGENT]).parse().unwrap();
        std::os::unix::fs::chown(theirs, Some(uid), Some(uid)).unwrap();
        human.write("shop/begin", "");
        let begin = Instant::now();
        // The agent may well end its own command, which is the last thing that is tried; all else is done.
        let shared = machine.agentuser(&["share", "--agent", AGENT, project.to_str().unwrap()]);
        assert!(shared.code() == Some(0) || shared.said().contains("can't start a command"), "{shared:?}");
        assert!(system(&["getfacl", "-c", project.join("theirs").to_str().unwrap()]).contains(&human.name));
        machine.tear_down(AGENT);
        assert!(begin.elapsed().as_secs() < 30, "it took {:?}", begin.elapsed());
        fs::remove_file(project.join("begin")).unwrap();
        machine.set_up_agent(0, AGENT);
    }
}
