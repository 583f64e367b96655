//! passwd(5), group(5), subuid(5) and login.defs(5), as far as the program reads them.

use crate::model::{
    Gid, IdRange, Uid,
    facts::{GroupLine, Person},
};

/// One line of passwd(5), or of `getent passwd`.
pub fn person(line: &str) -> Option<Person> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, uid, gid, gecos, home, shell] = fields[..] else { return None };
    Some(Person {
        name: name.into(),
        uid: Uid(uid.parse().ok()?),
        gid: Gid(gid.parse().ok()?),
        gecos: gecos.into(),
        home: home.into(),
        shell: shell.into(),
    })
}

/// One line of group(5), or of `getent group`.
pub fn group(line: &str) -> Option<GroupLine> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, gid, members] = fields[..] else { return None };
    let members = members.split(',').filter(|member| !member.is_empty()).map(Into::into).collect();
    Some(GroupLine { name: name.into(), gid: Gid(gid.parse().ok()?), members })
}

/// The ranges of each name in subuid(5); a line may name the account by its uid.
pub fn sub_ids(text: &str) -> impl Iterator<Item = (&str, IdRange)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let first: u32 = fields.next()?.trim().parse().ok()?;
        let count: u32 = fields.next()?.trim().parse().ok()?;
        Some((name, IdRange { first, last: first.checked_add(count.checked_sub(1)?)? }))
    })
}

/// The ids that login.defs(5) sets aside for system accounts, or the defaults of useradd(8).
pub fn system_ids(login_defs: &str) -> IdRange {
    let value = |key: &str| {
        login_defs.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some(key)).then(|| words.next()?.parse::<u32>().ok()).flatten()
        })
    };
    let last =
        value("SYS_UID_MAX").or_else(|| value("UID_MIN").map(|min| min.saturating_sub(1))).unwrap_or(999);
    IdRange { first: value("SYS_UID_MIN").unwrap_or(101).min(last), last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let ann = person("ann:x:1000:1001:Ann,,,:/home/ann:/bin/bash").unwrap();
        assert_eq!((ann.uid, ann.gid, ann.home.as_str()), (Uid(1000), Gid(1001), "/home/ann"));
        assert_eq!(person("ann:x:1000"), None);
        assert_eq!(group("render:x:105:ann,bob").unwrap().members, ["ann", "bob"]);
        assert!(group("render:x:105:").unwrap().members.is_empty());
    }

    #[test]
    fn sub_ids_end_inclusively() {
        let all: Vec<_> = sub_ids("ann:100000:65536\nbad\n1000:1:0\n1001:5:1\n").collect();
        assert_eq!(
            all,
            [("ann", IdRange { first: 100_000, last: 165_535 }), ("1001", IdRange { first: 5, last: 5 })]
        );
    }

    #[test]
    fn system_range() {
        assert_eq!(system_ids("#SYS_UID_MIN 100\nUID_MIN\t1000\n"), IdRange { first: 101, last: 999 });
        assert_eq!(system_ids("SYS_UID_MIN 201\nSYS_UID_MAX 899\n"), IdRange { first: 201, last: 899 });
    }
}
