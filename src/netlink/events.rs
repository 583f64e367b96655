//! What the kernel tells of changes of rules (`NFNLGRP_NFTABLES`), and whether one could concern an agent's.
//!
//! iptables-nft changes the same tables; iptables-legacy tells nobody.

use super::{message::Message, nft, subsystem};

/// The multicast group as a bit of the address: group 7.
pub const GROUP: u32 = 1 << 6;

const NEW_TABLE: u16 = subsystem::NFTABLES << 8;
const DELETE_TABLE: u16 = NEW_TABLE | 2;
const NEW_CHAIN: u16 = NEW_TABLE | 3;
const DELETE_CHAIN: u16 = NEW_TABLE | 5;
const NEW_RULE: u16 = NEW_TABLE | 6;
const DELETE_RULE: u16 = NEW_TABLE | 8;
const NEW_SET: u16 = NEW_TABLE | 9;
const DELETE_SET: u16 = NEW_TABLE | 0xb;

/// Whether a change could have put an agent's rules out of force. Changes of answers, which the gate makes all the time,
/// and of chains that no packet of an agent meets first, do not.
pub fn concerns_agents(message: &Message<'_>) -> bool {
    let text = |kind| message.attributes(4).find(|one| one.kind == kind).and_then(|one| one.text());
    let table = text(1).unwrap_or_default();
    let ours = table.starts_with("agentuser_");
    let builtin = matches!(table, "filter" | "nat" | "raw" | "mangle");
    match message.kind {
        NEW_TABLE | DELETE_TABLE | NEW_SET | DELETE_SET => ours || builtin,
        NEW_CHAIN | DELETE_CHAIN => ours || builtin && is_on_the_way(text(3)),
        NEW_RULE | DELETE_RULE => ours || builtin && is_on_the_way(text(2)),
        nft::NEW_ELEMENTS | nft::DELETE_ELEMENTS => ours && !text(nft::SET).is_some_and(holds_answers),
        _ => false,
    }
}

fn is_on_the_way(chain: Option<&str>) -> bool {
    chain.is_some_and(|chain| chain == "OUTPUT" || chain.starts_with("AU_"))
}

/// Whether a set has the name of one that the gate fills, see [`crate::formats::ipset::answer_sets`].
fn holds_answers(set: &str) -> bool {
    set.strip_prefix("au")
        .is_some_and(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('d'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::{Batch, messages};

    #[test]
    fn changes_that_matter() {
        let matters = |kind, texts: &[(u16, &str)]| {
            let mut batch = Batch::default();
            batch.message(kind, 0, &[0; 4]);
            for (kind, text) in texts {
                batch.text(*kind, text);
            }
            messages(batch.bytes()).any(|message| concerns_agents(&message))
        };
        assert!(matters(DELETE_TABLE, &[(1, "filter")]));
        assert!(matters(NEW_RULE, &[(1, "filter"), (2, "OUTPUT")]));
        assert!(matters(DELETE_RULE, &[(1, "agentuser_997"), (2, "agent")]));
        assert!(matters(nft::DELETE_ELEMENTS, &[(1, "agentuser_997"), (2, "au997a0123456789abv4")]));
        assert!(!matters(nft::NEW_ELEMENTS, &[(1, "agentuser_997"), (2, "au997d0123456789abv4")]));
        assert!(!matters(NEW_RULE, &[(1, "filter"), (2, "DOCKER")]));
        assert!(!matters(NEW_RULE, &[(1, "firewalld"), (2, "OUTPUT")]));
    }
}
