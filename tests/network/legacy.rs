//! iptables-legacy(8) keeps rules of its own beside those of iptables-nft(8); the kernel enforces both.

use crate::world::{Who, World};
use std::path::Path;

#[test]
fn an_accept_in_the_legacy_tables_lets_nothing_out() {
    let Some(world) = World::with("{}") else { return };
    if !Path::new("/usr/sbin/iptables-legacy").exists() {
        eprintln!("skipped: there is no iptables-legacy");
        return;
    }
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000", "tcp/::/8000"]);
    let calls = ["tcp/192.0.2.2/8000", "tcp/2001:db8::2/8000"];
    for tool in ["iptables-legacy", "ip6tables-legacy"] {
        world.root(&format!("{tool} -I OUTPUT -j ACCEPT"));
    }
    world.refused(Who::Agent, &calls);
    world.open(Who::Human, &calls);
    // Our own reader is not confused by the warning that iptables-nft prints now.
    world.agentuser(&["status"]).ok();
    world.set_up("{allow: [{cidr: 192.0.2.0/24}]}");
    world.open(Who::Agent, &calls[..1]);
    world.refused(Who::Agent, &calls[1..]);
}
