//! What others put on the machine, before a setup and while it is in force, is there after the teardown.

use super::assert_in_force;
use crate::common::{AGENT, Machine};
use std::fs;

fn rules(machine: &Machine, change: &str, number: &str) {
    for tool in ["iptables", "ip6tables"] {
        let rule = [tool, change, "OUTPUT", "-p", "tcp", "--dport", number, "-j", "REJECT"];
        machine.inside(&rule);
    }
}

fn append(path: &str, text: &str) {
    fs::write(path, fs::read_to_string(path).unwrap_or_default() + text).unwrap();
}

/// Rules, sets, tables, lines and ACLs of others.
fn theirs(machine: &Machine) {
    let human = machine.human();
    rules(machine, "-A", "9");
    machine.inside(&["iptables", "-N", "AU_theirs"]);
    machine.inside(&["ipset", "create", "t_theirs", "hash:ip"]);
    machine.inside(&["ipset", "add", "t_theirs", "192.0.2.7"]);
    machine.feed(&["nft", "-f", "-"], "table inet t_theirs { chain c { tcp dport 7 drop; }; }");
    append("/etc/cron.deny", "somebody");
    append("/etc/at.deny", "else");
    human.make_dir("shop/notes");
    human.write("shop/notes/today", "x\n");
    for acl in ["u:nobody:rw", "g:games:r", "m::rw"] {
        human.run(&["setfacl", "-m", acl, "notes/today"]).ok();
    }
    human.run(&["setfacl", "-m", "d:u:nobody:rwx,u:nobody:x", "notes"]).ok();
    human.run(&["setfacl", "-m", "u:nobody:x", ".."]).ok();
    human.run(&["chmod", "2750", "notes"]).ok();
}

#[test]
fn what_others_made_survives() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    theirs(&machine);
    let before = machine.snapshot();

    machine.set_up_agent(0, AGENT);
    assert_in_force(&machine);

    // While it is in force.
    rules(&machine, "-I", "10");
    rules(&machine, "-A", "11");
    machine.inside(&["ipset", "add", "t_theirs", "192.0.2.8"]);
    machine.inside(&["nft", "add", "rule", "inet", "t_theirs", "c", "tcp", "dport", "8", "drop"]);
    append("/etc/at.deny", "third\n");
    append("/etc/cron.deny", "fourth\n");
    human.run(&["setfacl", "-m", "u:games:r", "prices"]).ok();

    machine.tear_down(AGENT);
    // All of it is still there …
    let acl = human.run(&["getfacl", "-p", "prices"]).ok().text();
    assert!(acl.contains("user:games:r--"), "{acl}");
    for (path, line) in [("/etc/at.deny", "third"), ("/etc/cron.deny", "fourth")] {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.lines().any(|is| is == line) && !text.contains(AGENT), "{path}: {text}");
    }
    // … and without it, the machine is as it was.
    human.run(&["setfacl", "-b", "prices"]).ok();
    rules(&machine, "-D", "10");
    rules(&machine, "-D", "11");
    machine.inside(&["ipset", "del", "t_theirs", "192.0.2.8"]);
    machine.inside(&["nft", "flush", "table", "inet", "t_theirs"]);
    machine.inside(&["nft", "add", "rule", "inet", "t_theirs", "c", "tcp", "dport", "7", "drop"]);
    for (path, line) in [("/etc/at.deny", "\nthird\n"), ("/etc/cron.deny", "\nfourth\n")] {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.ends_with(line), "{path}: {text}");
        fs::write(path, text.strip_suffix(line).unwrap()).unwrap();
    }
    machine.snapshot().assert_same_as(&before, "after the teardown");
}

/// Docker and libvirt make the table with the chains that they need, and OUTPUT is not among them.
#[test]
fn a_filter_table_without_output_is_left_so() {
    let Some(machine) = Machine::take() else { return };
    for family in ["ip", "ip6"] {
        let theirs = "chain FORWARD { type filter hook forward priority filter; policy drop; counter; }";
        machine
            .feed(&["nft", "-f", "-"], &format!("table {family} filter {{ {theirs}; chain DOCKER {{ }}; }}"));
    }
    let before = machine.snapshot();
    let has_output = || {
        ["ip", "ip6"]
            .map(|family| machine.inside(&["nft", "list", "table", family, "filter"]).contains("OUTPUT"))
    };
    assert_eq!(has_output(), [false; 2]);
    machine.set_up_agent(0, AGENT);
    assert_in_force(&machine);
    assert_eq!(has_output(), [true; 2]);
    machine.tear_down(AGENT);
    machine.snapshot().assert_same_as(&before, "after the teardown");
}

/// A list that others have removed meanwhile stays away; one that was made by setup goes.
#[test]
fn lists_that_others_removed_stay_away() {
    let Some(machine) = Machine::set_up() else { return };
    assert!(fs::exists("/etc/cron.deny").unwrap());
    fs::remove_file("/etc/cron.deny").unwrap();
    machine.tear_down(AGENT);
    assert!(!fs::exists("/etc/cron.deny").unwrap());
}

/// A mode that the human set while the project was shared is the human's choice, and stays.
#[test]
fn modes_that_the_human_set_stay() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    human.run(&["chmod", "600", "prices"]).ok();
    machine.tear_down(AGENT);
    let facts = human.run(&["stat", "-c", "%a", "prices"]).ok().text();
    assert_eq!(facts, "600");
    let acl = human.run(&["getfacl", "-pc", "prices"]).ok().text();
    assert!(!acl.contains("mask") && !acl.contains("user:9"), "{acl}");
}
