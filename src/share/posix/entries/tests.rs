use super::*;
use crate::model::Gid;
use proptest::prelude::*;

const AGENT: Uid = Uid(61001);
const HUMAN: Uid = Uid(61002);
const TAGS: [Tag; 2] = [Tag::User(AGENT), Tag::User(HUMAN)];

fn ours(perm: Perm) -> [Entry; 2] {
    [user(AGENT, perm), user(HUMAN, perm)]
}

fn rw() -> Perm {
    Perm::READ | Perm::WRITE
}

fn acl(mode: u32, named: &[(u32, u32)], mask: Option<u32>) -> Acl {
    let mut acl = Acl::from_mode(mode);
    for (id, perm) in named {
        acl.put(Tag::User(Uid(*id)), Perm::of_bits(*perm));
    }
    if let Some(mask) = mask {
        acl.put(Tag::Mask, Perm::of_bits(mask));
    }
    acl
}

#[test]
fn every_mode_comes_back() {
    for mode in 0..=0o777 {
        let before = Acl::from_mode(mode);
        for perm in (0..8).map(Perm::of_bits) {
            let granted = grant(&before, &ours(perm));
            assert!(holds(&granted, &ours(perm)));
            assert_eq!(strip(&granted, &TAGS), before);
        }
    }
}

#[test]
fn a_narrow_mask_stays_narrow_for_the_others() {
    let before = acl(0o640, &[(7, 7)], Some(4));
    let granted = grant(&before, &ours(rw()));
    assert_eq!(
        granted.to_string(),
        "user::rw-,user:7:r-x,user:61001:rw-,user:61002:rw-,group::r--,mask::rw-,other::---"
    );
    assert_eq!(granted.effective(Tag::User(Uid(7))), before.effective(Tag::User(Uid(7))));
    assert_eq!(restore(&granted, &before, &TAGS, grant), Some(before));
}

#[test]
fn inherited_rwx_under_a_mask_is_fine_and_a_narrower_mask_is_not() {
    assert!(holds(&acl(0o600, &[(61001, 7), (61002, 7)], Some(6)), &ours(rw())));
    assert!(!holds(&acl(0o600, &[(61001, 7), (61002, 7)], Some(4)), &ours(rw())));
    assert!(!holds(&acl(0o600, &[(61001, 6), (61002, 6)], Some(4)), &ours(Perm::READ)));
}

#[test]
fn chmod_since_is_kept_by_strip() {
    let mut granted = grant(&Acl::from_mode(0o644), &ours(rw()));
    granted.put(Tag::Mask, Perm::NONE);
    granted.put(Tag::Other, Perm::NONE);
    assert_eq!(strip(&granted, &TAGS), Acl::from_mode(0o600));
}

#[test]
fn chmod_since_is_kept_on_a_parent() {
    let pass = [user(AGENT, Perm::EXECUTE)];
    let mut granted = grant(&Acl::from_mode(0o700), &pass);
    assert_eq!(strip_keeping_chmod(&granted, pass[0].tag), Acl::from_mode(0o700));
    granted.put(Tag::Mask, Perm::of_bits(5)); // chmod 750
    assert_eq!(strip_keeping_chmod(&granted, pass[0].tag), Acl::from_mode(0o750));
}

#[test]
fn default_acls_close_group_and_others() {
    let access = acl(0o755, &[(7, 7)], Some(7));
    let granted = grant_default(None, &access, &ours(Perm::ALL));
    assert_eq!(
        granted.to_string(),
        "user::rwx,user:61001:rwx,user:61002:rwx,group::---,mask::rwx,other::---"
    );
    assert!(holds_default(&granted, &ours(Perm::ALL)));
    let before = acl(0o775, &[(7, 5)], Some(5));
    let granted = grant_default(Some(&before), &access, &ours(Perm::ALL));
    let regrant = |base: &Acl, ours: &Ours| grant_default(Some(base), &access, ours);
    assert_eq!(restore(&granted, &before, &TAGS, regrant), Some(before));
}

#[test]
fn what_somebody_changed_is_not_restored() {
    let before = acl(0o640, &[(7, 7)], Some(4));
    let mut now = grant(&before, &ours(rw()));
    now.put(Tag::User(Uid(7)), Perm::NONE);
    assert_eq!(restore(&now, &before, &TAGS, grant), None);
}

fn any_acl() -> impl Strategy<Value = Acl> {
    let named = proptest::collection::vec((1..5u32, 0..8u32), 0..4);
    (0..0o1000u32, named, 0..8u32, any::<bool>()).prop_map(|(mode, named, mask, group)| {
        let mut made = acl(mode, &named, (!named.is_empty() || group).then_some(mask));
        if group {
            made.put(Tag::Group(Gid(9)), Perm::READ);
        }
        made
    })
}

proptest! {
    #[test]
    fn nobody_else_gains_and_all_comes_back(before in any_acl(), perm in 0..8u32) {
        let ours = ours(Perm::of_bits(perm));
        let granted = grant(&before, &ours);
        prop_assert!(holds(&granted, &ours));
        for entry in before.entries() {
            prop_assert_eq!(granted.effective(entry.tag), if entry.tag == Tag::Mask { granted.mask() } else { before.effective(entry.tag) });
        }
        prop_assert_eq!(restore(&granted, &before, &TAGS, grant), Some(before.clone()));
        let stripped = strip(&granted, &TAGS);
        for entry in before.entries().iter().filter(|entry| entry.tag != Tag::Mask) {
            prop_assert_eq!(stripped.effective(entry.tag), before.effective(entry.tag));
        }
    }

    /// Two agents pass one directory; whoever leaves first, the end is the first state.
    #[test]
    fn two_agents_in_both_orders(before in any_acl(), first_leaves_first: bool) {
        let tags = [Tag::User(Uid(61001)), Tag::User(Uid(61003))];
        let pass = |tag| [Entry { tag, perm: Perm::EXECUTE }];
        let both = grant(&grant(&before, &pass(tags[0])), &pass(tags[1]));
        let [first, last] = if first_leaves_first { tags } else { [tags[1], tags[0]] };
        let one = restore(&both, &before, &[first], grant).unwrap();
        prop_assert!(holds(&one, &pass(last)));
        prop_assert_eq!(restore(&one, &before, &[last], grant), Some(before));
    }
}
