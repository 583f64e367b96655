//! Files with several names.

use crate::common::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn with_links(root: &Path, store: &Path) {
    fs::create_dir(store).unwrap();
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(store.join("shared"), "content").unwrap();
    chmod(&store.join("shared"), 0o750);
    fs::hard_link(store.join("shared"), root.join("outside")).unwrap();
    fs::write(root.join("one"), "x").unwrap();
    fs::hard_link(root.join("one"), root.join("sub/two")).unwrap();
    chown_all(root, HUMAN);
    chown_all(store, HUMAN);
    chmod(store, 0o700);
}

#[test]
fn outside_links_are_only_readable() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let (root, store) = (scratch.project(), scratch.0.join("store"));
    with_links(&root, &store);
    let before = (dump(&root), dump(&store));
    let report = call(HUMAN, &Call::Apply(job(&root))).report;
    let outside: Vec<_> = report.linked_outside.first.iter().map(ToString::to_string).collect();
    assert_eq!((outside.as_slice(), report.lacking.total), (["outside".to_owned()].as_slice(), 0));
    assert!(can(AGENT, "cat \"$1\"", &root.join("outside")));
    assert!(!can(AGENT, "echo >> \"$1\"", &root.join("outside")));
    assert!(can(AGENT, "echo >> \"$1\"", &root.join("sub/two")));
    let again = call(HUMAN, &Call::Apply(job(&root))).report;
    assert_eq!((again.changed, again.linked_outside.total), (0, 1));
    // A link made later takes the right to write away again.
    fs::hard_link(root.join("plain"), store.join("later")).unwrap();
    assert_eq!(call(HUMAN, &Call::Apply(job(&root))).report.changed, 1);
    assert!(!can(AGENT, "echo >> \"$1\"", &root.join("plain")));
    fs::remove_file(store.join("later")).unwrap();
    call(HUMAN, &Call::Revert(job(&root), Vec::new()));
    assert_eq!((dump(&root), dump(&store)), before);
}

#[test]
fn outside_links_are_broken_on_request() {
    if !privileged() {
        return;
    }
    let scratch = Scratch::new();
    let (root, store) = (scratch.project(), scratch.0.join("store"));
    with_links(&root, &store);
    setfacl(HUMAN, &["-m", "u:61004:r--"], &store.join("shared"));
    let attribute = c"user.note";
    rustix::fs::setxattr(store.join("shared"), attribute, b"kept", rustix::fs::XattrFlags::empty()).unwrap();
    let shared = (dump(&store), acl(&store.join("shared")));
    let mut job = job(&root);
    job.break_links = true;
    let applied = call(HUMAN, &Call::Apply(job.clone()));
    assert_eq!(applied.report.lacking.first, []);
    assert_eq!((applied.report.copied, applied.report.linked_outside.total, applied.priors.len()), (1, 0, 1));
    assert!(can(AGENT, "echo more >> \"$1\"", &root.join("outside")));
    assert_eq!(fs::read(store.join("shared")).unwrap(), b"content");
    let (copy, original) =
        (fs::metadata(root.join("outside")).unwrap(), fs::metadata(store.join("shared")).unwrap());
    assert_eq!((copy.nlink(), original.nlink(), copy.uid(), copy.gid()), (1, 1, HUMAN.0, HUMAN.0));
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(root.join("outside"), attribute, &mut value).unwrap(), 4);
    assert_eq!(fs::metadata(root.join("one")).unwrap().nlink(), 2);
    assert_eq!((dump(&store), acl(&store.join("shared"))), shared);
    call(HUMAN, &Call::Revert(job, applied.priors));
    assert_eq!(acl(&root.join("outside")), shared.1);
    assert!(fs::read_dir(&root).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().starts_with('.')));
}
