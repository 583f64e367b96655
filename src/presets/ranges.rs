//! Address ranges that GitHub and AWS publish.
//!
//! What is published is data from the network, and a wrong file would open the agent's way to somewhere else or close it
//! to where it works. So a file counts only when it has the shape that it always had: see [`judge`]. Only the parts that
//! presets use are kept, aggregated, in a form of our own that is the same for both publishers.

mod special;

pub use special::is_public;

use crate::model::catalog::{Date, Publisher, Ranges};
use ipnet::IpNet;
use serde::Deserialize;
use std::{collections::BTreeMap, net::IpAddr};

/// The largest document of a publisher that is read, in bytes; the larger one has 2 MB.
pub const MAX_DOCUMENT: usize = 8 << 20;

/// The largest file in our own form that is read, in bytes.
pub const MAX_FILE: usize = 2 << 20;

/// The most networks of one publisher.
const MOST: usize = 20_000;

/// The most groups of one publisher.
const MOST_GROUPS: usize = 200;

/// The shortest prefixes that are believed; the shortest ones published in 2026 are a /15 and a /29.
const SHORTEST: (u8, u8) = (12, 28);

/// How much the addresses of a publisher may grow or shrink from one file to the next.
const FACTOR: u128 = 10;

/// Why a file of ranges is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangesError {
    /// It is larger than any that was ever published.
    #[error("it has {0} bytes, more than expected")]
    TooLarge(usize),
    /// It does not have the form.
    #[error("it is not of the form that {publisher} publishes: {why}")]
    Form {
        /// Whose form.
        publisher: Publisher,
        /// What is wrong, escaped.
        why: String,
    },
    /// A network that no publisher can own, or that is far too wide.
    #[error("`{group}` has {net}, which {why}")]
    Network {
        /// The group.
        group: String,
        /// The network.
        net: IpNet,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A group without networks.
    #[error("`{0}` is empty")]
    Empty(String),
    /// More networks or groups than were ever published.
    #[error("it has {0}, more than expected")]
    TooMany(String),
    /// Far more or far fewer addresses than in the last good file.
    #[error("it has {now} {family} addresses where the ranges of {date} have {before}")]
    Jump {
        /// Addresses in it.
        now: u128,
        /// Addresses in the last good one.
        before: u128,
        /// The day of the last good one.
        date: Date,
        /// The family.
        family: &'static str,
    },
    /// Older than what is in force.
    #[error("it is of {now}, older than the ranges of {before}")]
    Older {
        /// Its day.
        now: Date,
        /// The day of the last good one.
        before: Date,
    },
}

/// The ranges that are built into this program.
pub fn snapshot(publisher: Publisher) -> Option<Ranges> {
    let text: &[u8] = match publisher {
        Publisher::Github => include_bytes!("ranges/github.json"),
        Publisher::Aws => include_bytes!("ranges/aws.json"),
    };
    // A test reads both.
    read(publisher, text).ok()
}

/// Reads a file in our own form and judges it.
pub fn read(publisher: Publisher, text: &[u8]) -> Result<Ranges, RangesError> {
    if text.len() > MAX_FILE {
        return Err(RangesError::TooLarge(text.len()));
    }
    let ranges: Ranges = serde_json::from_slice(text).map_err(|error| form(publisher, &error))?;
    if ranges.source != publisher || ranges.version != 1 {
        let why = format!("it is version {} of {}", ranges.version, ranges.source);
        return Err(RangesError::Form { publisher, why });
    }
    judge(ranges)
}

/// A file in our own form: one line a group, so that two files can be compared.
pub fn render(ranges: &Ranges) -> String {
    let groups: Vec<String> =
        ranges.groups.iter().map(|(name, nets)| format!("{}:{}", json(name), json(nets))).collect();
    format!(
        "{{\n\"version\":{},\"source\":{},\"date\":{},\n\"groups\":{{\n{}\n}}}}\n",
        ranges.version,
        json(&ranges.source),
        json(&ranges.date),
        groups.join(",\n")
    )
}

/// Strings and lists of ours as JSON, which can't fail.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads the document of a publisher. GitHub's has no date of its own: it is of `today`.
pub fn read_document(publisher: Publisher, text: &[u8], today: Date) -> Result<Ranges, RangesError> {
    if text.len() > MAX_DOCUMENT {
        return Err(RangesError::TooLarge(text.len()));
    }
    let (date, groups) = match publisher {
        Publisher::Github => (today, github(text)?),
        Publisher::Aws => aws(text)?,
    };
    judge(Ranges { version: 1, source: publisher, date, groups })
}

type Groups = BTreeMap<String, Vec<IpNet>>;

fn form(publisher: Publisher, error: &dyn std::fmt::Display) -> RangesError {
    let why = error.to_string().chars().take(200).collect::<String>().escape_debug().to_string();
    RangesError::Form { publisher, why }
}

/// <https://docs.github.com/en/rest/meta/meta>: lists of networks by part, beside much else.
fn github(text: &[u8]) -> Result<Groups, RangesError> {
    #[derive(Deserialize)]
    struct Meta {
        web: Vec<IpNet>,
        api: Vec<IpNet>,
        git: Vec<IpNet>,
        packages: Vec<IpNet>,
        pages: Vec<IpNet>,
        actions: Vec<IpNet>,
        codespaces: Vec<IpNet>,
        copilot: Vec<IpNet>,
    }
    let Meta { web, api, git, packages, pages, actions, codespaces, copilot } =
        serde_json::from_slice(text).map_err(|error| form(Publisher::Github, &error))?;
    let all = [
        ("web", web),
        ("api", api),
        ("git", git),
        ("packages", packages),
        ("pages", pages),
        ("actions", actions),
        ("codespaces", codespaces),
        ("copilot", copilot),
    ];
    Ok(all.into_iter().map(|(name, nets)| (name.to_owned(), nets)).collect())
}

/// <https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-syntax.html>: rows with a network, a service and a region.
fn aws(text: &[u8]) -> Result<(Date, Groups), RangesError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        create_date: String,
        prefixes: Vec<Row4>,
        #[serde(rename = "ipv6_prefixes")]
        ipv6_prefixes: Vec<Row6>,
    }
    #[derive(Deserialize)]
    struct Row4 {
        ip_prefix: ipnet::Ipv4Net,
        region: String,
        service: String,
    }
    #[derive(Deserialize)]
    struct Row6 {
        ipv6_prefix: ipnet::Ipv6Net,
        region: String,
        service: String,
    }
    let document: Document = serde_json::from_slice(text).map_err(|error| form(Publisher::Aws, &error))?;
    let day: String = document.create_date.chars().take(10).collect();
    let date = day.parse().map_err(|error| form(Publisher::Aws, &error))?;
    let v4 = document.prefixes.into_iter().map(|row| (row.service, row.region, row.ip_prefix.into()));
    let v6 = document.ipv6_prefixes.into_iter().map(|row| (row.service, row.region, row.ipv6_prefix.into()));
    let mut groups = Groups::new();
    for (_, region, net) in v4.chain(v6).filter(|(service, ..)| service == "S3") {
        groups.entry(region).or_default().push(net);
    }
    Ok((date, groups))
}

/// Lets ranges through that look like those of their publisher, aggregated.
///
/// Refused are: more groups or networks than were ever published, a group without networks, a network with bits beyond its
/// length, one that is not on the public internet or far too wide, and a publisher without the parts that a preset always
/// opens.
pub fn judge(mut ranges: Ranges) -> Result<Ranges, RangesError> {
    let count: usize = ranges.groups.values().map(Vec::len).sum();
    if count > MOST {
        return Err(RangesError::TooMany(format!("{count} networks")));
    }
    if ranges.groups.len() > MOST_GROUPS {
        return Err(RangesError::TooMany(format!("{} groups", ranges.groups.len())));
    }
    let needed: &[&str] = match ranges.source {
        Publisher::Github => &["web", "api", "git"],
        Publisher::Aws => &["us-east-1"],
    };
    if let Some(name) = needed.iter().find(|name| !ranges.groups.contains_key(**name)) {
        return Err(RangesError::Empty((*name).into()));
    }
    for (name, nets) in &mut ranges.groups {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) {
            return Err(form(ranges.source, &format!("a group is called `{name}`")));
        }
        if nets.is_empty() {
            return Err(RangesError::Empty(name.clone()));
        }
        for net in nets.iter() {
            if let Some(why) = fault(net) {
                return Err(RangesError::Network { group: name.clone(), net: *net, why });
            }
        }
        *nets = IpNet::aggregate(nets);
        nets.sort();
    }
    Ok(ranges)
}

fn fault(net: &IpNet) -> Option<&'static str> {
    let shortest = if net.addr().is_ipv4() { SHORTEST.0 } else { SHORTEST.1 };
    if net.prefix_len() < shortest {
        return Some("is far too wide");
    }
    if net.trunc() != *net {
        return Some("has bits set beyond its length");
    }
    (!is_public(net)).then_some("is not on the public internet")
}

/// Whether ranges may take the place of the last good ones: not older, no part of GitHub gone, and neither family ten times
/// as large or as small, be it in a part of GitHub, of which there are few, or in all regions of AWS together.
pub fn follows(ranges: Ranges, last: &Ranges) -> Result<Ranges, RangesError> {
    if ranges.date < last.date {
        return Err(RangesError::Older { now: ranges.date, before: last.date });
    }
    match ranges.source {
        Publisher::Aws => compare(&all(&ranges), &all(last), last.date)?,
        Publisher::Github => {
            for (name, before) in &last.groups {
                let now = ranges.groups.get(name).ok_or_else(|| RangesError::Empty(name.clone()))?;
                compare(now, before, last.date)?;
            }
        }
    }
    Ok(ranges)
}

fn all(ranges: &Ranges) -> Vec<IpNet> {
    ranges.groups.values().flatten().copied().collect()
}

fn compare(nets: &[IpNet], last: &[IpNet], date: Date) -> Result<(), RangesError> {
    for (family, v4) in [("IPv4", true), ("IPv6", false)] {
        let (now, before) = (addresses(nets, v4), addresses(last, v4));
        // A family that is new to a part has nothing to be measured by.
        let grew = before > 0 && now > before.saturating_mul(FACTOR);
        if grew || before > now.saturating_mul(FACTOR) {
            return Err(RangesError::Jump { now, before, date, family });
        }
    }
    Ok(())
}

/// The number of addresses of a family.
fn addresses(nets: &[IpNet], v4: bool) -> u128 {
    let nets: Vec<IpNet> = nets.iter().filter(|net| net.addr().is_ipv4() == v4).copied().collect();
    let size = |net: &IpNet| {
        1_u128.checked_shl(u32::from(net.max_prefix_len() - net.prefix_len())).unwrap_or(u128::MAX)
    };
    IpNet::aggregate(&nets).iter().map(size).fold(0, u128::saturating_add)
}

/// What changed from one file to the next, by group: networks that came and that went.
pub fn difference(before: &Ranges, now: &Ranges) -> Vec<(String, Vec<IpNet>, Vec<IpNet>)> {
    let none = Vec::new();
    let names: std::collections::BTreeSet<_> = before.groups.keys().chain(now.groups.keys()).collect();
    let of = |ranges: &'_ Ranges, name: &String| ranges.groups.get(name).unwrap_or(&none).clone();
    let without =
        |a: &[IpNet], b: &[IpNet]| a.iter().filter(|net| !b.contains(net)).copied().collect::<Vec<_>>();
    names
        .into_iter()
        .map(|name| (name.clone(), of(before, name), of(now, name)))
        .map(|(name, before, now)| (name, without(&now, &before), without(&before, &now)))
        .filter(|(_, came, went)| !(came.is_empty() && went.is_empty()))
        .collect()
}

/// Whether an address that a name resolved to may be opened for that name: one of the public internet, or one that the
/// policy names itself. Otherwise whoever owns the name could let the agent into the local network (DNS rebinding).
pub fn may_resolve_to(address: IpAddr, named: &[IpNet]) -> bool {
    special::is_documentation(address)
        || is_public(&IpNet::from(address))
        || named.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests;
