//! `status` names what drifted, for the human without a password and for root alike, and `setup` mends it.

use crate::common::{AGENT, Machine, Outcome};
use std::fs;

/// One way in which the machine drifts.
struct Drift {
    what: &'static str,
    /// Makes it drift.
    begin: fn(&Machine),
    /// What `status` says.
    says: &'static str,
    /// Takes away what is somebody else's, and so not for `setup` to take.
    end: fn(&Machine),
}

fn uid() -> String {
    nix::unistd::User::from_name(AGENT).unwrap().unwrap().uid.to_string()
}

fn replace(path: &str, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from:?} in {path}: {text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn nothing(_: &Machine) {}

fn as_human(machine: &Machine, argv: &[&str]) {
    machine.human().run(argv).ok();
}

fn first_set(machine: &Machine) -> String {
    let sets = machine.inside(&["ipset", "list", "-n"]);
    sets.lines().find(|set| set.contains(&uid())).unwrap().to_owned()
}

const DRIFTS: [Drift; 22] = [
    Drift {
        what: "chmod 700 of the home voids the entry on it",
        begin: |machine| as_human(machine, &["sh", "-c", "chmod 700 ~"]),
        says: "lets the agent's entry no longer count",
        end: nothing,
    },
    Drift {
        what: "the entry on the home is gone",
        begin: |machine| as_human(machine, &["sh", "-c", "setfacl -b ~"]),
        says: "pass through, not list: missing",
        end: nothing,
    },
    Drift {
        what: "a file of the project lost its entry",
        begin: |machine| as_human(machine, &["setfacl", "-x", &format!("u:{AGENT}"), "prices"]),
        says: "prices: ",
        end: nothing,
    },
    Drift {
        what: "a directory of the project lost its default entries",
        begin: |machine| as_human(machine, &["sh", "-c", "mkdir deep && setfacl -k deep"]),
        says: "new files in it would lack the entries",
        end: nothing,
    },
    Drift {
        what: "a flushed chain",
        begin: |machine| drop(machine.inside(&["iptables", "-F", &format!("AU_{}", uid())])),
        says: "IPv4: ",
        end: nothing,
    },
    Drift {
        what: "all chains flushed, IPv6",
        begin: |machine| drop(machine.inside(&["ip6tables", "-F"])),
        says: "IPv6: the jumps from OUTPUT are not as they should be",
        end: nothing,
    },
    Drift {
        what: "a foreign rule in front of the jump",
        begin: |machine| drop(machine.inside(&["iptables", "-I", "OUTPUT", "1", "-j", "ACCEPT"])),
        says: "`-A OUTPUT -j ACCEPT` stands at position 1, in front of the jump",
        end: |machine| drop(machine.inside(&["iptables", "-D", "OUTPUT", "-j", "ACCEPT"])),
    },
    Drift {
        what: "a jump is gone",
        begin: |machine| drop(machine.inside(&["iptables", "-D", "OUTPUT", "1"])),
        says: "IPv4: the jumps from OUTPUT are not as they should be",
        end: nothing,
    },
    Drift {
        what: "a rule was added to our chain",
        begin: |machine| {
            drop(machine.inside(&["iptables", "-I", &format!("AU_{}", uid()), "1", "-j", "ACCEPT"]));
        },
        says: "IPv4: added: ",
        end: nothing,
    },
    Drift {
        what: "a set lost its entries",
        begin: |machine| drop(machine.inside(&["ipset", "flush", &first_set(machine)])),
        says: "entries missing",
        end: nothing,
    },
    Drift {
        what: "the table of nft is gone",
        begin: |machine| {
            drop(machine.inside(&["nft", "delete", "table", "inet", &format!("agentuser_{}", uid())]));
        },
        says: "the same policy again: missing",
        end: nothing,
    },
    Drift {
        what: "a chain of the nft table was flushed",
        begin: |machine| {
            drop(machine.inside(&["nft", "flush", "table", "inet", &format!("agentuser_{}", uid())]));
        },
        says: "the same policy again: drifted",
        end: nothing,
    },
    Drift {
        what: "the sudoers file says more",
        begin: |machine| {
            let path = format!("/etc/sudoers.d/zz-agentuser-{AGENT}");
            let more = format!("{} ALL=({AGENT}) NOPASSWD: /bin/true\n", machine.human().name);
            fs::write(&path, fs::read_to_string(&path).unwrap() + &more).unwrap();
        },
        says: "its text was changed",
        end: nothing,
    },
    Drift {
        what: "the agent's home is open to its group",
        begin: |_| drop(crate::common::system(&["chmod", "0750", &format!("/home/{AGENT}")])),
        says: "its mode is 0750",
        end: nothing,
    },
    Drift {
        what: "a range of sub-uids",
        begin: |_| {
            let text = fs::read_to_string("/etc/subuid").unwrap_or_default();
            fs::write("/etc/subuid", format!("{text}{AGENT}:7000000:65536\n")).unwrap();
        },
        says: "/etc/subuid gives it 7000000-7065535",
        end: nothing,
    },
    Drift {
        what: "the policy was changed by hand",
        begin: |_| {
            replace(
                "/etc/agentuser/policy.yaml",
                "      log: none\n",
                "      log: none\n      allow:\n        - loopback: [5432]\n",
            );
        },
        says: "nothing allowed, loopback ports 5432: drifted",
        end: nothing,
    },
    Drift {
        what: "another project in the policy, by hand",
        begin: |machine| {
            let dir = machine.human().make_dir("second");
            let entry = format!("    projects:\n      - path: {}", dir.display());
            replace("/etc/agentuser/policy.yaml", "    projects:", &entry);
        },
        says: "second: read and write: missing",
        end: nothing,
    },
    Drift {
        what: "another shell",
        begin: |_| drop(crate::common::system(&["usermod", "--shell", "/bin/sh", AGENT])),
        says: "its shell is /bin/sh",
        end: nothing,
    },
    Drift {
        what: "another group",
        begin: |_| drop(crate::common::system(&["usermod", "--append", "--groups", "games", AGENT])),
        says: "it is in group games",
        end: nothing,
    },
    Drift {
        what: "somebody in the agent's group",
        begin: |machine| drop(crate::common::system(&["gpasswd", "--add", &machine.human().name, AGENT])),
        says: "is a member of it",
        end: nothing,
    },
    Drift {
        what: "a password",
        begin: |_| drop(crate::common::system(&["usermod", "--password", "x1y2z3", AGENT])),
        says: "its password is not locked",
        end: nothing,
    },
    Drift {
        what: "cron is open again",
        begin: |_| replace("/etc/cron.deny", &format!("{AGENT}\n"), ""),
        says: "no cron jobs (a line in /etc/cron.deny): missing",
        end: nothing,
    },
];

fn both(machine: &Machine) -> [(&'static str, Outcome); 2] {
    [("human", machine.human().run(&["agentuser", "status"])), ("root", machine.agentuser(&["status"]))]
}

#[test]
fn what_drifted_is_named_and_mended() {
    let Some(machine) = Machine::take() else { return };
    // Without a log nobody needs a guard, which would mend much of it at once.
    let (human, project) = (&machine.human().name, machine.human().project());
    let policy = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "version: 1\nagents:\n  {AGENT}:\n    human: {human}\n    network:\n      log: none\n    projects:\n      - path: {}\n",
        project.display()
    );
    fs::write(policy.path(), text).unwrap();
    machine.agentuser(&["setup", "--yes", "--policy", policy.path().to_str().unwrap()]).ok();
    for drift in DRIFTS {
        for (who, outcome) in both(&machine) {
            assert_eq!(outcome.code(), Some(0), "before: {}, for {who}: {outcome:?}", drift.what);
            assert!(!outcome.text().contains(drift.says), "{}, for {who}: {outcome:?}", drift.what);
        }
        (drift.begin)(&machine);
        for (who, outcome) in both(&machine) {
            assert_eq!(outcome.code(), Some(1), "{}, for {who}: {outcome:?}", drift.what);
            assert!(outcome.text().contains(drift.says), "{}, for {who}: {outcome:?}", drift.what);
        }
        let mended = machine.agentuser(&["setup", "--yes"]);
        assert_eq!(mended.code(), Some(0), "{}: {mended:?}", drift.what);
        for (who, outcome) in both(&machine) {
            assert_eq!(outcome.code(), Some(0), "mended: {}, for {who}: {outcome:?}", drift.what);
        }
        (drift.end)(&machine);
    }
}

/// What only root can see is unknown to the human once the helper can't be asked; it never counts as in force.
#[test]
fn what_can_not_be_read_is_unknown() {
    let Some(machine) = Machine::set_up() else { return };
    let states = || {
        let outcome = machine.human().run(&["agentuser", "status", "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
        (outcome.code(), json)
    };
    let of = |json: &serde_json::Value, layer: &str| -> Vec<String> {
        let steps = json["agents"][0]["steps"].as_array().unwrap();
        let of = steps.iter().filter(|step| step["layer"] == layer);
        of.map(|step| step["state"].as_str().unwrap().to_owned()).collect()
    };
    let (code, json) = states();
    assert_eq!((code, &json["in_force"]), (Some(0), &true.into()));
    let path = format!("/etc/sudoers.d/zz-agentuser-{AGENT}");
    fs::remove_file(&path).unwrap();
    let (code, json) = states();
    assert_eq!((code, &json["in_force"]), (Some(1), &false.into()));
    assert_eq!(json["agents"][0]["in_force"], false);
    for layer in ["program", "account", "network"] {
        assert!(of(&json, layer).iter().all(|state| state == "unknown"), "{layer}: {json:#}");
    }
    assert!(of(&json, "launch").iter().all(|state| state != "in-force"), "{json:#}");
    assert!(of(&json, "sharing").iter().all(|state| state == "in-force"), "{json:#}");
    machine.human().run(&["agentuser", "run", "--", "true"]).exits(125);
    machine.agentuser(&["status"]).exits(1).mentions("without a password");
    machine.agentuser(&["setup", "--yes"]).ok();
    assert_eq!(states().0, Some(0));
}

#[test]
fn the_json_has_its_version() {
    let Some(machine) = Machine::set_up() else { return };
    for outcome in
        [machine.human().run(&["agentuser", "status", "--json"]), machine.agentuser(&["status", "--json"])]
    {
        let json: serde_json::Value = serde_json::from_slice(&outcome.ok().stdout).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["in_force"], true);
        let agent = &json["agents"][0];
        assert_eq!(
            (&agent["agent"], &agent["human"]),
            (&AGENT.into(), &machine.human().name.as_str().into())
        );
        for step in agent["steps"].as_array().unwrap() {
            assert_eq!(step["state"], "in-force", "{step}");
            for key in ["id", "layer", "title"] {
                assert!(step[key].is_string(), "{step}");
            }
        }
    }
}

/// Reading commands change nothing (invariant 4).
#[test]
fn looking_changes_nothing() {
    let Some(machine) = Machine::set_up() else { return };
    let before = machine.snapshot();
    both(&machine);
    machine.snapshot().assert_same_as(&before, "after status");
}
