//! What pfctl(8) of macOS prints: the state of pf, who asked for it, rules and tables.

use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};

/// Whether pf filters: `pfctl -s info`.
pub fn is_enabled(info: &str) -> bool {
    info.lines().any(|line| line.trim_start().starts_with("Status: Enabled"))
}

/// The token of `pfctl -E`, which it prints on standard error among remarks.
pub fn token(stderr: &str) -> Option<u64> {
    stderr.lines().find_map(|line| {
        let (name, number) = line.split_once(':')?;
        (name.trim() == "Token").then(|| number.trim().parse().ok())?
    })
}

/// Tokens that are held: `pfctl -s References`. Each line has a process, its name, the token and its age.
pub fn tokens(references: &str) -> BTreeSet<u64> {
    let token = |line: &str| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        // The name may have spaces; the age is "0 days 00:01:23".
        let [pid, .., token, _, "days", _] = words[..] else { return None };
        pid.parse::<i64>().ok()?;
        token.parse().ok()
    };
    references.lines().filter_map(token).collect()
}

/// How the main ruleset stands: `pfctl -sr` without an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Main {
    /// It calls the anchors of `com.apple`, as macOS has it.
    CallsOurs,
    /// It is empty: nothing was loaded since the start.
    Empty,
    /// It was replaced by one that does not call them.
    Replaced,
}

/// Judges the main ruleset by its rules, and by those of nat (`pfctl -sn`) where it has none.
pub fn main_rules(rules: &str, nat: &str) -> Main {
    if rules.lines().any(|line| line.trim() == "anchor \"com.apple/*\" all") {
        Main::CallsOurs
    } else if rules.trim().is_empty() && nat.trim().is_empty() {
        Main::Empty
    } else {
        Main::Replaced
    }
}

/// Whether the main ruleset asks the anchors of `com.apple` where a packet is to be turned to: `pfctl -sn`.
pub fn turns(nat: &str) -> bool {
    nat.lines().any(|line| line.trim() == "rdr-anchor \"com.apple/*\" all")
}

/// The networks of a table: `pfctl -t NAME -T show`. One address prints without a length.
pub fn table(text: &str) -> BTreeSet<IpNet> {
    let net = |word: &str| word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
    text.lines().filter_map(|line| net(line.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state() {
        assert!(is_enabled("Status: Enabled for 0 days 00:10:15           Debug: Urgent\n"));
        assert!(!is_enabled("Status: Disabled                              Debug: Urgent\n"));
        assert!(!is_enabled(""));
    }

    #[test]
    fn tokens_that_are_held() {
        let said = "No ALTQ support in kernel\nALTQ related functions disabled\npf enabled\nToken : 11298327439120394827\n";
        assert_eq!(token(said), Some(11_298_327_439_120_394_827));
        assert_eq!(token("pfctl: pf already enabled\n"), None);
        let held = "\
TOKENS:
PID      Process Name                 TOKEN                    TIMESTAMP
411      socketfilterfw               9921482010392847110      1 days 02:15:40
2210     Some App                     11298327439120394827     0 days 00:00:07
x        no pid                       1                        0 days 00:00:07
";
        assert_eq!(tokens(held), [9_921_482_010_392_847_110, 11_298_327_439_120_394_827].into());
        assert!(tokens("No tokens held\n").is_empty());
    }

    #[test]
    fn the_main_ruleset() {
        let stock = "scrub-anchor \"com.apple/*\" all fragment reassemble\nanchor \"com.apple/*\" all\n";
        assert_eq!(main_rules(stock, ""), Main::CallsOurs);
        assert_eq!(main_rules("", "nat-anchor \"com.apple/*\" all\n"), Main::Replaced);
        assert!(turns("nat-anchor \"com.apple/*\" all\nrdr-anchor \"com.apple/*\" all\n"));
        assert!(!turns("nat-anchor \"com.apple/*\" all\nrdr-anchor \"vpn/*\" all\n"));
        assert_eq!(main_rules("\n", ""), Main::Empty);
        assert_eq!(main_rules("block drop all\nanchor \"vpn/*\" all\n", ""), Main::Replaced);
    }

    #[test]
    fn a_table() {
        let nets = table("   192.0.2.0/24\n   198.51.100.7\n   2001:db8::/32\n   fd00:ec2::254\n");
        let wanted = ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32", "fd00:ec2::254/128"];
        assert_eq!(nets, wanted.iter().map(|net| net.parse().unwrap()).collect());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "([0-9]{1,21}|days|Token|:| |\n|\\PC){0,40}") {
            let _ = (is_enabled(&text), token(&text), tokens(&text), main_rules(&text, ""), table(&text));
        }
    }
}
