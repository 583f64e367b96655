//! The file as a tree of nodes that know their places.
//!
//! Reading into a tree first, and not straight into the types, is what lets one reading report every fault, tell
//! duplicate keys with both their places, and leave numbers as they are written. What YAML can do and a policy needs
//! not (anchors, merge keys, foreign tags, several documents) is refused here.

use super::error::{Place, Refusal, quote};
use serde::{Deserialize, Deserializer, de};
use serde_yaml::{
    Error, Options, Spanned,
    budget::BudgetBreach,
    options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy},
};
use std::{borrow::Cow, fmt};

/// A value with its place.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) kind: Kind<'t>,
    pub(super) at: Place,
}

/// A key with its place.
#[derive(Debug)]
pub(super) struct Key<'t> {
    pub(super) name: Cow<'t, str>,
    pub(super) at: Place,
}

#[derive(Debug)]
pub(super) enum Kind<'t> {
    /// Nothing, `~` or `null`.
    Null,
    /// Text that YAML takes for text.
    Text(Cow<'t, str>),
    /// An unquoted number or boolean: the text as it is written is what counts.
    Plain,
    List(Vec<Node<'t>>),
    Map(Vec<(Key<'t>, Node<'t>)>),
}

impl<'t> Node<'t> {
    /// The text of a scalar, as written unless it is quoted.
    pub(super) fn scalar<'a>(&'a self, text: &'a str) -> Option<&'a str> {
        match &self.kind {
            Kind::Text(value) => Some(value),
            Kind::Plain => text.get(self.at.start..self.at.start + self.at.len).map(str::trim),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The value of a key of a mapping.
    pub(super) fn get(&self, name: &str) -> Option<&(Key<'t>, Self)> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(key, _)| key.name == name),
            _ => None,
        }
    }

    /// The node below a path such as `network.allow[2].preset`.
    pub(super) fn find(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, part| {
            let (name, index) = part.split_once('[').unwrap_or((part, ""));
            let (_, node) = node.get(name)?;
            let Ok(index) = index.trim_end_matches(']').parse::<usize>() else { return Some(node) };
            match &node.kind {
                Kind::List(items) => items.get(index),
                _ => None,
            }
        })
    }

    /// What the node is, for messages.
    pub(super) fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Text(_) => "text",
            Kind::Plain => "a number or a boolean",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

fn place(at: serde_yaml::Location) -> Place {
    let index = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok()).unwrap_or(0);
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Place {
        line: number(at.line()),
        column: number(at.column()),
        start: index(at.span().byte_offset()),
        len: index(at.span().byte_len()),
    }
}

impl<'t> Deserialize<'t> for Node<'t> {
    fn deserialize<D: Deserializer<'t>>(source: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind<'t>>::deserialize(source)?;
        Ok(Self { kind: spanned.value, at: place(spanned.referenced) })
    }
}

impl<'t> Deserialize<'t> for Key<'t> {
    fn deserialize<D: Deserializer<'t>>(source: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Name<'t>>::deserialize(source)?;
        Ok(Self { name: spanned.value.0, at: place(spanned.referenced) })
    }
}

/// Text that is borrowed where it stands in the file as it is.
struct Name<'t>(Cow<'t, str>);

impl<'t> Deserialize<'t> for Name<'t> {
    fn deserialize<D: Deserializer<'t>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'t> de::Visitor<'t> for NameVisitor {
    type Value = Name<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'t str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(value.into())))
    }
}

impl<'t> Deserialize<'t> for Kind<'t> {
    fn deserialize<D: Deserializer<'t>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'t> de::Visitor<'t> for KindVisitor {
    type Value = Kind<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'t str) -> Result<Self::Value, E> {
        Ok(Kind::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Kind::Text(Cow::Owned(value.into())))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Kind::Plain)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Kind::Plain)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Kind::Plain)
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Self::Value, E> {
        Ok(Kind::Plain)
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Kind::Plain)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Kind::Plain)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Kind::Null)
    }

    fn visit_seq<A: de::SeqAccess<'t>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: de::MapAccess<'t>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Kind::Map(map))
    }
}

fn options() -> Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_events: 400_000,
            max_aliases: 0,
            max_anchors: 0,
            max_depth: 16,
            flow_nesting_limit: 16,
            max_documents: 1,
        },
        emit_comments: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

/// The tree of a text, or its one fault.
pub(super) fn tree(text: &str) -> Result<Node<'_>, (Place, Refusal)> {
    serde_yaml::from_str_with_options(text, options()).map_err(|error| {
        let mut at = error.location().map_or(Place { line: 1, column: 1, ..Place::default() }, place);
        at.start = offset(text, at.line, at.column);
        if matches!(error, Error::Budget { breach: BudgetBreach::Anchors { .. }, .. }) {
            at = anchor_before(text, at);
        }
        let rest = text.get(at.start..).unwrap_or_default().lines().next().unwrap_or_default();
        (at, refusal(&error, rest))
    })
}

/// The byte at a line and column.
fn offset(text: &str, line: u32, column: u32) -> usize {
    let lines = text.split_inclusive('\n').take((line as usize).saturating_sub(1));
    let start = lines.map(str::len).sum::<usize>();
    let rest = text.get(start..).unwrap_or_default();
    let column = (column as usize).saturating_sub(1);
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}

/// The anchor of the node at a place: the parser tells where the node is.
fn anchor_before(text: &str, node: Place) -> Place {
    let before = text.get(..node.start).unwrap_or_default();
    let Some(start) = before.rfind('&') else { return node };
    let line = before[..start].matches('\n').count() + 1;
    let column = before[..start].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let len = before[start..].trim_end().len();
    Place { line: number(line), column: number(column), start, len }
}

/// The fault in our words; `rest` is the line from the place on.
fn refusal(error: &Error, rest: &str) -> Refusal {
    match error {
        Error::MultipleDocuments { .. } | Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            Refusal::new(
                "a second document in the file",
                "keep one policy in the file, without a line `---` between",
            )
        }
        Error::UnknownAnchor { .. }
        | Error::Budget { breach: BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. }, .. } => {
            anchor(rest)
        }
        Error::MergeKeyNotAllowed { .. } => {
            Refusal::new("`<<` (a merge key)", "write the keys out where they are meant")
        }
        Error::UnsupportedTag { tag, .. } => {
            Refusal::new(format!("the tag {}", quote(tag)), "leave the tag out")
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => deep(),
        Error::ExternalMessage { msg, .. } if msg.contains("recursion limit") => deep(),
        Error::Budget { .. } => Refusal::new("too much for a policy", "keep the file short"),
        Error::ExternalMessage { msg, .. } => scan(msg, rest),
        other => scan(&other.to_string(), rest),
    }
}

fn deep() -> Refusal {
    Refusal::new(
        "nested too deep",
        "a policy needs no more than 7 levels: check the indentation and the brackets",
    )
}

fn anchor(rest: &str) -> Refusal {
    let word = rest.split([' ', ',', ']', '}']).next().unwrap_or_default();
    if word.starts_with('*') {
        let hint =
            format!("if the asterisk is meant, write it in quotes: \"{}\"", quote(word).trim_matches('`'));
        return Refusal::new(format!("{} (a YAML alias)", quote(word)), hint);
    }
    Refusal::new(format!("{} (a YAML anchor)", quote(word)), "write the value out where it is meant")
}

fn scan(message: &str, rest: &str) -> Refusal {
    let message = super::error::escape(message.lines().next().unwrap_or_default());
    let hint = if rest.starts_with('\t') || message.contains("tab") {
        "indent with spaces, never with tabs"
    } else if rest.starts_with(['@', '`', '%', '&', '*', '!', '|', '>']) {
        "put the text in quotes"
    } else {
        "check the indentation (two spaces a level), the space after `:`, and that each quote and bracket is closed"
    };
    Refusal::new(format!("not YAML: {message}"), hint)
}
