//! What is there now against what was there before: what came, what changed, what went.

use super::{Kind, Rank, Snapshot};
use serde::Serialize;

/// What became of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was not there before.
    New,
    /// It is another one.
    Changed,
    /// It is gone.
    Removed,
}

/// Something that the human should know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub rank: Rank,
    /// What became of it.
    pub change: Change,
    /// Where, in escaped form.
    pub path: String,
    /// What of it; empty for all of it.
    pub part: String,
    /// What it is.
    pub kind: Kind,
    /// Its value now, where it is text that a person reads.
    pub value: Option<String>,
    /// What becomes of it.
    pub why: &'static str,
}

/// The differences, the most important first.
pub fn compare(before: &Snapshot, now: &Snapshot) -> Vec<Finding> {
    let finding = |(thing, seen): (&super::Thing, &super::Seen), change| {
        let kind = seen.kind;
        // What is gone runs no more.
        let rank = if change == Change::Removed { Rank::Grey } else { kind.rank() };
        let text = matches!(
            kind,
            Kind::GitCommand
                | Kind::GitSetting
                | Kind::GitRepository
                | Kind::LinkOut
                | Kind::Script
                | Kind::SetId
                | Kind::HardLink
                | Kind::StoreLink
                | Kind::OutsideSettings
                | Kind::OutsideProgram
                | Kind::OutsideLink
                | Kind::Outside
                | Kind::Unfinished
        );
        Finding {
            rank,
            change,
            path: thing.path.clone(),
            part: thing.part.clone(),
            kind,
            value: (text && change != Change::Removed).then(|| seen.value.clone()),
            why: kind.why(),
        }
    };
    let came = now.0.iter().filter_map(|(thing, seen)| match before.0.get(thing) {
        None => Some(finding((thing, seen), Change::New)),
        // That a bound was met is no state of the project's that somebody could have taken as it is.
        Some(_) if seen.kind == Kind::Unfinished => Some(finding((thing, seen), Change::New)),
        Some(old) if old != seen => Some(finding((thing, seen), Change::Changed)),
        Some(_) => None,
    });
    let went =
        before.0.iter().filter(|(thing, seen)| !now.0.contains_key(thing) && seen.kind != Kind::Unfinished);
    let mut findings: Vec<_> = came.chain(went.map(|gone| finding(gone, Change::Removed))).collect();
    findings.sort_by(|a, b| (a.rank, &a.path, &a.part).cmp(&(b.rank, &b.path, &b.part)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_changed_and_went() {
        let (mut before, mut now) = (Snapshot::default(), Snapshot::default());
        before.note("Makefile", "", Kind::Build, "1");
        before.note(".git/hooks/x", "", Kind::GitHook, "1");
        before.note("same", "", Kind::Build, "1");
        now.note("same", "", Kind::Build, "1");
        now.note("Makefile", "", Kind::Build, "2");
        now.note(".git/config", "core.pager", Kind::GitCommand, "sh");
        let found = compare(&before, &now);
        let told: Vec<_> = found.iter().map(|f| (f.rank, f.change, f.path.as_str())).collect();
        assert_eq!(
            told,
            [
                (Rank::Red, Change::New, ".git/config"),
                (Rank::Yellow, Change::Changed, "Makefile"),
                (Rank::Grey, Change::Removed, ".git/hooks/x"),
            ]
        );
        assert_eq!(found[0].value.as_deref(), Some("sh"));
        // What was not looked at is told each time, and is nothing that could be gone.
        before.note(".", "more", Kind::Unfinished, "x");
        assert_eq!(compare(&before, &now).len(), 3);
        now.note(".", "more", Kind::Unfinished, "x");
        assert_eq!(compare(&before, &now).len(), 4);
        let json = serde_json::to_string(&now).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), now);
    }
}
