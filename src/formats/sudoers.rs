//! The drop-in of sudoers(5) that lets one human become one agent, and no more.

use crate::model::AccountName;

/// Where drop-ins live.
pub const DIRECTORY: &str = "/etc/sudoers.d";

/// The drop-in: `enter` as the agent, and as root four argument lists without a wildcard.
///
/// `use_pty` keeps the agent away from the human's terminal (TIOCSTI). There is no SETENV and no `env_keep`: variables
/// travel as arguments of `enter`, which judges them.
pub fn render(human: &str, agent: &AccountName, program: &str) -> String {
    let human = escape(human);
    format!(
        "# Made by agentuser for {agent}; `agentuser teardown` removes it.\n\
         Defaults>{agent} use_pty\n\
         Defaults!{program} use_pty\n\
         {human} ALL=({agent}) NOPASSWD: {program} enter *\n\
         {human} ALL=(root) NOPASSWD: {program} helper status {agent}, {program} helper ensure {agent}, \
         {program} helper stop {agent}, {program} helper secret {agent}\n"
    )
}

/// A login name as sudoers(5) takes it: special characters behind backslashes.
fn escape(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// Whether sudoers(5) text includes the directory of drop-ins.
pub fn includes_drop_ins(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        matches!(words.next(), Some("@includedir" | "#includedir")) && words.next() == Some(DIRECTORY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered() {
        insta::assert_snapshot!(render("alice.w", &"agent".parse().unwrap(), "/usr/local/bin/agentuser"));
    }

    #[test]
    fn names_of_directories_are_escaped() {
        assert_eq!(escape("CORP\\ann b"), "CORP\\\\ann\\ b");
    }

    #[test]
    fn include_lines() {
        assert!(includes_drop_ins("Defaults env_reset\n@includedir /etc/sudoers.d\n"));
        assert!(includes_drop_ins("#includedir /etc/sudoers.d\n"));
        assert!(!includes_drop_ins("# includedir /etc/sudoers.d\n@includedir /etc/other\n"));
    }
}
