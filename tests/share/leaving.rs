//! What the agent does to keep a way into a project that is taken back.

use crate::common::*;
use agentuser::host::dir::{Dir, hand_over};
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn nothing_is_left_to_the_agent() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.project();
    for name in ["plain", "script"] {
        chmod(&root.join(name), 0o600);
    }
    call(HUMAN, &Call::Apply(job(&root)));
    let at = |name: &str| root.join(name);
    let agent = |script: &str| assert!(can(AGENT, &format!("cd \"$1\" && {script}"), &root), "{script}");
    // Entries for itself that would count as what was there before, for its group, and for a friend.
    agent("mkdir before && setfacl -bk before && setfacl -m u:61001:rwx,g::-,o::- -m d:u:61001:rwx before");
    agent("mkdir group && setfacl -m g:61001:rwx,d:g:61001:rwx,u:61004:rwx,d:u:61004:rwx group");
    agent("mkdir set-group-id && setfacl -k set-group-id && chmod 2777 set-group-id");
    agent("mkdir open && setfacl -k open && chmod 777 open && echo x >open/file && chmod 666 open/file");
    // A directory that its new owner could not list, with one of the human's in it.
    agent("mkdir closed && chmod 700 closed && setfacl -m u:61002:rwx,d:u:61002:rwx closed");
    assert!(can(HUMAN, "mkdir \"$1/closed/humans\"", &root));
    call(HUMAN, &Call::Apply(job(&root)));
    agent("setfacl -b closed; chmod 0 closed");
    // A file that it can write through another name.
    agent("echo x >linked && chmod 600 linked");
    fs::hard_link(at("linked"), scratch.0.join("other-name")).unwrap();
    // Files of the human that inherited.
    assert!(can(
        HUMAN,
        "umask 0; cd \"$1\"; echo x >group/humans; mkdir group/dir; echo x >set-group-id/humans",
        &root
    ));
    assert!(acl(&at("group/humans")).contains("group:61001:rw"));
    assert_eq!(fs::metadata(at("set-group-id/humans")).unwrap().gid(), AGENT.0);
    chmod(&at("set-group-id/humans"), 0o660);

    let mut priors = call(HUMAN, &Call::Apply(job(&root))).priors;
    let theirs = call(AGENT, &Call::Apply(job(&root))).priors;
    assert!(theirs.is_empty(), "what the agent chose was kept: {theirs:?}");
    priors.extend(theirs);
    hand_over(&Dir::open(&root).unwrap(), account(AGENT), account(HUMAN), &mut || {}).unwrap();
    let report = call(HUMAN, &Call::Revert(job(&root), priors)).report;
    assert_eq!((report.agent_owned, report.lacking.total), (0, 0), "{:?}", report.lacking.first);
    let after = dump(&root);
    assert!(!after.contains("61001"), "{after}");
    assert!(!acl(&at("group")).contains("61004") && mode(&at("open")) & 0o002 == 0);
    assert!(
        can(AGENT, "test -n \"$(find \"$1\")\" && test -z \"$(find \"$1\" -writable)\"", &root),
        "{after}"
    );
    assert!(!can(AGENT, "echo x >>\"$1\"", &scratch.0.join("other-name")));
}
