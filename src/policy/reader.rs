//! Reading nodes as values: each reader returns `None` where it has noted a fault, so that reading goes on and one run
//! tells all faults.

use super::{
    Choice,
    error::{Place, Problem, Refusal, quote},
    yaml::{Key, Kind, Node},
};

/// The most faults that are told of one file.
const MOST: usize = 50;

/// The text, and the faults found so far.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) problems: Vec<Problem>,
}

/// The values of a mapping, by the position of their key in the list of known ones.
pub(super) struct Fields<'n, 't> {
    known: &'static [&'static str],
    found: Vec<Option<&'n (Key<'t>, Node<'t>)>>,
    /// Whether a key was refused: then what seems to be missing may be what was meant by it.
    pub(super) strange: bool,
}

impl<'n, 't> Fields<'n, 't> {
    /// The value of a key, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node<'t>> {
        self.entry(name).map(|(_, value)| value)
    }

    fn entry(&self, name: &str) -> Option<&'n (Key<'t>, Node<'t>)> {
        let at = self.known.iter().position(|known| *known == name)?;
        self.found.get(at).copied().flatten()
    }

    /// The keys that are there.
    pub(super) fn present(&self) -> impl Iterator<Item = &'n (Key<'t>, Node<'t>)> {
        self.found.iter().copied().flatten()
    }
}

/// Where each key belongs, for those who wrote it a level too high or too low.
const BELONGS: [(&str, &[&str]); 9] = [
    ("agents", &["human", "shell", "groups", "sharing", "view", "projects"]),
    ("projects", &["access", "git"]),
    ("network", &["outbound", "inbound", "dns", "log", "allow", "deny"]),
    ("network.allow", &["preset", "github", "regions", "domain", "cidr", "loopback", "ports"]),
    ("environment", &["pass", "set"]),
    ("limits", &["memory", "cpus", "processes", "open-files"]),
    ("confine", super::confine::KEYS),
    ("an agent", &["network", "environment", "path", "limits", "confine"]),
    ("the top of the file", &["version", "agents"]),
];

impl<'t> Reader<'t> {
    /// Notes a fault, unless there are more already than a person reads.
    pub(super) fn refuse(&mut self, at: Place, refusal: &Refusal) {
        if self.problems.len() < MOST {
            self.problems.push(at.problem(self.text, refusal));
        }
    }

    /// Notes a fault that consists of a message and its mend.
    pub(super) fn fault(&mut self, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.refuse(at, &Refusal::new(message, hint));
    }

    /// The value, or its fault noted.
    pub(super) fn judge<T>(&mut self, at: Place, judged: Result<T, Refusal>) -> Option<T> {
        judged.map_err(|refusal| self.refuse(at, &refusal)).ok()
    }

    fn wrong_kind(&mut self, node: &Node<'_>, what: &str, wanted: &str, hint: String) {
        let offending = match node.scalar(self.text) {
            Some(text) => quote(text),
            None => node.what().into(),
        };
        self.fault(node.at, format!("{what} is {wanted}, not {offending}"), hint);
    }

    /// The entries of a mapping, without those whose key stands there twice; `None` for anything else.
    pub(super) fn map<'n>(
        &mut self,
        node: &'n Node<'t>,
        what: &str,
        hint: &str,
    ) -> Option<Vec<&'n (Key<'t>, Node<'t>)>> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong_kind(node, what, "a mapping", format!("write {hint}"));
            return None;
        };
        let mut seen = std::collections::HashMap::with_capacity(entries.len());
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            match seen.insert(&*entry.0.name, entry.0.at.line) {
                None => kept.push(entry),
                Some(line) => {
                    let message = format!("the key {} stands here twice", quote(&entry.0.name));
                    self.fault(
                        entry.0.at,
                        message,
                        format!("remove one of the two; the other is on line {line}"),
                    );
                }
            }
        }
        Some(kept)
    }

    /// The entries of a mapping that has a closed list of keys; `None` for anything else.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node<'t>,
        what: &str,
        known: &'static [&'static str],
    ) -> Option<Fields<'n, 't>> {
        let entries = self.map(node, what, &format!("its keys: {}", known.join(", ")))?;
        let mut fields = Fields { known, found: vec![None; known.len()], strange: false };
        for entry in entries {
            if let Some(at) = known.iter().position(|name| *name == entry.0.name) {
                fields.found[at] = Some(entry);
            } else {
                fields.strange = true;
                self.unknown(&entry.0, what, known);
            }
        }
        Some(fields)
    }

    fn unknown(&mut self, key: &Key<'_>, what: &str, known: &'static [&'static str]) {
        let name = &*key.name;
        let place = BELONGS.iter().find(|(_, keys)| keys.contains(&name));
        let hint = match (near(name, known.iter().copied()), place) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some((place, _))) if place.contains(' ') => format!("`{name}` belongs to {place}"),
            (None, Some((place, _))) => format!("`{name}` belongs below `{place}`"),
            (None, None) => format!("the keys of {what} are {}", known.join(", ")),
        };
        self.fault(key.at, format!("unknown key {}", quote(name)), hint);
    }

    /// The items of a list.
    pub(super) fn list<'n>(&mut self, node: &'n Node<'t>, what: &str, hint: &str) -> &'n [Node<'t>] {
        if let Kind::List(items) = &node.kind {
            return items;
        }
        self.wrong_kind(node, what, "a list", format!("write {hint}"));
        &[]
    }

    /// A scalar as it is written.
    pub(super) fn scalar<'n>(&mut self, node: &'n Node<'t>, what: &str, hint: &str) -> Option<&'n str>
    where
        't: 'n,
    {
        let text = node.scalar(self.text);
        if text.is_none() {
            self.wrong_kind(node, what, "one value", hint.into());
        }
        text
    }

    /// A scalar that takes one of a few words.
    pub(super) fn choice<T: Choice>(&mut self, node: &Node<'t>, what: &str) -> Option<T> {
        let words = || T::ALL.iter().map(|value| value.word());
        let listed = words().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        let text = self.scalar(node, what, &format!("write {listed}"))?;
        let value = T::ALL.iter().copied().find(|value| value.word() == text);
        if value.is_none() {
            let hint = match near(text, words()) {
                Some(near) => format!("did you mean `{near}`? It takes {listed}"),
                None => format!("write {listed}"),
            };
            self.fault(node.at, format!("{} is no value of {what}", quote(text)), hint);
        }
        value
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, node: &Node<'t>, what: &str) -> Option<bool> {
        match self.scalar(node, what, "write `true` or `false`")? {
            "true" => Some(true),
            "false" => Some(false),
            text => {
                self.fault(
                    node.at,
                    format!("{} is no value of {what}", quote(text)),
                    "write `true` or `false`",
                );
                None
            }
        }
    }

    /// A count from 1 on.
    pub(super) fn count(&mut self, node: &Node<'t>, what: &str, most: u32) -> Option<u32> {
        let hint = format!("write a whole number from 1 to {most}");
        let text = self.scalar(node, what, &hint)?;
        let number = text.parse::<u32>().ok().filter(|number| (1..=most).contains(number));
        let number = number.filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
        if number.is_none() {
            self.fault(node.at, format!("{} is no number for {what}", quote(text)), hint);
        }
        number
    }
}

/// The known word that `text` was probably meant to be.
pub(super) fn near(text: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if text.len() > 32 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['_', ' '], "-");
    let text = plain(text);
    let close = |word: &str| match distance(&text, word) {
        0 | 1 => true,
        2 => word.len() > 4,
        _ => word.len() > 3 && text.len() > 3 && (word.starts_with(&text) || text.starts_with(word)),
    };
    known.filter(|word| close(word)).min_by_key(|word| distance(&text, word))
}

/// The number of letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let best = same.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if swapped { best.min(rows[i - 2][j - 2] + 1) } else { best }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses() {
        let keys = || ["projects", "open-files", "path", "limits", "network"].into_iter();
        assert_eq!(near("project", keys()), Some("projects"));
        assert_eq!(near("open_files", keys()), Some("open-files"));
        assert_eq!(near("Path", keys()), Some("path"));
        assert_eq!(near("netwrok", keys()), Some("network"));
        assert_eq!(near("net", keys()), None);
        assert_eq!(near("colour", keys()), None);
    }
}
