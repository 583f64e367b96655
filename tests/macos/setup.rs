//! Setup, status, drift, teardown and power cuts on a Mac in memory.

use crate::{
    fake::{Death, Fake, make, moved},
    programs::STOCK,
};
use agentuser::{
    engine::{Plan, Receipt, Scope, Silent, ensure, report, reset, setup, teardown},
    formats::{ipset, launchd, mac_acl, pf, seatbelt},
    gate::{
        answers::{self, Answers},
        fill::Answer,
        tables::Tables,
    },
    host::{DirState, FileState, Observe, places},
    model::{
        AbsPath, AccountName, Gid, Uid,
        catalog::Resolved,
        desired::{Access, SharedDir},
        facts::{DirFact, Facts, KnownAgent, Mac, Person},
    },
    plan, policy,
    presets::expand::to_resolve,
    share::aces::Kind,
    step::{AnyStep, Check},
};
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};

const POLICY: &str = "\
version: 1
agents:
  bot:
    human: ann
    projects:
      - path: /Users/ann/src/shop
        deploy-key: read-only
    network:
      allow:
        - cidr: 192.0.2.0/24
          ports: [443]
        - loopback: [5432]
  two:
    human: ann
    groups: [render]
    projects:
      - path: /Users/ann/src/docs
        access: read-only
    network:
      dns: gate
      allow:
        - domain: api.example.com
    confine:
      seatbelt: true
";

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn ace(text: &str) -> mac_acl::Ace {
    mac_acl::ace(text).unwrap()
}

/// A Mac with a human, who has a deny entry of her own, and with somebody else's pf token and job.
fn machine() -> Fake {
    let mut fake = Fake::default();
    let state = |mode| DirState { mode, uid: Uid(0), gid: Gid(0) };
    for path in [
        "/etc",
        "/etc/sudoers.d",
        "/etc/paths.d",
        "/Library",
        "/Library/LaunchDaemons",
        "/Users",
        "/var/lib",
        "/var/run",
        "/run",
    ] {
        fake.disk.dirs.insert(path.into(), state(0o755));
    }
    let file = |text: &str| FileState { bytes: text.into(), mode: 0o644, uid: Uid(0), gid: Gid(0) };
    fake.disk.files.insert("/etc/pf.conf".into(), file("anchor \"com.apple/*\"\n"));
    let mac = &mut fake.disk.mac;
    for (name, id) in [("ann", 501), ("nobody", -2_i32)] {
        let at = format!("/Users/{name}");
        let id = id.to_string();
        for (attribute, value) in [
            ("UniqueID", id.as_str()),
            ("PrimaryGroupID", "20"),
            ("RealName", name),
            ("NFSHomeDirectory", if name == "ann" { "/Users/ann" } else { "/var/empty" }),
        ] {
            mac.set(&at, attribute, value);
        }
    }
    for (group, gid) in [("staff", "20"), ("admin", "80"), ("render", "600"), ("com.apple.access_ssh", "399")]
    {
        mac.set(&format!("/Groups/{group}"), "PrimaryGroupID", gid);
    }
    mac.set("/Groups/admin", "GroupMembership", "ann");
    mac.pf.main = STOCK.into();
    mac.pf.tokens.insert(42);
    mac.pf.enabled = true;
    mac.jobs.insert(
        "com.example.other".into(),
        ("/Library/LaunchDaemons/x.plist".into(), "/usr/bin/true".into()),
    );
    let people = &mut fake.disk.people;
    for dir in [
        "/Users/ann",
        "/Users/ann/src",
        "/Users/ann/src/shop",
        "/Users/ann/src/shop/lib",
        "/Users/ann/src/docs",
    ] {
        people.put(dir, Kind::Directory, 501, 0o755);
    }
    people.put("/Users/ann/src/shop/run.sh", Kind::File, 501, 0o755);
    people.put("/Users/ann/src/shop/lib/a.c", Kind::File, 501, 0o644);
    people.put("/Users/ann/src/shop/lib/root's", Kind::File, 0, 0o644);
    people.put("/Users/ann/src/docs/-q", Kind::File, 501, 0o600);
    people.put("/Users/ann/secret", Kind::File, 501, 0o600);
    people.link("/Users/ann/secret", "/Users/ann/src/shop/secret");
    let mut had = |path: &str, text: &str| people.0.get_mut(path).unwrap().acl.push(ace(text));
    had("/Users/ann", "group:everyone deny delete");
    had("/Users/ann/src/shop/lib/a.c", "user:ann allow read,write");
    had("/Users/ann/src/shop/lib/a.c", "group:staff inherited allow read");
    fake
}

/// The facts as they would be read from the machine in its present state.
fn facts(machine: &Fake) -> Facts {
    let ids = |records: &std::collections::BTreeMap<String, crate::programs::Record>, attribute: &str| {
        let ids = records.values().filter_map(|record| record.get(attribute)?[0].parse().ok());
        ids.collect()
    };
    let mac = &machine.disk.mac;
    let ann = Person {
        name: "ann".into(),
        uid: Uid(501),
        gid: Gid(20),
        gecos: String::new(),
        home: "/Users/ann".into(),
        shell: "/bin/zsh".into(),
    };
    let mut facts = Facts {
        uids: ids(&mac.users, "UniqueID"),
        gids: ids(&mac.groups, "PrimaryGroupID"),
        groups: mac.groups.keys().cloned().collect(),
        humans: [("ann".into(), ann)].into(),
        no_private_view: Some("macOS has no private mounts".into()),
        no_cgroup: Some("macOS has no control groups".into()),
        sudo_reads_drop_ins: true,
        nonce: format!("nonce{}", machine.changes),
        mac: Some(Mac::default()),
        ..Facts::default()
    };
    for (path, node) in &machine.disk.people.0 {
        if node.kind == Kind::Directory {
            let owner = Uid(node.owner);
            facts.dirs.insert(path.parse().unwrap(), Some(DirFact { owner, mode: 0o750 }));
        }
    }
    for dir in ["/Users", "/"] {
        facts.dirs.insert(dir.parse().unwrap(), Some(DirFact { owner: Uid(0), mode: 0o755 }));
    }
    for agent in ["bot", "two"].map(name) {
        let receipt = Receipt::load(&Scope::Agent(agent.clone()), machine).unwrap();
        for entry in receipt.entries {
            let known = |uid, gid, marker| KnownAgent { uid, gid, marker, firewall: None };
            match entry.step {
                AnyStep::DsAccount(step) => {
                    let account = step.account;
                    facts.agents.insert(agent.clone(), known(account.uid, account.gid, account.marker));
                }
                AnyStep::Home(home) => {
                    facts
                        .agents
                        .insert(agent.clone(), known(home.uid, home.gid, format!("agentuser {agent} again")));
                }
                _ => {}
            }
        }
    }
    facts
}

fn plans(machine: &Fake, agents: &[&str]) -> Vec<Plan> {
    let policy = policy::parse(POLICY, "policy.yaml").unwrap();
    let facts = facts(machine);
    let mut plans = vec![plan::machine(POLICY, &facts)];
    for agent in agents {
        let desired = plan::desire(&policy, &name(agent), &facts).unwrap();
        plans.push(plan::agent(&desired, &facts).unwrap());
    }
    plans
}

fn try_set_up(machine: &mut Fake, agents: &[&str]) -> Result<usize, String> {
    let mut changed = 0;
    for agent in agents {
        for plan in plans(machine, &[agent]) {
            changed += setup(&plan, machine, &mut Silent).map_err(|error| error.to_string())?;
        }
    }
    Ok(changed)
}

fn set_up(machine: &mut Fake, agents: &[&str]) -> bool {
    try_set_up(machine, agents).is_ok()
}

fn tear_down(machine: &mut Fake, agents: &[&str]) -> bool {
    let mut scopes: Vec<_> = agents.iter().map(|agent| Scope::Agent(name(agent))).collect();
    scopes.push(Scope::Machine);
    scopes.iter().all(|scope| teardown(scope, machine, &mut Silent).is_ok())
}

fn restart(machine: &Fake, death: Death) -> Fake {
    Fake { disk: machine.disk.clone(), death, ..Fake::default() }
}

/// Each step that is not in force, with why.
fn drift(machine: &Fake, agents: &[&str]) -> Vec<(String, Check)> {
    let mut all = Vec::new();
    for plan in plans(machine, agents) {
        let receipt = Receipt::load(&plan.scope, machine).unwrap();
        let steps = report(&plan, &receipt, machine).into_iter();
        all.extend(steps.filter(|step| step.check != Check::Satisfied).map(|step| (step.id, step.check)));
    }
    all
}

/// All that must be the same in the end. A token that died with pf's counter was never on the disk.
fn assert_as_before(fake: &Fake, first: &Fake, context: &str) {
    let mut disk = fake.disk.clone();
    disk.mac.pf.last_token = 0;
    disk.mac.boots.clear();
    assert_eq!(disk, first.disk, "{context}");
}

/// `pfctl -E` succeeded and its answer was lost: the reference stays until the next boot, for nobody can tell whose it is.
fn forget_lost_token(fake: &mut Fake) -> usize {
    let tokens = &mut fake.disk.mac.pf.tokens;
    let before = tokens.len();
    tokens.retain(|token| *token == 42);
    before - tokens.len()
}

#[test]
fn setup_and_teardown_without_a_crash() {
    let first = machine();
    let mut fake = first.clone();
    try_set_up(&mut fake, &["bot", "two"]).unwrap();
    assert_eq!(drift(&fake, &["bot", "two"]), []);
    let mac = &fake.disk.mac;
    let bot = &mac.users["bot"];
    assert_eq!(
        (bot["UniqueID"][0].as_str(), bot["IsHidden"][0].as_str()),
        ("601", "1"),
        "600 is a group's already"
    );
    assert!(!bot.contains_key("AuthenticationAuthority"));
    assert_eq!(mac.users["two"]["UniqueID"][0], "602");
    assert_eq!(mac.groups["render"]["GroupMembership"], ["two"]);
    assert_eq!(
        mac.pf.anchors.keys().collect::<Vec<_>>(),
        ["com.apple/000.agentuser.601", "com.apple/000.agentuser.602"]
    );
    assert!(mac.pf.enabled && mac.jobs.contains_key("org.agentuser.firewall"));
    assert!(mac.jobs.contains_key("org.agentuser.gates"), "two has a gate");
    let turns = |anchor: &str| mac.pf.anchors[anchor].turns.iter().map(|turn| turn.to.1).collect::<Vec<_>>();
    assert_eq!(turns("com.apple/000.agentuser.601"), [0_u16; 0]);
    assert_eq!(turns("com.apple/000.agentuser.602"), [1023]);
    assert_eq!(fake.disk.dirs["/Users/bot"].mode, 0o700);

    let after = fake.changes;
    assert_eq!(try_set_up(&mut fake, &["bot", "two"]), Ok(0));
    assert_eq!(fake.changes, after, "a second setup changes nothing");
    for order in [["bot", "two"], ["two", "bot"]] {
        let mut fake = restart(&fake, Death::Never);
        assert!(tear_down(&mut fake, &order));
        assert_as_before(&fake, &first, &format!("{order:?}"));
    }
}

#[test]
fn who_may_what_with_the_files() {
    let mut fake = machine();
    try_set_up(&mut fake, &["bot", "two"]).unwrap();
    make(&mut fake, "/Users/ann/src/shop/new", Kind::Directory, 601);
    make(&mut fake, "/Users/ann/src/shop/new/made.txt", Kind::File, 601);
    make(&mut fake, "/Users/ann/src/shop/hers.txt", Kind::File, 501);
    let may = |path: &str, who: &str, what: &str| fake.disk.people.may(path, who, what);
    let shop = "/Users/ann/src/shop";
    for path in ["lib/a.c", "run.sh", "hers.txt", "new/made.txt"].map(|path| format!("{shop}/{path}")) {
        for who in ["bot", "ann"] {
            assert!(may(&path, who, "write"), "{who} {path}");
        }
        assert!(!may(&path, "bot", "writesecurity") && !may(&path, "bot", "chown"), "{path}");
    }
    assert!(may(&format!("{shop}/new"), "ann", "add_file"), "what the agent makes is the human's to work in");
    assert!(
        may(&format!("{shop}/run.sh"), "bot", "execute")
            && !may(&format!("{shop}/hers.txt"), "bot", "execute")
    );
    assert!(
        !may(shop, "bot", "delete") && may(shop, "bot", "delete_child"),
        "the project itself stays where it is"
    );
    for dir in ["/Users/ann", "/Users/ann/src"] {
        assert!(may(dir, "bot", "search") && !may(dir, "bot", "list"), "{dir}");
    }
    // A second name of a file outside is no way to it, and neither is root's file.
    for path in ["/Users/ann/secret", "/Users/ann/src/shop/secret", "/Users/ann/src/shop/lib/root's"] {
        assert!(!may(path, "bot", "read"), "{path}");
    }
    assert!(may("/Users/ann/src/docs/-q", "two", "read") && !may("/Users/ann/src/docs/-q", "two", "write"));
    assert!(!may("/Users/ann/src/docs", "two", "add_file"));
    assert_eq!(drift(&fake, &["bot", "two"]), [], "what was made has its entries");
    // The agent's file becomes the human's, and nothing of ours stays.
    assert!(tear_down(&mut fake, &["bot", "two"]));
    let made = &fake.disk.people.0["/Users/ann/src/shop/new/made.txt"];
    assert!(made.owner == 501 && made.acl.is_empty(), "{made:?}");
}

#[test]
fn files_with_names_outside_get_copies_where_that_is_asked_for() {
    let mut fake = machine();
    assert!(set_up(&mut fake, &["bot"]));
    let (inside, outside) = ("/Users/ann/src/shop/secret", "/Users/ann/secret");
    let first = fake.disk.people.0[outside].clone();
    assert!(!fake.disk.people.may(inside, "bot", "read"));
    let mut plan = plans(&fake, &["bot"]).pop().unwrap();
    for step in &mut plan.steps {
        if let AnyStep::ShareAces(share) = step {
            share.job.break_links = share.job.root.as_str() == "/Users/ann/src/shop";
        }
    }
    setup(&plan, &mut fake, &mut Silent).unwrap();
    let people = &fake.disk.people;
    assert!(people.may(inside, "bot", "write") && !people.may(outside, "bot", "read"));
    assert_eq!(people.0[outside], first, "the other name has what it had");
    assert_ne!(people.0[inside].inode, first.inode);
    assert!(!people.0.keys().any(|path| path.contains("agentuser-copy")), "nothing is left beside it");
    assert_eq!(drift(&fake, &["bot"]), []);
}

#[test]
fn what_drifted_is_named_and_mended() {
    type Damage = fn(&mut Fake);
    let damages: &[(&str, &str, Damage)] = &[
        ("pf", "pf is off", |fake| {
            // pfctl -d makes all tokens void.
            fake.disk.mac.pf.enabled = false;
            fake.disk.mac.pf.tokens.clear();
        }),
        ("pf", "main rules are not loaded", |fake| fake.disk.mac.pf.main.clear()),
        ("pf-anchor:601", "rules were changed", |fake| {
            let anchor = fake.disk.mac.pf.anchors.get_mut("com.apple/000.agentuser.601").unwrap();
            anchor.rules.remove(0);
        }),
        ("pf-anchor:601", "table allow0: 0 entries missing, 1 added", |fake| {
            let anchor = fake.disk.mac.pf.anchors.get_mut("com.apple/000.agentuser.601").unwrap();
            anchor.tables.get_mut("allow0").unwrap().push("203.0.113.0/24".parse().unwrap());
        }),
        ("daemon:org.agentuser.firewall", "switched off", |fake| {
            fake.disk.mac.disabled.insert("org.agentuser.firewall".into());
        }),
        ("daemon:org.agentuser.firewall", "it starts /tmp/other", |fake| {
            fake.disk.mac.jobs.get_mut("org.agentuser.firewall").unwrap().1 = "/tmp/other".into();
        }),
        ("pf-anchor:602", "rules were changed", |fake| {
            fake.disk.mac.pf.anchors.get_mut("com.apple/000.agentuser.602").unwrap().turns.clear();
        }),
        ("daemon:org.agentuser.gates", "Missing", |fake| {
            fake.disk.mac.jobs.remove("org.agentuser.gates");
        }),
        ("daemon:org.agentuser.gates", "switched off", |fake| {
            fake.disk.mac.disabled.insert("org.agentuser.gates".into());
        }),
        ("account:bot", "it can log in", |fake| {
            fake.disk.mac.set("/Users/bot", "AuthenticationAuthority", ";ShadowHash;");
        }),
        ("account:bot", "its IsHidden is 0", |fake| fake.disk.mac.set("/Users/bot", "IsHidden", "0")),
        ("account:bot", "it is in group admin", |fake| {
            let admin = fake.disk.mac.groups.get_mut("admin").unwrap();
            admin.get_mut("GroupMembership").unwrap().push("bot".into());
        }),
        ("account:bot", "in group com.apple.access_ssh", |fake| {
            fake.disk.mac.set("/Groups/com.apple.access_ssh", "GroupMembership", "bot");
        }),
        ("group:bot", "ann is a member", |fake| {
            fake.disk
                .mac
                .groups
                .get_mut("bot")
                .unwrap()
                .get_mut("GroupMembership")
                .unwrap()
                .push("ann".into());
        }),
        ("share:/Users/ann/src/shop", "moved.txt", |fake| {
            // What is moved in keeps the ACL that it had.
            make(fake, "/Users/ann/src/shop/moved.txt", Kind::File, 501);
            fake.disk.people.0.get_mut("/Users/ann/src/shop/moved.txt").unwrap().acl.clear();
        }),
        ("share:/Users/ann/src/shop", "1 files of the agent", |fake| {
            make(fake, "/Users/ann/src/shop/moved.txt", Kind::File, 601);
            fake.disk.people.0.get_mut("/Users/ann/src/shop/moved.txt").unwrap().acl.clear();
        }),
        ("share:/Users/ann/src/docs", "-q", |fake| {
            // More than the policy says is drift, too.
            let acl = &mut fake.disk.people.0.get_mut("/Users/ann/src/docs/-q").unwrap().acl;
            acl.push(ace("user:two allow write,writesecurity"));
        }),
        ("file:/Library/LaunchDaemons/org.agentuser.firewall.plist", "its text was changed", |fake| {
            fake.disk
                .files
                .get_mut("/Library/LaunchDaemons/org.agentuser.firewall.plist")
                .unwrap()
                .bytes
                .push(b'\n');
        }),
    ];
    let mut whole = machine();
    try_set_up(&mut whole, &["bot", "two"]).unwrap();
    for (id, words, damage) in damages {
        let mut fake = whole.clone();
        damage(&mut fake);
        let found = drift(&fake, &["bot", "two"]);
        let told = found.iter().any(|(at, check)| at == id && format!("{check:?}").contains(words));
        assert!(told, "{id}: {words}: {found:?}");
        try_set_up(&mut fake, &["bot", "two"]).unwrap_or_else(|error| panic!("{id}: {words}: {error}"));
        assert_eq!(drift(&fake, &["bot", "two"]), [], "{id}: {words}");
    }
}

#[test]
fn a_profile_where_the_policy_asks_for_one() {
    let mut fake = machine();
    try_set_up(&mut fake, &["bot", "two"]).unwrap();
    assert_eq!(fake.file(&places::seatbelt(&name("bot"))).unwrap(), None);
    let path = places::seatbelt(&name("two"));
    let file = fake.file(&path).unwrap().unwrap();
    let docs = SharedDir {
        path: "/Users/ann/src/docs".parse().unwrap(),
        access: Access::ReadOnly,
        deploy_key: None,
    };
    let text = String::from_utf8(file.bytes.clone()).unwrap();
    assert_eq!((text, file.mode, file.uid), (seatbelt::agent(&[docs]), 0o644, Uid(0)));
    fake.disk.files.get_mut(path.as_str()).unwrap().bytes.truncate(40);
    let found = drift(&fake, &["bot", "two"]);
    assert!(found.len() == 1 && found[0].0 == format!("file:{path}"), "{found:?}");
    try_set_up(&mut fake, &["bot", "two"]).unwrap();
    assert_eq!(fake.file(&path).unwrap(), Some(file));
}

/// What is moved out of a project keeps its entries, and is told; what the agent may only pass is not.
#[test]
fn what_was_moved_out_of_a_project_is_found() {
    let mut fake = machine();
    try_set_up(&mut fake, &["bot", "two"]).unwrap();
    let shop: [AbsPath; 1] = ["/Users/ann/src/shop".parse().unwrap()];
    let docs: [AbsPath; 1] = ["/Users/ann/src/docs".parse().unwrap()];
    assert_eq!(moved(&fake, "/Users/ann", "bot", &shop, 9), []);
    make(&mut fake, "/Users/ann/src/shop/old", Kind::Directory, 501);
    make(&mut fake, "/Users/ann/src/shop/old/f", Kind::File, 501);
    let people = &mut fake.disk.people.0;
    for name in ["old", "old/f"] {
        let node = people.remove(&format!("/Users/ann/src/shop/{name}")).unwrap();
        people.insert(format!("/Users/ann/{name}"), node);
    }
    let docs_file = people.remove("/Users/ann/src/docs/-q").unwrap();
    people.insert("/Users/ann/src/-q".into(), docs_file);
    let out = [("old".to_owned(), Access::ReadWrite), ("old/f".to_owned(), Access::ReadWrite)];
    assert_eq!(moved(&fake, "/Users/ann", "bot", &shop, 9), out);
    assert_eq!(moved(&fake, "/Users/ann", "bot", &shop, 1).len(), 1);
    assert_eq!(moved(&fake, "/Users/ann", "two", &docs, 9), [("src/-q".to_owned(), Access::ReadOnly)]);
    // Without its projects known, all that it has entries on is told, the way there as well.
    let all = moved(&fake, "/Users/ann", "two", &[], 99);
    assert!(all.contains(&("src".to_owned(), Access::ReadOnly)), "{all:?}");
    assert!(all.contains(&("src/docs".to_owned(), Access::ReadOnly)), "{all:?}");
}

/// With `dns: system` a name stands for the addresses that it had, as on Linux; other ones are another load of the anchor.
#[test]
fn names_stand_for_their_addresses() {
    let text = "version: 1\nagents:\n  bot: {human: ann, network: {dns: system, allow: [{domain: api.example.com}]}}\n";
    let policy = policy::parse(text, "p").unwrap();
    let mut fake = machine();
    for addresses in [&["192.0.2.7"][..], &["192.0.2.8", "2001:db8::8"]] {
        let addresses: BTreeSet<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let mut facts = facts(&fake);
        let resolved = Resolved { date: "2026-11-28".parse().unwrap(), addresses: addresses.clone() };
        facts.catalog.addresses.insert(name("bot"), [("api.example.com".to_owned(), resolved)].into());
        let desired = plan::desire(&policy, &name("bot"), &facts).unwrap();
        for plan in [plan::machine(text, &facts), plan::agent(&desired, &facts).unwrap()] {
            setup(&plan, &mut fake, &mut Silent).unwrap();
        }
        let anchor = &fake.disk.mac.pf.anchors[&pf::anchor(desired.uid)];
        let there: BTreeSet<_> = anchor.tables["allow0"].iter().copied().collect();
        assert_eq!(there, addresses.into_iter().map(IpNet::from).collect());
    }
}

/// With `dns: gate` names are the gate's, and stand for their addresses besides: mDNSResponder asks past it. Below an asterisk
/// there is the gate alone.
#[test]
fn names_of_a_gate_are_resolved_besides() {
    let text = "version: 1\nagents:\n  bot: {human: ann, network: {dns: gate, allow: [{domain: api.example.com}, \
                {domain: '*.example.org'}]}}\n";
    let policy = policy::parse(text, "p").unwrap();
    let mut facts = facts(&machine());
    let network = &policy.agents[&name("bot")].network;
    assert_eq!(
        to_resolve(network, &name("bot"), &facts.catalog),
        BTreeSet::new(),
        "not where the gate hears all"
    );
    facts.catalog.beside_gate = true;
    assert_eq!(to_resolve(network, &name("bot"), &facts.catalog), ["api.example.com".to_owned()].into());
    let firewall = |facts: &Facts| plan::desire(&policy, &name("bot"), facts).unwrap().firewall;
    let before = firewall(&facts);
    assert_eq!((before.allow.len(), before.resolvers.len()), (0, 0));
    let addresses = ["192.0.2.7".parse().unwrap()].into();
    let resolved = Resolved { date: "2026-11-28".parse().unwrap(), addresses };
    facts.catalog.addresses.insert(name("bot"), [("api.example.com".to_owned(), resolved)].into());
    let firewall = firewall(&facts);
    assert_eq!(firewall.names, before.names);
    assert_eq!(firewall.names[0].names, ["*.example.org", "api.example.com"]);
    let nets: Vec<_> = firewall.allow.iter().flat_map(|list| &list.nets).map(ToString::to_string).collect();
    assert_eq!(nets, ["192.0.2.7/32"]);
}

/// The job of the gates is there as long as a policy has one.
#[test]
fn the_job_of_the_gates_goes_with_the_last_gate() {
    let mut fake = machine();
    try_set_up(&mut fake, &["bot", "two"]).unwrap();
    assert!(fake.disk.files.contains_key(launchd::GATES_PATH));
    let text = POLICY.replace("dns: gate", "dns: system");
    let facts = facts(&fake);
    let desired = plan::desire(&policy::parse(&text, "p").unwrap(), &name("two"), &facts).unwrap();
    for plan in [plan::machine(&text, &facts), plan::agent(&desired, &facts).unwrap()] {
        setup(&plan, &mut fake, &mut Silent).unwrap();
    }
    assert!(
        !fake.disk.mac.jobs.contains_key(launchd::GATES) && fake.disk.mac.jobs.contains_key(launchd::LABEL)
    );
    assert!(!fake.disk.files.contains_key(launchd::GATES_PATH));
    let anchor = &fake.disk.mac.pf.anchors["com.apple/000.agentuser.602"];
    assert!(anchor.turns.is_empty() && anchor.tables.keys().all(|table| !table.starts_with("au")));
}

/// What a gate puts into its tables is no drift, and goes when it has had its time; what lives is there again with the first
/// packet after the anchor was loaded anew.
#[test]
fn answers_of_a_gate_in_its_tables() {
    let mut fake = machine();
    try_set_up(&mut fake, &["bot", "two"]).unwrap();
    let policy = policy::parse(POLICY, "p").unwrap();
    let firewall = plan::desire(&policy, &name("two"), &facts(&fake)).unwrap().firewall;
    let sets = ipset::answer_sets(&firewall);
    let answer = |set: usize, address: &str| Answer {
        set: sets[set].name.clone(),
        address: address.parse().unwrap(),
        seconds: 360,
    };
    let there = |fake: &Fake, set: usize| -> BTreeSet<String> {
        let anchor = &fake.disk.mac.pf.anchors["com.apple/000.agentuser.602"];
        anchor.tables[&sets[set].name].iter().map(|net| net.addr().to_string()).collect()
    };
    let mut tables = Tables::of(&firewall);
    assert!(!tables.hold_only(&[]), "what was there before is not known");
    let all = [answer(0, "192.0.2.1"), answer(0, "192.0.2.2"), answer(1, "2001:db8::1")];
    tables.replace(&all[..1], &mut fake).unwrap();
    tables.add(&all, &mut fake).unwrap();
    assert_eq!(there(&fake, 0), ["192.0.2.1", "192.0.2.2"].map(String::from).into());
    assert_eq!(there(&fake, 1), ["2001:db8::1".to_owned()].into());
    assert_eq!(drift(&fake, &["bot", "two"]), []);
    assert!(tables.hold_only(&all) && !tables.hold_only(&all[1..]));
    tables.replace(&all[1..], &mut fake).unwrap();
    assert_eq!((there(&fake, 0), tables.hold_only(&all[1..])), (["192.0.2.2".to_owned()].into(), true));
    tables.replace(&[], &mut fake).unwrap();
    assert!(there(&fake, 0).is_empty() && there(&fake, 1).is_empty());

    // The gate wrote down what lives; one of the names is not allowed any more.
    let mut answers = Answers::default();
    answers.put("api.example.com", "192.0.2.9".parse().unwrap(), u64::MAX, 0);
    answers.put("other.example.com", "192.0.2.10".parse().unwrap(), u64::MAX, 0);
    let path = answers::path(&name("two"));
    fake.disk
        .dirs
        .insert(path.parent().unwrap().to_string(), DirState { mode: 0o755, uid: Uid(0), gid: Gid(0) });
    let file = FileState { bytes: answers.to_json(), mode: 0o600, uid: Uid(0), gid: Gid(0) };
    fake.disk.files.insert(path.to_string(), file);
    fake.reboot();
    for scope in [Scope::Machine, Scope::Agent(name("two"))] {
        assert_eq!(ensure(&scope, &mut fake).unwrap(), 1);
    }
    assert_eq!(there(&fake, 0), ["192.0.2.9".to_owned()].into());
    try_set_up(&mut fake, &["bot"]).unwrap();
    assert_eq!(drift(&fake, &["bot", "two"]), []);
    assert!(tear_down(&mut fake, &["bot", "two"]));
    assert!(!fake.disk.files.contains_key(path.as_str()), "what the gate wrote goes with the agent");
}

/// Where the main ruleset filters by our anchors and does not translate by them, port 53 would be lost: it is said, and
/// nothing is loaded again and again.
#[test]
fn main_rules_that_turn_nothing_are_told_of() {
    let mut fake = machine();
    try_set_up(&mut fake, &["bot", "two"]).unwrap();
    fake.disk.mac.pf.main = "anchor \"com.apple/*\" all\n".into();
    let found = drift(&fake, &["bot", "two"]);
    assert!(
        matches!(&found[..], [(id, Check::Foreign(what))] if id == "pf-anchor:602" && what.contains("rdr-anchor")),
        "{found:?}"
    );
    let (before, cleared) = (fake.changes, fake.cleared);
    assert!(ensure(&Scope::Agent(name("two")), &mut fake).is_err());
    assert_eq!(ensure(&Scope::Agent(name("bot")), &mut fake).unwrap(), 0);
    assert_eq!((fake.changes, fake.cleared), (before, cleared));
}

/// A program that is another one takes the job of the gates along, which would go on with the old one.
#[test]
fn a_new_program_has_the_gates_started_anew() {
    let mut fake = machine();
    try_set_up(&mut fake, &["two"]).unwrap();
    let program = fake.disk.files.get_mut(places::mac::PROGRAM).unwrap();
    program.bytes.push(b'x');
    let plan = &plans(&fake, &[])[0];
    let text: Vec<_> = plan.steps.iter().flat_map(|step| step.describe().change).collect();
    assert!(text.iter().any(|line| line.contains("bootout system/org.agentuser.gates")), "{text:?}");
    let mut killed = restart(&fake, Death::Never);
    setup(plan, &mut killed, &mut Silent).unwrap();
    assert!(killed.disk.mac.jobs.contains_key(launchd::GATES));
    // Interrupted right after the program was written, the old gates don't stay.
    let total = changes_of(|fake| setup(plan, fake, &mut Silent).is_ok(), &fake);
    for n in 1..=total {
        let mut half = restart(&fake, Death::After(n));
        assert!(setup(plan, &mut half, &mut Silent).is_err());
        let mut fake = restart(&half, Death::Never);
        let old = fake.disk.files[places::mac::PROGRAM].bytes.ends_with(b"x");
        setup(plan, &mut fake, &mut Silent).unwrap();
        assert!(fake.disk.mac.jobs.contains_key(launchd::GATES));
        assert!(old || fake.disk.mac.boots[launchd::GATES] > 1, "{n}");
    }
}

/// On Linux the key has nothing to switch.
#[test]
fn a_profile_is_refused_elsewhere() {
    let text = "version: 1\nagents:\n  bot: {human: ann, confine: {seatbelt: true}}\n";
    let facts = Facts { mac: None, ..facts(&machine()) };
    let desire = |text: &str| {
        plan::desire(&policy::parse(text, "p").unwrap(), &name("bot"), &facts).map(|desired| desired.seatbelt)
    };
    let error = desire(text).unwrap_err().to_string();
    assert!(error.contains("`confine.seatbelt: true` is a means of macOS"), "{error}");
    assert!(!desire(&text.replace("true", "false")).is_ok_and(|on| on));
}

/// A restart takes rules and token with it; the job's `firewall ensure` puts them back from the receipts alone.
#[test]
fn rules_are_back_after_a_restart() {
    let mut fake = machine();
    try_set_up(&mut fake, &["bot", "two"]).unwrap();
    fake.reboot();
    let named: Vec<_> = drift(&fake, &["bot", "two"]).into_iter().map(|(id, _)| id).collect();
    assert_eq!(named, ["pf", "pf-anchor:601", "pf-anchor:602"]);
    let scopes = [Scope::Machine, Scope::Agent(name("bot")), Scope::Agent(name("two"))];
    assert_eq!(scopes.each_ref().map(|scope| ensure(scope, &mut fake).unwrap()), [1, 1, 1]);
    assert_eq!(drift(&fake, &["bot", "two"]), []);
    let before = fake.changes;
    assert_eq!(scopes.each_ref().map(|scope| ensure(scope, &mut fake).unwrap()), [0, 0, 0]);
    assert_eq!(fake.changes, before, "what is in force is left alone");
}

#[test]
fn main_rules_of_another_tool_are_not_touched() {
    let mut fake = machine();
    try_set_up(&mut fake, &["bot"]).unwrap();
    fake.disk.mac.pf.main = "block drop all\nanchor \"vpn/*\" all\n".into();
    let found = drift(&fake, &["bot"]);
    assert!(matches!(&found[..], [(id, Check::Foreign(_))] if id == "pf"), "{found:?}");
    let before = fake.disk.clone();
    let error = try_set_up(&mut fake, &["bot"]).unwrap_err();
    assert!(error.contains("another tool replaced the main rules"), "{error}");
    assert!(ensure(&Scope::Machine, &mut fake).is_err(), "nothing starts then");
    assert_eq!(fake.disk.mac.pf.main, before.mac.pf.main);
}

/// macOS guards accounts: it is asked first, and nothing was changed when it says no.
#[test]
fn without_leave_nothing_is_changed() {
    let first = machine();
    let mut fake = first.clone();
    fake.disk.mac.guarded = true;
    let policy = policy::parse(POLICY, "policy.yaml").unwrap();
    let facts = facts(&fake);
    let desired = plan::desire(&policy, &name("bot"), &facts).unwrap();
    let error =
        setup(&plan::agent(&desired, &facts).unwrap(), &mut fake, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("Full Disk Access"), "{error}");
    fake.disk.mac.guarded = false;
    assert_as_before(&fake, &first, "refused");

    try_set_up(&mut fake, &["bot"]).unwrap();
    let whole = fake.disk.clone();
    fake.disk.mac.guarded = true;
    let error = teardown(&Scope::Agent(name("bot")), &mut fake, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("Full Disk Access"), "{error}");
    fake.disk.mac.guarded = false;
    assert_eq!(fake.disk, whole);
}

#[test]
fn what_is_not_ours_is_never_adopted() {
    type Other = fn(&mut Fake);
    let others: [Other; 4] = [
        |fake| fake.disk.mac.set("/Users/bot", "UniqueID", "601"),
        |fake| fake.disk.mac.set("/Groups/bot", "PrimaryGroupID", "601"),
        |fake| {
            let file = FileState { bytes: b"theirs".to_vec(), mode: 0o644, uid: Uid(0), gid: Gid(0) };
            fake.disk.files.insert("/etc/sudoers.d/zz-agentuser-bot".into(), file);
        },
        |fake| {
            fake.disk.dirs.insert("/Users/bot".into(), DirState { mode: 0o700, uid: Uid(501), gid: Gid(20) });
        },
    ];
    for other in others {
        let mut fake = machine();
        other(&mut fake);
        let with_other = fake.clone();
        assert!(!set_up(&mut fake, &["bot"]));
        assert!(tear_down(&mut fake, &["bot"]));
        assert_as_before(&fake, &with_other, "somebody else's stays");
    }
    // Another record took the name of ours: same marker, another GUID. ACL entries would be somebody else's.
    let mut fake = machine();
    try_set_up(&mut fake, &["bot"]).unwrap();
    fake.disk.mac.set("/Users/bot", "GeneratedUID", "0000-BBBB");
    assert!(matches!(&drift(&fake, &["bot"])[..], [(id, Check::Foreign(_))] if id == "account:bot"));
    assert!(!set_up(&mut fake, &["bot"]));
    assert!(tear_down(&mut fake, &["bot"]));
    assert!(fake.disk.mac.users.contains_key("bot"));
}

#[test]
fn what_macos_can_not_give_is_refused_by_name() {
    let machine = machine();
    let refused = |lines: &str, facts: &Facts| {
        let text = format!("version: 1\nagents:\n  bot:\n    human: ann\n{lines}");
        let policy = policy::parse(&text, "policy.yaml").unwrap();
        plan::desire(&policy, &name("bot"), facts).unwrap_err().to_string()
    };
    let facts = facts(&machine);
    for (lines, word) in [
        ("    view: private\n", "`view: private`"),
        ("    limits: {memory: 1G}\n", "`limits.memory`"),
        ("    limits: {processes: 100}\n", "`limits.processes`"),
        ("    limits: {open-files: 100}\n", "`limits.open-files`"),
        ("    network: {dns: system, allow: [{preset: npm}]}\n", "`preset: npm`"),
        ("    projects: [{path: /Users/ann/src/shop, git: guard}]\n", "`git: guard`"),
        ("    confine: {landlock: true}\n", "`confine.landlock`"),
    ] {
        let error = refused(lines, &facts);
        assert!(error.contains(word), "{error}");
    }
    let why = "its volume pays no heed to owners: sudo diskutil enableOwnership /Volumes/Work";
    let path: AbsPath = "/Users/ann/src/shop".parse().unwrap();
    let mac = Mac { unfit_volumes: [(path, why.to_owned())].into() };
    let error = refused("    projects: [{path: /Users/ann/src/shop}]\n", &Facts { mac: Some(mac), ..facts });
    assert!(error.contains("enableOwnership"), "{error}");
}

fn changes_of(run: impl Fn(&mut Fake) -> bool, from: &Fake) -> u32 {
    let mut machine = restart(from, Death::Never);
    assert!(run(&mut machine));
    machine.changes
}

#[test]
fn a_crash_at_any_change_of_setup_is_completed_or_torn_down() {
    let first = machine();
    let agents = ["bot", "two"];
    let total = changes_of(|fake| set_up(fake, &agents), &first);
    assert!(total > 100, "{total}");
    let mut lost = 0;
    for n in 1..=total {
        for death in [Death::Before(n), Death::After(n)] {
            let mut half = restart(&first, death);
            assert!(!set_up(&mut half, &agents), "{death:?}");

            let mut fake = restart(&half, Death::Never);
            try_set_up(&mut fake, &agents).unwrap_or_else(|error| panic!("{death:?}: {error}"));
            assert_eq!(drift(&fake, &agents), [], "{death:?}");
            assert!(tear_down(&mut fake, &agents), "{death:?}");
            let after_setup = forget_lost_token(&mut fake);
            assert_as_before(&fake, &first, &format!("set up again, {death:?}"));

            let mut fake = restart(&half, Death::Never);
            assert!(tear_down(&mut fake, &agents), "{death:?}");
            assert_eq!(forget_lost_token(&mut fake), after_setup);
            assert_as_before(&fake, &first, &format!("torn down, {death:?}"));
            lost += after_setup;
        }
    }
    assert!(lost <= 2, "one token, where its answer was lost: {lost}");
}

#[test]
fn crashes_in_setup_and_then_in_teardown() {
    let first = machine();
    let total = changes_of(|fake| set_up(fake, &["bot"]), &first);
    let mut pairs = 0;
    for n in 1..=total + 1 {
        let mut half = restart(&first, Death::After(n));
        set_up(&mut half, &["bot"]);
        let down = changes_of(|fake| tear_down(fake, &["bot"]), &half);
        for k in 1..=down {
            for death in [Death::Before(k), Death::After(k)] {
                let mut fake = restart(&half, death);
                tear_down(&mut fake, &["bot"]);
                let mut fake = restart(&fake, Death::Never);
                assert!(tear_down(&mut fake, &["bot"]), "setup {n}, teardown {death:?}");
                forget_lost_token(&mut fake);
                assert_as_before(&fake, &first, &format!("setup {n}, teardown {death:?}"));
                pairs += 1;
            }
        }
    }
    assert!(pairs > 3_000, "{pairs}");
}

#[test]
fn a_home_that_was_being_made_afresh_is_completed_or_torn_down() {
    let first = machine();
    let mut up = restart(&first, Death::Never);
    assert!(set_up(&mut up, &["bot"]));
    let afresh = |fake: &mut Fake| {
        reset(&Scope::Agent(name("bot")), "home:/Users/bot", fake, &mut Silent).is_ok_and(|made| made)
    };
    let total = changes_of(afresh, &up);
    assert!(total >= 4, "{total}");
    for n in 1..=total {
        for death in [Death::Before(n), Death::After(n)] {
            let mut half = restart(&up, death);
            assert!(!afresh(&mut half), "{death:?}");

            let mut fake = restart(&half, Death::Never);
            try_set_up(&mut fake, &["bot"]).unwrap_or_else(|error| panic!("{death:?}: {error}"));
            assert_eq!(drift(&fake, &["bot"]), [], "{death:?}");

            let mut fake = restart(&half, Death::Never);
            assert!(tear_down(&mut fake, &["bot"]), "{death:?}");
            assert_as_before(&fake, &first, &format!("torn down, {death:?}"));
        }
    }
}

/// The plan whole, as `setup --dry-run` shows it.
#[test]
fn the_plan_in_words() {
    use std::fmt::Write;
    let mut text = String::new();
    for plan in plans(&machine(), &["bot", "two"]) {
        for step in plan.steps {
            let description = step.describe();
            writeln!(text, "{}", description.title).unwrap();
            for line in description.change {
                writeln!(text, "    {line}").unwrap();
            }
        }
        text += "\n";
    }
    insta::assert_snapshot!(text);
}

/// What the way in may be read by: the receipt of a setup is where every platform keeps it.
#[test]
fn state_is_closed_to_others() {
    let mut fake = machine();
    try_set_up(&mut fake, &["bot"]).unwrap();
    for file in ["receipt.json", "pf.json"] {
        let path = places::state(&name("bot")).join(file);
        assert_eq!(fake.file(&path).unwrap().unwrap().mode, 0o600, "{path}");
    }
}
