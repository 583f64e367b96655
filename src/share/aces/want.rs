//! Which entries an object should have, and whether it has them.

use super::{AceJob, Object, Party};
use crate::{
    formats::mac_acl::{Ace, Bits, Line},
    model::desired::Access,
};

/// Permissions on a directory and on a file. `delete` on an object is what `delete_child` on its directory gives as well; so
/// the root of a project, whose directory is not shared, is not given `delete`. Never `writesecurity` or `chown`: the owner has
/// them anyway.
const DIRECTORY: [&str; 2] = [
    "list,add_file,search,add_subdirectory,delete_child,readattr,writeattr,readextattr,writeextattr,readsecurity",
    "list,search,readattr,readextattr,readsecurity",
];
const FILE: [&str; 2] = [
    "read,write,append,delete,readattr,writeattr,readextattr,writeextattr,readsecurity",
    "read,readattr,readextattr,readsecurity",
];

/// What an account gets that it should not have, whatever its entries say otherwise.
const NEVER: &str = "writesecurity,chown";

/// What one account should have.
struct Rights {
    directory: Bits,
    file: Bits,
    /// Whether more than that is too much.
    exact: bool,
}

fn bits(names: &str) -> Bits {
    Bits::named(names).unwrap_or_default()
}

fn rights(access: Access, exact: bool) -> Rights {
    let which = usize::from(access == Access::ReadOnly);
    Rights { directory: bits(DIRECTORY[which]), file: bits(FILE[which]), exact }
}

/// Who gets what in a project. The human needs no entry where the agent makes nothing.
fn parties(job: &AceJob) -> Vec<(&Party, Rights)> {
    let mut all = vec![(&job.agent, rights(job.access, job.access == Access::ReadOnly))];
    if job.access == Access::ReadWrite {
        all.push((&job.human, rights(Access::ReadWrite, false)));
    }
    all
}

/// The entries of one account on an object: two on a directory, so that `search`, which is `execute`, is not inherited by files.
fn entries(party: &Party, rights: &Rights, object: &Object) -> Vec<Ace> {
    if object.is_directory() {
        let to_files = "file_inherit,only_inherit,directory_inherit";
        return vec![
            Ace::allow(&party.name, rights.directory.and(bits("directory_inherit"))),
            Ace::allow(&party.name, rights.file.and(bits(to_files))),
        ];
    }
    let execute = if object.mode & 0o100 != 0 { Bits::EXECUTE } else { Bits::default() };
    vec![Ace::allow(&party.name, rights.file.and(execute))]
}

/// What an account is allowed by entries that hold for the object itself, and by those that new objects in it get.
fn allowed(party: &Party, lines: &[Line], holds: impl Fn(&Ace) -> bool) -> Bits {
    let who = format!("user:{}", party.name);
    let ours = lines
        .iter()
        .filter_map(|line| line.ace.as_ref())
        .filter(|ace| ace.who == who && ace.allow && holds(ace));
    ours.fold(Bits::default(), |bits, ace| bits.and(ace.bits.permissions()))
}

/// What has to be done to an object, in order: identities to be cleared first, then entries to add. Both empty where all is
/// as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    /// Accounts whose entries say too much.
    pub(super) clear: Vec<String>,
    /// Entries as `chmod +a` takes them.
    pub(super) add: Vec<String>,
}

impl Wanted {
    pub(super) fn is_nothing(&self) -> bool {
        self.clear.is_empty() && self.add.is_empty()
    }
}

/// Compares an object's ACL with what it should have.
pub(super) fn wanted(job: &AceJob, object: &Object, lines: &[Line]) -> Wanted {
    let mut all = Wanted::default();
    for (party, rights) in parties(job) {
        let entries = entries(party, &rights, object);
        let own = allowed(party, lines, |ace| !ace.bits.has(bits("only_inherit")));
        let to_dirs = allowed(party, lines, |ace| ace.bits.has(bits("directory_inherit")));
        let to_files = allowed(party, lines, |ace| ace.bits.has(bits("file_inherit")));
        let needs = if object.is_directory() { rights.directory } else { entries[0].bits };
        let whole = own.has(needs)
            && (!object.is_directory() || (to_dirs.has(rights.directory) && to_files.has(rights.file)));
        let most = if object.is_directory() { rights.directory } else { rights.file.and(Bits::EXECUTE) };
        let too_much = bits(NEVER).names(false).split(',').any(|name| own.has(bits(name)))
            || (rights.exact
                && !(most.has(own) && rights.file.and(rights.directory).has(to_dirs.and(to_files))));
        if party.uid == job.agent.uid && too_much {
            all.clear.push(party.name.clone());
        }
        if !whole || all.clear.contains(&party.name) {
            all.add.extend(entries.iter().map(|ace| ace.text(object.is_directory())));
        }
    }
    all
}

/// Whether somebody of the project has an entry here.
pub(super) fn concerns(job: &AceJob, lines: &[Line]) -> bool {
    let who = [&job.agent, &job.human].map(|party| format!("user:{}", party.name));
    lines.iter().filter_map(|line| line.ace.as_ref()).any(|ace| ace.allow && who.contains(&ace.who))
}

/// Whether the agent has any entry here.
pub(super) fn has_agent(agent: &str, lines: &[Line]) -> bool {
    let who = format!("user:{agent}");
    lines.iter().filter_map(|line| line.ace.as_ref()).any(|ace| ace.who == who)
}
