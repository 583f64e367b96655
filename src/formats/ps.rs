//! What `ps -axo pid=,ppid=,uid=,ruid=,state=` of macOS prints: one process a line.

/// The columns that are asked for.
pub const COLUMNS: &str = "pid=,ppid=,uid=,ruid=,state=";

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// Its effective and its real uid.
    pub uids: [u32; 2],
    /// Whether it has ended and was not waited for.
    pub ended: bool,
}

/// The processes of a listing; a line that is none is left out.
pub fn processes(text: &str) -> Vec<Process> {
    let process = |line: &str| {
        let [pid, parent, effective, real, state] = line.split_ascii_whitespace().collect::<Vec<_>>()[..]
        else {
            return None;
        };
        Some(Process {
            pid: pid.parse().ok()?,
            parent: parent.parse().ok()?,
            uids: [effective.parse().ok()?, real.parse().ok()?],
            ended: state.starts_with('Z'),
        })
    };
    text.lines().filter_map(process).collect()
}

/// The nearest descendant of a process that runs as `uid`, or the process itself.
pub fn descendant(all: &[Process], of: i32, uid: u32) -> Option<i32> {
    let mut level = vec![of];
    // Numbers are used again while a listing is made: a circle ends with the list.
    for _ in 0..=all.len() {
        let here = |process: &&Process| level.contains(&process.pid) && !process.ended;
        if let Some(found) = all.iter().filter(here).find(|process| process.uids[1] == uid) {
            return Some(found.pid);
        }
        let below = all.iter().filter(|process| level.contains(&process.parent));
        level = below.map(|process| process.pid).collect();
        if level.is_empty() {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "    1     0     0     0 Ss\n  501   400   501   501 S+\n  620   501     0   501 S+\n\
                           \x20 621   620     0     0 Ss\n  622   621   612   612 Ss+\n  623   622   612   612 S+\n\
                           \x20 700     1   612   612 S\n  701   622   612   612 Z+\nPID PPID\n";

    #[test]
    fn the_command_below_sudo_is_found() {
        let all = processes(LISTING);
        assert_eq!(all.len(), 8);
        assert_eq!(descendant(&all, 620, 612), Some(622));
        assert_eq!(descendant(&all, 623, 612), Some(623));
        // Others of the same account are none of its descendants.
        assert_eq!(descendant(&all, 620, 700), None);
        assert_eq!(descendant(&all, 700, 501), None);
        assert_eq!(descendant(&all, 701, 612), None);
    }

    #[test]
    fn a_circle_is_left() {
        let circle = processes("2 3 0 0 S\n3 2 0 0 S\n");
        assert_eq!(descendant(&circle, 2, 612), None);
    }
}
