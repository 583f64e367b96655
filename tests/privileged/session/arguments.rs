//! Arguments arrive as they were given.

use super::{Way, same};
use crate::common::Machine;
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

const AWKWARD: [&str; 30] = [
    "two words",
    " ",
    "trailing ",
    "'single'",
    "\"double\"",
    "it's",
    "a\nb",
    "\n",
    "a\tb",
    "$HOME",
    "$(id)",
    "`id`",
    "*",
    "?",
    "[a-z]*",
    "~",
    "back\\slash",
    "\\",
    "äöü ✓ 日本",
    "",
    "--",
    "-n",
    "-u",
    ";",
    "!",
    "!!",
    "%s%n",
    "a=b",
    "#",
    "&& true",
];

/// Prints each argument with its length, so that no two lists print the same.
const PRINT: &str = r#"for a do printf '%s:<%s>\n' "${#a}" "$a"; done"#;

#[test]
fn awkward_arguments_arrive_as_they_are() {
    let Some(machine) = Machine::set_up() else { return };
    for argument in AWKWARD {
        same(&machine, &["sh", "-c", PRINT, "sh", argument], b"").ok().mentions(argument.trim());
    }
    let all = [&["sh", "-c", PRINT, "sh"][..], &AWKWARD].concat();
    same(&machine, &all, b"").ok();
    for argument in AWKWARD {
        same(&machine, &["printf", "<%s>", argument], b"").ok();
    }
}

#[test]
fn arguments_need_not_be_text() {
    let Some(machine) = Machine::set_up() else { return };
    let bytes = OsStr::from_bytes(b"\xff\xfe\x01\x7f");
    let argv = [OsStr::new("printf"), OsStr::new("%s"), bytes];
    assert_eq!(same(&machine, &argv, b"").ok().stdout, bytes.as_bytes());
}

#[test]
fn long_lists_of_arguments_arrive() {
    let Some(machine) = Machine::set_up() else { return };
    let long = "x".repeat(100_000);
    let mut argv = vec!["sh", "-c", "echo $#; printf %s \"$1\" | wc -c", "sh"];
    argv.extend(std::iter::repeat_n(long.as_str(), 8));
    assert_eq!(same(&machine, &argv, b"").ok().text(), "8\n100000");
}

/// What follows the command is the command's, even where agentuser has an option of that name.
#[test]
fn options_after_the_command_are_the_commands() {
    let Some(machine) = Machine::set_up() else { return };
    for dashes in [&["agentuser", "run", "--"][..], &["agentuser", "run"]] {
        let argv = [dashes, &["printf", "%s,", "--help", "--home", "--agent", "x", "-q", "--"]].concat();
        assert_eq!(machine.human().run(&argv).ok().text(), "--help,--home,--agent,x,-q,--,", "{dashes:?}");
    }
}

#[test]
fn directory_umask_and_locale_are_the_callers() {
    let Some(machine) = Machine::set_up() else { return };
    machine.human().make_dir("shop/deep ä");
    for way in Way::BOTH {
        let cwd = way.sh(&machine, "cd 'deep ä' && exec \"$@\" pwd -P").ok().text();
        assert_eq!(cwd, machine.human().project().join("deep ä").to_str().unwrap(), "{way:?}");
        for umask in ["000", "022", "027", "077", "777"] {
            let line = format!("umask {umask}; exec \"$@\" sh -c umask");
            assert_eq!(way.sh(&machine, &line).ok().text(), format!("0{umask}"), "{way:?}");
        }
        let line =
            r#"TERM=vt220 LANG=C LC_TIME=C NO_COLOR=1 exec "$@" sh -c 'echo $TERM $LANG $LC_TIME $NO_COLOR'"#;
        assert_eq!(way.sh(&machine, line).ok().text(), "vt220 C C 1", "{way:?}");
    }
}
