//! Two agents of two humans.

use crate::world::{AGENT, PROGRAM, SECOND_AGENT, Who, World};

/// Targets of rules at the head of OUTPUT, before the first that is somebody else's.
fn head(world: &World, tool: &str) -> Vec<String> {
    let listing = world.root(&format!("{tool} -S OUTPUT"));
    let rules = listing.lines().filter(|line| line.starts_with("-A"));
    let targets =
        rules.map(|rule| rule.split(' ').skip_while(|word| *word != "-j").nth(1).unwrap().to_owned());
    targets.take_while(|target| target.starts_with("AU_")).collect()
}

#[test]
fn each_agent_has_its_own_policy() {
    let first = "{allow: [{cidr: 192.0.2.0/24}, {loopback: [5432]}]}";
    let second = "{allow: [{cidr: '2001:db8::/64'}]}";
    let Some(world) = World::with_two(first, second) else { return };
    let _remote = world.serve(Who::Remote, &["tcp/0.0.0.0/8000", "tcp/::/8000"]);
    let _humans = world.serve(Who::Human, &["tcp/127.0.0.1/5432"]);
    let (four, six) = ("tcp/192.0.2.2/8000", "tcp/2001:db8::2/8000");
    let loopback = "tcp/127.0.0.1/5432";
    world.open(Who::Agent, &[four, loopback]);
    world.refused(Who::Agent, &[six]);
    world.open(Who::SecondAgent, &[six]);
    world.refused(Who::SecondAgent, &[four]);
    world.all(Who::SecondAgent, "silence", &[loopback]);
    world.open(Who::SecondHuman, &[four, six, loopback]);

    for tool in ["iptables", "ip6tables"] {
        world.root(&format!("{tool} -A OUTPUT -p tcp -j ACCEPT"));
        let mut targets = head(&world, tool);
        targets.sort();
        let mut wanted: Vec<_> = [world.uid(), world.second_uid()]
            .iter()
            .flat_map(|uid| [format!("AU_{uid}"), format!("AU_{uid}_LO")])
            .collect();
        wanted.sort();
        assert_eq!(targets, wanted, "{tool}");
    }
    // Another setup leaves the block as it is.
    let before = [head(&world, "iptables"), head(&world, "ip6tables")];
    world.try_policy(&[(AGENT, "t_nw_ann", first), (SECOND_AGENT, "t_nw_bob", second)]).ok();
    assert_eq!([head(&world, "iptables"), head(&world, "ip6tables")], before);
    world.agentuser(&["status"]).ok();
    world.run(Who::SecondHuman, &[PROGRAM, "status"]).ok();

    let gone = world.uid();
    world.run(Who::Root, &[PROGRAM, "--agent", AGENT, "teardown", "--yes"]).ok();
    for listing in ["iptables-save", "ip6tables-save", "ipset save", "nft list ruleset"] {
        assert!(!world.root(listing).contains(&gone), "{listing}");
    }
    world.run(Who::SecondHuman, &[PROGRAM, "status"]).ok();
    world.open(Who::SecondAgent, &[six]);
    world.refused(Who::SecondAgent, &[four]);
}

#[test]
fn one_human_is_not_let_into_the_others_agent() {
    let Some(world) = World::with_two("{}", "{}") else { return };
    let into = |who, agent| world.run(who, &[PROGRAM, "--agent", agent, "run", "--home", "--", "/bin/true"]);
    into(Who::Human, AGENT).ok();
    into(Who::SecondHuman, SECOND_AGENT).ok();
    assert_ne!(into(Who::Human, SECOND_AGENT).code, Some(0));
    assert_ne!(into(Who::SecondHuman, AGENT).code, Some(0));
}
