//! ACL entries of macOS (acl(3), chmod(1)): as `chmod +a` takes them, and as `ls -le` prints them.
//!
//! The bits of files and directories are the same under other names: `read` is `list`, `write` is `add_file`, `append` is
//! `add_subdirectory`, `execute` is `search`. So they are compared as bits.

use std::{collections::BTreeMap, fmt::Write};

/// A permission or a flag of inheritance: its name on files, its name on directories.
const NAMES: [(&str, &str); 17] = [
    ("read", "list"),
    ("write", "add_file"),
    ("execute", "search"),
    ("delete", "delete"),
    ("append", "add_subdirectory"),
    ("delete_child", "delete_child"),
    ("readattr", "readattr"),
    ("writeattr", "writeattr"),
    ("readextattr", "readextattr"),
    ("writeextattr", "writeextattr"),
    ("readsecurity", "readsecurity"),
    ("writesecurity", "writesecurity"),
    ("chown", "chown"),
    ("file_inherit", "file_inherit"),
    ("directory_inherit", "directory_inherit"),
    ("limit_inherit", "limit_inherit"),
    ("only_inherit", "only_inherit"),
];

/// How many of the names are permissions; the rest are flags of inheritance.
const PERMISSIONS: usize = 13;

/// Permissions and flags of inheritance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bits(u32);

impl Bits {
    /// To run a file, or to pass a directory.
    pub const EXECUTE: Self = Self(1 << 2);
    /// Every permission. With it `chmod -a` takes all of an identity's entries of one kind.
    pub const ALL: Self = Self((1 << PERMISSIONS) - 1);

    /// Of names separated by commas, by whichever of the two names; none where one is not known.
    pub fn named(list: &str) -> Option<Self> {
        let bit = |name: &str| {
            let at = NAMES.iter().position(|(file, dir)| *file == name || *dir == name)?;
            Some(1 << at)
        };
        list.split(',').map(bit).try_fold(Self(0), |bits, bit| Some(Self(bits.0 | bit?)))
    }

    /// These and others.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether others are among these.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These without the flags of inheritance.
    #[must_use]
    pub fn permissions(self) -> Self {
        Self(self.0 & Self::ALL.0)
    }

    /// Their names, separated by commas.
    pub fn names(self, directory: bool) -> String {
        let mut text = String::new();
        for (at, (file, dir)) in NAMES.iter().enumerate() {
            if self.0 & (1 << at) != 0 {
                let comma = if text.is_empty() { "" } else { "," };
                let _ = write!(text, "{comma}{}", if directory { dir } else { file });
            }
        }
        text
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ace {
    /// `user:NAME` or `group:NAME`; for an identity that is gone, its GUID.
    pub who: String,
    /// Whether it allows; else it denies.
    pub allow: bool,
    /// Whether it was copied from the directory when the object was made.
    pub inherited: bool,
    /// What.
    pub bits: Bits,
}

impl Ace {
    /// An entry of its own that allows something to an account.
    pub fn allow(user: &str, bits: Bits) -> Self {
        Self { who: format!("user:{user}"), allow: true, inherited: false, bits }
    }

    /// As `chmod +a` takes it, for a directory or a file.
    pub fn text(&self, directory: bool) -> String {
        let inherited = if self.inherited { "inherited " } else { "" };
        let kind = if self.allow { "allow" } else { "deny" };
        format!("{} {inherited}{kind} {}", self.who, self.bits.names(directory))
    }
}

/// One line of an ACL: its text, and what it means where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The entry as it was printed, without its number: what `chmod -E` takes back.
    pub text: String,
    /// Its meaning; none where it has a permission that this program does not know.
    pub ace: Option<Ace>,
}

/// Reads an entry without its number.
pub fn ace(text: &str) -> Option<Ace> {
    // An identity may have spaces in its name, and even such a word; permissions can't.
    let (head, bits) = text.rsplit_once(' ')?;
    let (head, allow) = match head.strip_suffix(" allow") {
        Some(head) => (head, true),
        None => (head.strip_suffix(" deny")?, false),
    };
    let (who, inherited) = match head.strip_suffix(" inherited") {
        Some(who) => (who, true),
        None => (head, false),
    };
    Some(Ace { who: who.into(), allow, inherited, bits: Bits::named(bits)? })
}

/// Reads the output of `ls -lden -i -q` of several objects: their ACLs by inode number. Names are not looked at: whoever
/// chose them could have chosen lines of an ACL, but for `-q`, which prints a question mark for a line feed.
pub fn listing(text: &str) -> BTreeMap<u64, Vec<Line>> {
    let mut all: BTreeMap<u64, Vec<Line>> = BTreeMap::new();
    let mut present = None;
    for line in text.lines() {
        let rest = line.trim_start();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = rest.split_at(digits);
        if let Some(entry) = rest.strip_prefix(": ") {
            if let Some(lines) = present.and_then(|inode| all.get_mut(&inode)) {
                lines.push(Line { text: entry.trim_end().into(), ace: ace(entry.trim_end()) });
            }
            continue;
        }
        present = number.parse().ok().filter(|_| rest.starts_with(' '));
        if let Some(inode) = present {
            all.entry(inode).or_default();
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The shape of `ls -lden -i -q` on macOS 14.
    const LISTED: &str = "\
  4711 drwxr-xr-x+ 5 501  20  160 Nov 25 10:00 shop
 0: user:agent allow list,add_file,search,delete,add_subdirectory,delete_child,readattr,writeattr,readextattr,writeextattr,readsecurity,directory_inherit
 1: user:agent allow read,write,append,delete,file_inherit,directory_inherit,only_inherit
 2: group:Domain Users inherited deny delete
 3: FFFFEEEE-DDDD-CCCC-BBBB-AAAA00000264 allow list
 4: user:odd allow deny allow read,teleport
 12 -rw-r--r--  1 501  20    0 Nov 25 10:00 x? 0: user:agent allow read
4712 -rw-r--r--@ 1 501  20    0 Nov 25 10:00 y
";

    #[test]
    fn a_listing() {
        let all = listing(LISTED);
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), [12, 4711, 4712]);
        assert!(all[&12].is_empty() && all[&4712].is_empty());
        let lines = &all[&4711];
        assert_eq!(lines.len(), 5);
        let first = lines[0].ace.as_ref().unwrap();
        assert!(first.bits.has(Bits::named("list,delete_child,directory_inherit").unwrap()));
        assert_eq!(first.text(true), lines[0].text);
        let group = lines[2].ace.as_ref().unwrap();
        assert_eq!((group.who.as_str(), group.allow, group.inherited), ("group:Domain Users", false, true));
        assert_eq!(lines[3].ace.as_ref().unwrap().who, "FFFFEEEE-DDDD-CCCC-BBBB-AAAA00000264");
        assert_eq!(lines[4].ace, None);
        assert_eq!(lines[4].text, "user:odd allow deny allow read,teleport");
    }

    #[test]
    fn names_of_files_and_directories_are_the_same_bits() {
        assert_eq!(
            Bits::named("read,write,execute,append"),
            Bits::named("list,add_file,search,add_subdirectory")
        );
        assert_eq!(Bits::named("execute"), Some(Bits::EXECUTE));
        assert_eq!(Bits::named("chown,only_inherit").map(Bits::permissions), Bits::named("chown"));
        assert_eq!(Bits::named("rwx"), None);
        assert_eq!(Bits::ALL.names(false).split(',').count(), PERMISSIONS);
    }

    proptest! {
        #[test]
        fn what_is_rendered_is_read(who in "(user|group):[a-z_][a-z0-9_ -]{0,9}[a-z]", allow: bool, inherited: bool, bits in 1..1_u32 << 17, directory: bool) {
            let entry = Ace { who, allow, inherited, bits: Bits(bits) };
            prop_assert_eq!(ace(&entry.text(directory)), Some(entry));
        }

        #[test]
        fn never_panics(text in "([0-9]{1,3}|: | |allow|deny|inherited|read|,|\n|\\PC){0,40}") {
            listing(&text);
            ace(&text);
        }
    }
}
