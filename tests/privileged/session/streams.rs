//! Standard streams carry what they are given, to the byte, and stay apart.

use super::{Way, same};
use crate::common::Machine;

/// Bytes of every value in no order that a line discipline or a text filter would leave alone.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn input_of_any_size_arrives() {
    let Some(machine) = Machine::set_up() else { return };
    let large = noise(10 << 20);
    for input in [&b""[..], b"one line\n", b"\x03\x04\x1a\x00", &large] {
        let count = same(&machine, &["sh", "-c", "wc -c; cksum </dev/null"], input).ok().text();
        assert!(count.starts_with(&input.len().to_string()), "{count}");
        same(&machine, &["cksum"], input).ok();
    }
}

#[test]
fn binary_output_is_equal_to_the_byte() {
    let Some(machine) = Machine::set_up() else { return };
    let bytes = noise(5 << 20);
    let outcome = same(&machine, &["cat"], &bytes).ok();
    assert!(outcome.stdout == bytes);
    let outcome = same(&machine, &["sh", "-c", "cat >&2"], &bytes).ok();
    assert!(outcome.stderr == bytes);
}

#[test]
fn output_and_errors_stay_apart() {
    let Some(machine) = Machine::set_up() else { return };
    let outcome = same(&machine, &["sh", "-c", "echo out; echo err >&2; echo more"], b"").ok();
    assert_eq!((outcome.text(), outcome.said()), ("out\nmore".into(), "err\n".into()));
}

/// A command that reads nothing leaves the input to whoever reads after it.
#[test]
fn input_that_is_not_read_stays() {
    let Some(machine) = Machine::set_up() else { return };
    for way in Way::BOTH {
        let line = "printf 'one\\ntwo\\n' | { \"$@\" true; cat; }";
        assert_eq!(way.sh(&machine, line).ok().text(), "one\ntwo", "{way:?}");
    }
}

/// The runtime of the launcher and sudo both put /dev/null where a stream is closed: the command meets an end of input,
/// never somebody else's descriptor.
#[test]
fn closed_streams_are_empty_ones() {
    let Some(machine) = Machine::set_up() else { return };
    let line = r#"exec "$@" sh -c 'wc -c; readlink /proc/self/fd/0' <&-"#;
    assert_eq!(Way::Agent.sh(&machine, line).ok().text(), "0\n/dev/null");
    Way::Agent.sh(&machine, r#"exec "$@" true >&- 2>&-"#).ok();
}

#[test]
fn output_goes_to_a_file_as_it_would() {
    let Some(machine) = Machine::set_up() else { return };
    for way in Way::BOTH {
        let line = "\"$@\" sh -c 'echo one; echo two >&2' >\"$HOME\"/out 2>&1; cat \"$HOME\"/out";
        assert_eq!(way.sh(&machine, line).ok().text(), "one\ntwo", "{way:?}");
    }
}

#[test]
fn a_broken_pipe_ends_the_command() {
    let Some(machine) = Machine::set_up() else { return };
    for way in Way::BOTH {
        let line = r#"{ "$@" yes; echo $? >"$HOME"/status; } 2>/dev/null | head -n 1; cat "$HOME"/status"#;
        assert_eq!(way.sh(&machine, line).ok().text(), "y\n141", "{way:?}");
    }
}
