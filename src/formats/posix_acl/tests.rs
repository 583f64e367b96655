//! Fixtures are the attributes of real objects, and what getfacl(1) of acl 2.3 printed for them, on ext4.

use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

const FILE: &str = "0200000001000600ffffffff0200070049ee0000020006004aee000004000400ffffffff080005004bee000010000600ffffffff20000000ffffffff";
const FILE_TEXT: &str =
    "user::rw-,user:61001:rwx,user:61002:rw-,group::r--,group:61003:r-x,mask::rw-,other::---";
const INHERITED: &str =
    "0200000001000700ffffffff0200070049ee000004000000ffffffff10000700ffffffff20000000ffffffff";
const INHERITED_TEXT: &str = "user::rwx,user:61001:rwx,group::---,mask::rwx,other::---";

#[test]
fn real_attributes() {
    for (bytes, text) in [(FILE, FILE_TEXT), (INHERITED, INHERITED_TEXT)] {
        let acl = Acl::parse(&hex(bytes)).unwrap();
        assert_eq!(acl.to_string(), text);
        assert_eq!(acl.render().as_slice(), hex(bytes));
    }
}

#[test]
fn the_mask_limits_the_group_class_only() {
    let acl = Acl::parse(&hex(FILE)).unwrap();
    assert_eq!(acl.effective(Tag::User(Uid(61001))).unwrap().to_string(), "rw-");
    assert_eq!(acl.effective(Tag::UserObj).unwrap().to_string(), "rw-");
    assert_eq!(acl.effective(Tag::Group(Gid(1))), None);
    assert_eq!(acl.union(), Perm::ALL);
    assert_eq!(acl.mode(), 0o660);
}

#[test]
fn modes() {
    assert_eq!(Acl::from_mode(0o104_750).to_string(), "user::rwx,group::r-x,other::---");
    for mode in 0..=0o777 {
        assert_eq!(Acl::from_mode(mode).mode(), mode);
    }
}

#[test]
fn unnamed_entries_stay() {
    let mut acl = Acl::from_mode(0o700);
    for tag in [Tag::UserObj, Tag::GroupObj, Tag::Other] {
        acl.remove(tag);
    }
    assert_eq!(acl, Acl::from_mode(0o700));
}

#[test]
fn refused() {
    let good = Acl::from_mode(0o644).render().to_vec();
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        Acl::parse(&bytes).unwrap_err()
    };
    assert_eq!(broken(&|b| b.truncate(3)), AclError::Length(3));
    assert_eq!(broken(&|b| b.push(0)), AclError::Length(29));
    assert_eq!(broken(&|b| b[0] = 1), AclError::Version(1));
    assert_eq!(broken(&|b| b[4] = 3), AclError::Tag(3));
    assert_eq!(broken(&|b| b[6] = 8), AclError::Permission(8));
    assert_eq!(broken(&|b| b.truncate(20)), AclError::Incomplete);
    assert_eq!(broken(&|b| b.extend_from_within(20..)), AclError::Twice);
    assert_eq!(broken(&|b| b.extend([2, 0, 7, 0, 1, 0, 0, 0])), AclError::Incomplete);
}

fn acls() -> impl Strategy<Value = Acl> {
    let named = proptest::collection::vec((any::<bool>(), any::<u32>(), 0..8u32), 0..6);
    (0..0o1000u32, named, proptest::option::of(0..8u32)).prop_map(|(mode, named, mask)| {
        let mut acl = Acl::from_mode(mode);
        for &(user, id, perm) in &named {
            acl.put(if user { Tag::User(Uid(id)) } else { Tag::Group(Gid(id)) }, Perm::of_bits(perm));
        }
        if let Some(mask) = mask.or((!named.is_empty()).then_some(7)) {
            acl.put(Tag::Mask, Perm::of_bits(mask));
        }
        acl
    })
}

proptest! {
    #[test]
    fn round_trip(acl in acls()) {
        prop_assert_eq!(Acl::parse(&acl.render()).unwrap(), acl);
    }

    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        if let Ok(acl) = Acl::parse(&bytes) {
            prop_assert_eq!(acl.render().len(), bytes.len());
        }
    }
}
