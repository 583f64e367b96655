//! Power cuts at every change: setup again completes, and teardown leaves the first state.
//!
//! For each change n of a setup, the machine dies before it or right after it; then, for each change k of a teardown, it
//! dies again; then both are run to their end. Every kind of step takes part.
#![expect(
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a test may panic, and need not be fast"
)]

mod fake;
#[path = "../support/ssh_key.rs"]
mod ssh_key;

use agentuser::{
    engine::{Plan, Receipt, Scope, Silent, report, setup, teardown},
    host::{DirState, FileState, Observe},
    model::{
        AccountName, Gid, IdRange, Uid,
        facts::{Denial, DirFact, Facts, KnownAgent, Person},
    },
    plan, policy,
    step::{AnyStep, Check},
};
use fake::{Death, Fake};

const POLICY: &str = "\
version: 1
agents:
  bot:
    human: ann
    projects:
      - path: /home/ann/shop
        deploy-key: read-only
    network:
      allow:
        - cidr: 192.0.2.0/24
          ports: [443]
        - loopback: [5432]
  two:
    human: bob
    projects:
      - path: /home/bob/a/b
        access: read-only
  zed:
    human: ann
    sharing: mount
    projects:
      - path: /home/ann/site
";

/// The unit of the guard.
const GUARD: &str = agentuser::formats::systemd::GUARD_NAME;

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn people() -> [(&'static str, u32); 2] {
    [("ann", 1000), ("bob", 1001)]
}

/// A machine with the usual files, and somebody else's rules, sets, lines and units.
fn machine() -> Fake {
    let mut fake = Fake::default();
    let file = |text: &str, mode| FileState { bytes: text.into(), mode, uid: Uid(0), gid: Gid(0) };
    let dir = DirState { mode: 0o755, uid: Uid(0), gid: Gid(0) };
    for path in [
        "/etc",
        "/etc/sudoers.d",
        "/etc/ssh/sshd_config.d",
        "/etc/systemd/system",
        "/usr/local/bin",
        "/home",
        "/var/lib",
        "/run",
    ] {
        fake.disk.dirs.insert(path.into(), dir);
    }
    let passwd: String =
        people().iter().map(|(name, id)| format!("{name}:x:{id}:{id}::/home/{name}:/bin/sh\n")).collect();
    let group: String = people().iter().map(|(name, id)| format!("{name}:x:{id}:\n")).collect();
    fake.disk.files.insert("/etc/passwd".into(), file(&passwd, 0o644));
    fake.disk.files.insert("/etc/group".into(), file(&group, 0o644));
    fake.disk.files.insert("/etc/shadow".into(), file("ann:!:1::::::\nbob:!:1::::::\n", 0o640));
    fake.disk.files.insert("/etc/at.deny".into(), file("alias\nbackup", 0o640));
    let output = vec!["-o wg0 -j ACCEPT".to_owned()];
    fake.disk.filter.insert(agentuser::model::Family::V4, [("OUTPUT".to_owned(), output)].into());
    fake.disk.sets.insert("theirs".into(), ["10.0.0.0/8".to_owned()].into());
    fake.disk.units.insert("ssh.service".into(), String::new());
    fake
}

/// The facts as they would be read from the machine in its present state.
fn facts(machine: &Fake) -> Facts {
    let lines = |file: &str| machine.disk.text(file).lines().map(str::to_owned).collect::<Vec<_>>();
    let ids = |file: &str| {
        lines(file).iter().map(|line| line.split(':').nth(2).unwrap().parse().unwrap()).collect()
    };
    let mut facts = Facts {
        uids: ids("/etc/passwd"),
        gids: ids("/etc/group"),
        system_ids: Some(IdRange { first: 101, last: 999 }),
        systemd: true,
        nft: true,
        iptables_is_nft: true,
        ipv6: true,
        sshd_reads_drop_ins: Some(true),
        sudo_reads_drop_ins: true,
        nonce: format!("nonce{}", machine.changes),
        ..Facts::default()
    };
    for (human, id) in people() {
        let person = Person {
            name: human.into(),
            uid: Uid(id),
            gid: Gid(id),
            gecos: String::new(),
            home: format!("/home/{human}"),
            shell: "/bin/sh".into(),
        };
        facts.humans.insert(human.into(), person);
        for dir in ["", "/shop", "/site", "/a", "/a/b"] {
            let path = format!("/home/{human}{dir}").parse().unwrap();
            facts.dirs.insert(path, Some(DirFact { owner: Uid(id), mode: 0o700 }));
        }
    }
    for dir in ["/home", "/"] {
        facts.dirs.insert(dir.parse().unwrap(), Some(DirFact { owner: Uid(0), mode: 0o755 }));
    }
    for agent in ["bot", "two", "zed"].map(name) {
        facts.at.insert(agent.clone(), Denial::AddTo("/etc/at.deny".parse().unwrap()));
        facts.cron.insert(agent.clone(), Denial::AddTo("/etc/cron.deny".parse().unwrap()));
        let receipt = Receipt::load(&Scope::Agent(agent.clone()), machine).unwrap();
        for entry in receipt.entries {
            match entry.step {
                AnyStep::Account(account) => {
                    let known = KnownAgent {
                        uid: account.uid,
                        gid: account.gid,
                        marker: account.marker,
                        firewall: None,
                    };
                    facts.agents.insert(agent.clone(), known);
                }
                AnyStep::Group(group) => {
                    let marker = format!("agentuser {agent} again");
                    facts.agents.insert(
                        agent.clone(),
                        KnownAgent { uid: Uid(group.gid.0), gid: group.gid, marker, firewall: None },
                    );
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

/// A whole setup; false where the machine died.
fn set_up(machine: &mut Fake, agents: &[&str]) -> bool {
    // As in the program, each agent's ids are chosen after the one before it is there.
    for agent in agents {
        for plan in plans(machine, &[agent]) {
            if setup(&plan, machine, &mut Silent).is_err() {
                return false;
            }
        }
    }
    true
}

fn tear_down(machine: &mut Fake, agents: &[&str]) -> bool {
    let mut scopes: Vec<_> = agents.iter().map(|agent| Scope::Agent(name(agent))).collect();
    scopes.push(Scope::Machine);
    scopes.iter().all(|scope| teardown(scope, machine, &mut Silent).is_ok())
}

fn restart(machine: &Fake, death: Death) -> Fake {
    Fake { disk: machine.disk.clone(), death, changes: 0 }
}

fn assert_in_force(machine: &Fake, agents: &[&str], context: &str) {
    for plan in plans(machine, agents) {
        let receipt = Receipt::load(&plan.scope, machine).unwrap();
        for step in report(&plan, &receipt, machine) {
            assert_eq!(step.check, Check::Satisfied, "{context}: {}", step.id);
        }
    }
}

/// How many changes a whole run makes.
fn changes_of(run: impl Fn(&mut Fake) -> bool, from: &Fake) -> u32 {
    let mut machine = restart(from, Death::Never);
    assert!(run(&mut machine));
    machine.changes
}

#[test]
fn setup_and_teardown_without_a_crash() {
    let first = machine();
    let mut fake = first.clone();
    assert!(set_up(&mut fake, &["bot", "two", "zed"]));
    assert_in_force(&fake, &["bot", "two", "zed"], "setup");
    let kinds: std::collections::BTreeSet<_> = ["machine", "bot", "two", "zed"]
        .iter()
        .flat_map(|scope| {
            fake.disk
                .text(&format!("/var/lib/agentuser/{scope}/receipt.json"))
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|line| line.contains("\"kind\""))
        .collect();
    assert_eq!(kinds.len(), 18, "every kind of step takes part: {kinds:?}");
    let after = fake.changes;
    assert!(set_up(&mut fake, &["bot", "two", "zed"]));
    assert_eq!(fake.changes, after, "a second setup changes nothing");
    for order in [["bot", "two", "zed"], ["zed", "two", "bot"]] {
        let mut fake = restart(&fake, Death::Never);
        assert!(tear_down(&mut fake, &order));
        assert_eq!(fake.disk, first.disk, "{order:?}");
    }
}

/// The receipt is then what it was before, and still has to be written.
#[test]
fn what_drifted_is_mended_and_in_the_receipt() {
    let mut fake = machine();
    assert!(set_up(&mut fake, &["bot"]));
    let whole = fake.disk.clone();
    fake.disk.files.remove("/etc/sudoers.d/zz-agentuser-bot").unwrap();
    assert!(set_up(&mut fake, &["bot"]));
    assert_in_force(&fake, &["bot"], "mended");
    assert_eq!(fake.disk, whole);
}

/// A guard that an older version started goes on in the sandbox of the unit that it was started from.
#[test]
fn the_guard_runs_by_the_unit_that_is_there() {
    let mut older = machine();
    assert!(set_up(&mut older, &["bot"]));
    let whole = older.disk.clone();
    let path = format!("/etc/systemd/system/{GUARD}");
    older.disk.files.get_mut(&path).unwrap().bytes = b"older".into();
    older.disk.units.insert(GUARD.into(), "older".into());
    let total = changes_of(|fake| set_up(fake, &["bot"]), &older);
    for n in 1..=total {
        for death in [Death::Before(n), Death::After(n)] {
            let mut fake = restart(&older, death);
            assert!(!set_up(&mut fake, &["bot"]), "{death:?}");
            let mut fake = restart(&fake, Death::Never);
            assert!(set_up(&mut fake, &["bot"]), "{death:?}");
            assert_eq!(fake.disk, whole, "{death:?}");
        }
    }
}

#[test]
fn a_crash_at_any_change_of_setup_is_completed() {
    let first = machine();
    let total = changes_of(|fake| set_up(fake, &["bot", "two"]), &first);
    for n in 1..=total {
        for death in [Death::Before(n), Death::After(n)] {
            let mut fake = restart(&first, death);
            assert!(!set_up(&mut fake, &["bot", "two"]), "{death:?}");
            let mut fake = restart(&fake, Death::Never);
            assert!(set_up(&mut fake, &["bot", "two"]), "{death:?}");
            assert_in_force(&fake, &["bot", "two"], &format!("{death:?}"));
            assert!(tear_down(&mut fake, &["bot", "two"]), "{death:?}");
            assert_eq!(fake.disk, first.disk, "{death:?}");
        }
    }
}

#[test]
fn a_crash_at_any_change_of_setup_can_be_torn_down() {
    let first = machine();
    let total = changes_of(|fake| set_up(fake, &["two", "zed"]), &first);
    for n in 1..=total {
        for death in [Death::Before(n), Death::After(n)] {
            let mut fake = restart(&first, death);
            assert!(!set_up(&mut fake, &["two", "zed"]));
            let mut fake = restart(&fake, Death::Never);
            assert!(tear_down(&mut fake, &["two", "zed"]), "{death:?}");
            assert_eq!(fake.disk, first.disk, "{death:?}");
        }
    }
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
                let ended = tear_down(&mut fake, &["bot"]);
                let mut fake = restart(&fake, Death::Never);
                assert!(tear_down(&mut fake, &["bot"]), "setup {n}, teardown {death:?} ({ended})");
                assert_eq!(fake.disk, first.disk, "setup {n}, teardown {death:?}");
                pairs += 1;
            }
        }
    }
    assert!(pairs > 2_000, "{pairs}");
}

#[test]
fn a_project_that_left_the_policy_is_taken_back() {
    let mut fake = machine();
    assert!(set_up(&mut fake, &["bot"]));
    assert_eq!(fake.disk.open.len(), 2);
    let facts = facts(&fake);
    let policy = policy::parse("version: 1\nagents:\n  bot:\n    human: ann\n", "p").unwrap();
    let desired = plan::desire(&policy, &name("bot"), &facts).unwrap();
    setup(&plan::agent(&desired, &facts).unwrap(), &mut fake, &mut Silent).unwrap();
    assert!(fake.disk.open.is_empty());
    let rules = fake.query(&agentuser::host::Query::Sets).unwrap().stdout;
    assert!(!String::from_utf8(rules).unwrap().contains("192.0.2.0"));
}

#[test]
fn what_is_not_ours_stops_setup_before_its_first_change() {
    let first = machine();
    let total = Fake::default().changes;
    for (path, text) in
        [("/usr/local/bin/agentuser", "theirs"), ("/etc/sudoers.d/zz-agentuser-bot", "theirs")]
    {
        let mut fake = first.clone();
        let file = FileState { bytes: text.into(), mode: 0o644, uid: Uid(0), gid: Gid(0) };
        fake.disk.files.insert(path.into(), file);
        let before = fake.disk.clone();
        for plan in plans(&fake, &["bot"]) {
            let result = setup(&plan, &mut fake, &mut Silent);
            let concerned = plan.steps.iter().any(|step| step.id() == format!("file:{path}"));
            assert_eq!(result.is_err(), concerned, "{path}");
            if concerned {
                break;
            }
        }
        assert_eq!(fake.disk.files[path], before.files[path]);
    }
    assert_eq!(total, 0);
    // An account of that name that somebody else made is neither taken over nor removed.
    let mut fake = first.clone();
    let line = "bot:x:990:990:Somebody:/home/bot:/bin/sh\n";
    fake.disk.files.get_mut("/etc/passwd").unwrap().bytes.extend_from_slice(line.as_bytes());
    assert!(!set_up(&mut fake, &["bot"]));
    assert!(tear_down(&mut fake, &["bot"]));
    assert!(fake.disk.text("/etc/passwd").contains(line));
}

/// Receipts of every version that was ever written still revert; `UPDATE_FIXTURES=1` writes those of the present one.
#[test]
fn a_receipt_of_version_1_is_reverted() {
    let first = machine();
    let mut fake = first.clone();
    assert!(set_up(&mut fake, &["bot", "two"]));
    for scope in ["machine", "bot", "two"] {
        let path = format!("tests/fixtures/receipts/v1-{scope}.json");
        let receipt = format!("/var/lib/agentuser/{scope}/receipt.json");
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            std::fs::write(&path, fake.disk.text(&receipt)).unwrap();
        }
        fake.disk.files.get_mut(&receipt).unwrap().bytes = std::fs::read(&path).unwrap();
    }
    assert!(tear_down(&mut fake, &["bot", "two"]));
    assert_eq!(fake.disk, first.disk);
}

#[test]
fn a_receipt_of_a_newer_version_is_refused() {
    let mut fake = machine();
    assert!(set_up(&mut fake, &["bot"]));
    let receipt = fake.disk.files.get_mut("/var/lib/agentuser/bot/receipt.json").unwrap();
    let text = String::from_utf8(receipt.bytes.clone()).unwrap();
    receipt.bytes = text.replacen("\"version\": 1", "\"version\": 2", 1).into_bytes();
    let error = teardown(&Scope::Agent(name("bot")), &mut fake, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("newer agentuser"), "{error}");
}

/// A setup plans all agents of a policy before it makes the first.
#[test]
fn two_new_agents_have_two_ids() {
    let machine = machine();
    let policy = policy::parse(POLICY, "policy.yaml").unwrap();
    let facts = facts(&machine);
    let [bot, two] = ["bot", "two"].map(|agent| plan::desire(&policy, &name(agent), &facts).unwrap());
    assert_ne!((bot.uid, bot.gid), (two.uid, two.gid));
    let mut fake = machine.clone();
    for plan in plans(&machine, &["bot", "two"]) {
        setup(&plan, &mut fake, &mut Silent).unwrap();
    }
    assert_in_force(&fake, &["bot", "two"], "one setup of both");
}
