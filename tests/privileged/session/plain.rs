//! What holds of a launch in the private view, which is the default and which the other tests have, holds in the plain one.

use super::{Way, same};
use crate::common::{Machine, View};

#[test]
fn a_launch_in_the_plain_view_is_transparent() {
    let Some(machine) = Machine::set_up_with(View::Plain) else { return };
    for code in [0, 1, 125, 255] {
        same(&machine, &["sh", "-c", &format!("exit {code}")], b"").exits(code);
    }
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11)] {
        let outcome = same(&machine, &["sh", "-c", &format!("kill -{name} $$; sleep 60")], b"");
        assert_eq!(outcome.end(), (None, Some(number)), "{name}");
    }
    let print = r#"for a do printf '%s:<%s>\n' "${#a}" "$a"; done"#;
    same(&machine, &["sh", "-c", print, "sh", "two words", "", "--", "$HOME", "a\nb", "'"], b"").ok();
    let input: Vec<u8> = (0..1 << 18).map(|at: u32| at.to_le_bytes()[at as usize % 3]).collect();
    assert!(same(&machine, &["cat"], &input).ok().stdout == input);
    assert_eq!(Way::Agent.run(&machine, &["pwd"], b"").text(), machine.human().project().to_str().unwrap());
    let mut terminal =
        machine.human().terminal(&["agentuser", "run", "--", "sh", "-c", "echo up; exec sleep 100"]);
    terminal.expect("up");
    terminal.send("\x03");
    std::os::unix::process::ExitStatusExt::signal(&terminal.wait())
        .filter(|signal| *signal == 2)
        .expect("SIGINT");
}
