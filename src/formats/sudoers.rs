//! The drop-in of sudoers(5) that lets one human become one agent, and no more.

use crate::model::AccountName;

/// Where drop-ins live.
pub const DIRECTORY: &str = "/etc/sudoers.d";

/// The drop-in: the way in, and as root four argument lists without a wildcard. The way in is `enter` as the agent, or with
/// the private view `helper session` as root, which makes the view and then becomes the agent: what follows the dashes is
/// read by the agent alone.
///
/// `use_pty` keeps the agent away from the human's terminal (TIOCSTI). There is no SETENV and no `env_keep`: variables
/// travel as arguments of `enter`, which judges them.
pub fn render(human: &str, agent: &AccountName, program: &str, private: bool) -> String {
    let human = escape(human);
    let enter =
        if private { String::new() } else { format!("{human} ALL=({agent}) NOPASSWD: {program} enter *\n") };
    let session = if private { format!(", {program} helper session {agent} -- *") } else { String::new() };
    format!(
        "# Made by agentuser for {agent}; `agentuser teardown` removes it.\n\
         Defaults>{agent} use_pty\n\
         Defaults!{program} use_pty\n\
         {enter}\
         {human} ALL=(root) NOPASSWD: {program} helper status {agent}, {program} helper ensure {agent}, \
         {program} helper stop {agent}, {program} helper secret {agent}{session}\n"
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
        let of = |private| render("alice.w", &"agent".parse().unwrap(), "/usr/local/bin/agentuser", private);
        insta::assert_snapshot!(of(false));
        insta::assert_snapshot!(of(true));
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
