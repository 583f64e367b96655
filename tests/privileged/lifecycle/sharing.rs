//! How projects are shared, by a flag and by an answer.

use super::{first_setup, policy_text};
use crate::common::{AGENT, Administrator, Machine, processes_of, system, until, wait as wait_for};

#[test]
fn by_a_flag_and_back() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let project = human.project();
    let first = first_setup(&human.name, project.to_str().unwrap());
    machine.agentuser(&[&first[..], &["--sharing", "mount"]].concat()).ok();
    assert!(policy_text().contains("sharing: mount"), "{}", policy_text());
    human.run(&["agentuser", "status"]).ok().mentions("by an id-mapped mount");
    let named = || system(&["getfacl", "-cp", project.to_str().unwrap()]).contains(AGENT);
    assert!(!named());
    machine.agentuser(&["setup", "--yes", "--sharing", "acl"]).ok();
    assert!(!policy_text().contains("sharing: mount") && named(), "{}", policy_text());
    human.run(&["agentuser", "run", "--", "sh", "-c", "echo more >>prices"]).ok();
    machine.agentuser(&["setup", "--yes", "--sharing", "mount"]).ok();
    assert!(policy_text().contains("sharing: mount") && !named(), "{}", policy_text());
}

/// A filesystem over another (overlayfs) maps no ids: who asks for mounts there hears so, and nothing is changed.
#[test]
fn refused_where_it_can_not_be() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let (over, project) = (human.home.join("over"), human.project());
    let (over, project) = (over.to_str().unwrap(), project.to_str().unwrap());
    system(&["install", "-d", over]);
    system(&["mount", "-t", "tmpfs", "t_pv", over]);
    system(&["install", "-d", "-o", &human.name, &format!("{over}/upper"), &format!("{over}/work")]);
    let options = format!("lowerdir={project},upperdir={over}/upper,workdir={over}/work");
    system(&["mount", "-t", "overlay", "t_pv", "-o", &options, project]);
    let result = std::panic::catch_unwind(|| {
        let setup =
            |how| machine.agentuser(&[&first_setup(&human.name, project)[..], &["--sharing", how]].concat());
        setup("mount").exits(1).mentions("can't map ids").mentions("--sharing acl");
        assert!(!std::path::Path::new("/etc/agentuser").exists());
        // Control: entries can be had there.
        setup("acl").ok();
        machine.tear_down(AGENT);
    });
    for dir in [project, over] {
        system(&["umount", "-l", dir]);
    }
    result.unwrap();
}

/// Whoever is asked decides; the question comes from root, who has tried it.
#[test]
fn by_an_answer() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let _administrator = Administrator::new(&machine, &human.name, "kettle-9");
    human.make_dir("shop/.git");
    for (keys, by_mount) in [("\r", false), ("\x1b[B\r", true)] {
        let mut terminal = human.terminal(&[env!("CARGO_BIN_EXE_agentuser"), "--agent", AGENT, "setup"]);
        terminal.answer(&[
            ("Project directory to share", "\r"),
            ("What may the agent do there?", "\r"),
            ("Project directory to share", "\r"),
            ("Services that it may reach", "\r"),
            ("Loopback ports of yours", "\r"),
            ("Networks and hosts", "\r"),
            ("password for", "kettle-9\r"),
            ("How are projects shared?", keys),
            ("Apply this plan?", "\x1b[B\r"),
        ]);
        terminal.expect("Nothing was changed");
        assert_eq!(terminal.wait().code(), Some(1));
        let shown = terminal.shown();
        assert_eq!(shown.contains("by an id-mapped mount"), by_mount, "{shown}");
    }
}

/// A session keeps the projects that it began with, and who shares one more meanwhile hears so.
#[test]
fn a_session_that_runs_does_not_see_a_new_project() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    human.make_dir("more");
    human.write("more/f", "seen\n");
    let more = human.home.join("more").display().to_string();
    let said = "keep the projects that they began with";
    for sharing in ["acl", "mount"] {
        machine.set_up_policy(&format!("    sharing: {sharing}\n"));
        let wait = format!("until test -e go; do sleep 0.05; done; cat {more}/f");
        let mut session = human.command(&["agentuser", "run", "--", "sh", "-c", &wait]).spawn().unwrap();
        let uid = nix::unistd::User::from_name(AGENT).unwrap().unwrap().uid.as_raw();
        until("the session runs", || processes_of(uid).len() >= 2);
        let shared = machine.agentuser(&["share", &more]).ok();
        assert!(shared.said().contains(said), "{shared:?}");
        human.write("shop/go", "");
        assert!(!wait_for(&mut session, "the session").success(), "it was there at once");
        human.run(&["rm", "-f", "go"]).ok();
        // The control: the next session sees it, and with none at work nothing is said.
        human.run(&["agentuser", "run", "--", "cat", &format!("{more}/f")]).ok();
        machine.agentuser(&["stop"]).ok();
        until("keepers have ended, too", || processes_of(uid).is_empty());
        machine.agentuser(&["unshare", &more]).ok();
        let shared = machine.agentuser(&["share", &more]).ok();
        assert!(!shared.said().contains(said), "{shared:?}");
        machine.agentuser(&["unshare", &more]).ok();
    }
}
