//! A launch ends as its command ended.

use super::{Way, same};
use crate::common::Machine;

#[test]
fn exit_codes_are_the_commands() {
    let Some(machine) = Machine::set_up() else { return };
    for code in [0, 1, 2, 3, 7, 42, 64, 77, 100, 124, 125, 126, 127, 128, 129, 130, 137, 143, 192, 254, 255] {
        same(&machine, &["sh", "-c", &format!("exit {code}")], b"").exits(code);
    }
}

/// As env(1) has them: 127 for what is not there, 126 for what can't be executed.
#[test]
fn what_can_not_be_started_has_the_exit_codes_of_env() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.write("shop/no-program", "words\n");
    human.write("shop/no-interpreter", "#!/nonexistent/sh\n");
    crate::common::system(&["chmod", "+x", human.project().join("no-interpreter").to_str().unwrap()]);
    let cases = [
        ("no-such-command", 127),
        ("/no/such/command", 127),
        ("./no-such-command", 127),
        ("./no-program", 126),
        ("/etc", 126),
        ("./no-interpreter", 127),
        ("-x", 127),
    ];
    for (command, code) in cases {
        let before: [&[&str]; 2] = [&["env", "--"], Way::Agent.before()];
        for before in before {
            human.run(&[before, &[command, "x"]].concat()).exits(code).mentions(command);
        }
    }
}

#[test]
fn death_by_a_signal_is_the_same_death() {
    let Some(machine) = Machine::set_up() else { return };
    for (name, number) in [
        ("TERM", 15),
        ("KILL", 9),
        ("SEGV", 11),
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("PIPE", 13),
    ] {
        let outcome = same(&machine, &["sh", "-c", &format!("kill -{name} $$; sleep 60")], b"");
        assert_eq!(outcome.end(), (None, Some(number)), "{name}");
    }
}

/// A signal that ends a child of the command is told by the command's own exit code, not by ours.
#[test]
fn death_of_a_grandchild_is_the_shells_to_tell() {
    let Some(machine) = Machine::set_up() else { return };
    same(&machine, &["sh", "-c", "sh -c 'kill -TERM $$'; exit $?"], b"").exits(143);
}

/// A child in the background goes on when its parent has ended, and belongs to the agent.
#[test]
fn a_background_child_survives() {
    let Some(machine) = Machine::set_up() else { return };
    for way in Way::BOTH {
        let line = "sleep 300 </dev/null >/dev/null 2>&1 & echo $!";
        let pid = way.run(&machine, &["sh", "-c", line], b"").ok().text();
        let runs =
            || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "sleep\n");
        assert!(runs(), "{way:?}");
        // Longer than sudo takes to go away.
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(runs(), "{way:?}");
        crate::common::system(&["kill", "-KILL", &pid]);
    }
}
