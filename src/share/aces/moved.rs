//! Entries of an agent outside of its projects: an ACL stays on a file that is moved out.

use super::{Tree, Walk, below, bytes, lists};
use crate::{
    formats::mac_acl::{Bits, Line},
    host::HostError,
    model::{AbsPath, PathBytes, desired::Access},
};

/// What an agent can use below `root` by entries of its own, sorted by path from the root on; at most `most` of it. Not told are
/// `projects` and what is in them, and directories on the way to one that it may only pass.
///
/// What can't be listed is left out, unless it is the root.
pub fn moved(
    root: &AbsPath,
    agent: &str,
    projects: &[AbsPath],
    most: usize,
    tree: &dyn Tree,
) -> Result<Vec<(PathBytes, Access)>, HostError> {
    let whole = |path: &str| if path == "." { root.clone() } else { root.join(path) };
    let is_inside = |path: &str| projects.iter().any(|project| whole(path).is_within(project));
    let is_above = |path: &str| projects.iter().any(|project| project.is_within(&whole(path)));
    let mut found = Vec::new();
    let mut walk = Walk::new();
    while let Some(dir) = walk.next() {
        let mut objects = match tree.children(&dir) {
            Ok(objects) => objects,
            Err(_) if !dir.is_empty() => continue,
            Err(error) => return Err(error),
        };
        if dir.is_empty() {
            objects.insert(0, tree.itself("")?);
        }
        objects.retain(|object| object.same_device && !is_inside(&below(&dir, &object.name)));
        let lists = lists(tree, &dir, &objects.iter().collect::<Vec<_>>())?;
        for object in &objects {
            let path = below(&dir, &object.name);
            let Some(bits) = lists.get(&object.inode).and_then(|lines| allowed(agent, lines)) else {
                continue;
            };
            if bits == Bits::EXECUTE && object.is_directory() && is_above(&path) {
                continue;
            }
            found.push((bytes(&path), access(bits)));
        }
        if found.len() >= most {
            break;
        }
        walk.enter(&dir, &objects);
    }
    found.truncate(most);
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// All that entries of an account allow, with their flags; none where it has none.
fn allowed(agent: &str, lines: &[Line]) -> Option<Bits> {
    let who = format!("user:{agent}");
    let own = lines.iter().filter_map(|line| line.ace.as_ref()).filter(|ace| ace.who == who && ace.allow);
    own.map(|ace| ace.bits).reduce(Bits::and)
}

/// Whether any of it changes something.
fn access(bits: Bits) -> Access {
    const CHANGES: [&str; 8] =
        ["write", "append", "delete", "delete_child", "writeattr", "writeextattr", "writesecurity", "chown"];
    let changes = CHANGES.iter().filter_map(|name| Bits::named(name)).any(|bit| bits.has(bit));
    if changes { Access::ReadWrite } else { Access::ReadOnly }
}
