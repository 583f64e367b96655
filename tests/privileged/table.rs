//! The sharing table: each way to make something, by either party, and what the other one can do with it. In both modes of
//! sharing every cell is a yes. The control is the same table by entries with no keeper at work.

use crate::{
    common::{Human, Machine, Outcome},
    keeper::{Session, signal_keepers},
};
use nix::sys::signal::Signal;

/// Ways to make something by the name of `$1`, each as a tool does it.
const WAYS: [(&str, &str); 17] = [
    ("umask 077", "umask 077; echo 1 >$1"),
    (
        "created 0600",
        "/usr/bin/python3 -c 'import os, sys; os.write(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600), b\"1\")' $1",
    ),
    ("install -m 644", "install -m 644 /etc/hostname $1"),
    ("install -m 600", "install -m 600 /etc/hostname $1"),
    ("chmod 600", "echo 1 >$1; chmod 600 $1"),
    ("chmod 444", "echo 1 >$1; chmod 444 $1"),
    ("moved from /tmp", "t=$(mktemp); echo 1 >$t; mv $t $1"),
    ("moved from the home", "t=$(mktemp -p ~); echo 1 >$t; mv $t $1"),
    ("temporary file renamed", "t=$(mktemp ./XXXXXX); echo 1 >$t; mv $t $1"),
    ("hard link", "t=$(mktemp ./XXXXXX); echo 1 >$t; ln $t $1; rm $t"),
    ("cp -p", "t=$(mktemp); echo 1 >$t; cp -p $t $1; rm $t"),
    ("sed -i", "umask 077; echo 0 >$1; sed -i s/0/1/ $1"),
    (
        "tar -xp",
        "d=$(mktemp -d); mkdir -m 700 $d/$1; echo 1 >$d/$1/f; chmod 600 $d/$1/f; tar -C $d -c $1 | tar -xp; rm -r $d",
    ),
    ("mkdir -m 700", "mkdir -m 700 $1; umask 077; mkdir $1/in; echo 1 >$1/in/f"),
    ("directory from /tmp", "d=$(mktemp -d); umask 077; mkdir $d/in; echo 1 >$d/in/f; mv $d $1"),
    ("directory from the home", "d=$(mktemp -d -p ~); umask 077; mkdir $d/in; echo 1 >$d/in/f; mv $d $1"),
    (
        "git init",
        "umask 077; git init -q $1; cd $1; git config user.name a; git config user.email a@example.com; echo 1 >f; git add f; git commit -qm one",
    ),
];

/// The columns of the table, as [`USE`] names them.
const COLUMNS: usize = 4;

/// Uses all of `$1`, each column tried `$2` times in a hundredth of a second's distance, and prints those that are a no. A file
/// that even its maker may not write is edited as its maker would: made writable first.
const USE: &str = r#"
    name=$1 tries=$2
    read_it() { find $name -type f -exec cat {} + >/dev/null; }
    edit_it() {
        for f in $(find $name -type f ! -path '*/.git/objects/*'); do
            test -w $f || chmod u+w $f && echo more >>$f || return 1
        done
        for d in $(find $name -type d); do echo new >$d/new && rm $d/new || return 1; done
    }
    delete_one() { f=$(find $name -type f | head -n 1); test -n "$f" && rm -f "$f" && test ! -e "$f"; }
    delete_all() { rm -rf $name && test ! -e $name; }
    for column in read_it edit_it delete_one delete_all; do
        left=$tries
        until $column 2>/dev/null; do
            left=$((left - 1))
            if test $left -le 0; then echo $column; break; fi
            sleep 0.01
        done
    done
    echo over"#;

/// A line of sh(1) by one of both.
fn sh(human: &Human, by_agent: bool, line: &str, arguments: &[&str]) -> Outcome {
    let before: &[&str] = if by_agent { &["agentuser", "run", "--"] } else { &[] };
    human.run(&[before, &["sh", "-c", line, "sh"], arguments].concat())
}

/// The cells that are a no.
fn noes(human: &Human, tries: &str) -> Vec<String> {
    let mut noes = Vec::new();
    for (i, (way, line)) in WAYS.iter().enumerate() {
        for by_agent in [true, false] {
            let name = format!("w{i}");
            sh(human, by_agent, line, &[&name]).ok();
            assert!(human.project().join(&name).exists(), "{way}, by the agent: {by_agent}");
            let used = sh(human, !by_agent, USE, &[&name, tries]).ok().text();
            let columns = used.strip_suffix("over").expect("all columns were tried");
            let maker = if by_agent { "agent" } else { "human" };
            noes.extend(columns.lines().map(|column| format!("{way}, made by the {maker}: {column}")));
            let _ = sh(human, by_agent, "rm -rf $1", &[&name]);
        }
    }
    noes
}

#[test]
fn every_cell_is_a_yes_by_mounts() {
    let Some(machine) = Machine::take() else { return };
    machine.set_up_policy("    sharing: mount\n");
    machine.human().run(&["agentuser", "status"]).ok().mentions("by an id-mapped mount");
    let noes = noes(machine.human(), "1");
    assert!(noes.is_empty(), "{noes:#?}");
}

#[test]
fn every_cell_is_a_yes_by_entries() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let _session = Session::start(human);
    let with = noes(human, "100");
    assert!(with.is_empty(), "{with:#?}");

    signal_keepers(human, Signal::SIGSTOP);
    let without = noes(human, "1");
    signal_keepers(human, Signal::SIGCONT);
    let cells = WAYS.len() * 2 * COLUMNS;
    assert!(without.len() > cells / 3, "control: of {cells} cells only {without:#?} need a keeper");
}

/// A repository that both work in by turns.
#[test]
fn git_both_ways() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let git = "umask 077
        git() { command git -c user.name=a -c user.email=a@example.com \"$@\"; }; set -e; ";
    let by = |by_agent: bool, line: &str| sh(human, by_agent, &format!("{git}{line}"), &[]).ok();
    by(false, "git init -q . && git add -A && git commit -qm zero");
    for sharing in ["acl", "mount"] {
        machine.set_up_policy(&format!("    sharing: {sharing}\n"));
        let _session = (sharing == "acl").then(|| Session::start(human));
        for turn in 0..2 {
            for by_agent in [true, false] {
                let name = format!("{sharing}-{turn}-{by_agent}");
                let work = format!(
                    "git status --short; git switch -qc {name}; echo 1 >{name}; git add -A; git commit -qm {name}; \
                     echo 2 >>prices; git stash -q; git stash pop -q; git commit -qam edit; git switch -q -; \
                     git merge -q {name}; git branch -q -d {name}; git gc -q; git fsck"
                );
                by(by_agent, &work);
                by(
                    !by_agent,
                    &format!("git log --format=%s | grep -x {name}; git checkout -q HEAD~1; git switch -q -"),
                );
            }
        }
    }
}
