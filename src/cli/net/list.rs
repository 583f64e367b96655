//! `net list`: what is open, because of what, and what could leak through it.

use super::View;
use crate::{
    cli::{Failure, Global, printer},
    policy::{Allow, Outbound},
    presets::{
        expand::{Opened, What},
        listed,
    },
};
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// As JSON, with every network and name: see docs/net-json.md
    #[arg(long)]
    json: bool,
}

/// Something open, for a reader.
#[derive(Serialize)]
struct Item {
    kind: &'static str,
    value: String,
    ports: Option<String>,
    from: String,
}

/// An entry of `allow`, for a reader.
#[derive(Serialize)]
struct Entry {
    policy: String,
    target: String,
    opens: String,
    leaks: String,
    items: Vec<Item>,
}

pub(crate) fn list(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let view = View::of(global)?;
    let entries: Vec<Entry> = (0..view.network.allow.len()).map(|at| entry(&view, at)).collect();
    if arguments.json {
        let denied: Vec<String> = view.network.deny.iter().map(ToString::to_string).collect();
        let json = serde_json::json!({
            "version": 1,
            "agent": view.name,
            "outbound": view.network.outbound.to_string(),
            "inbound": view.network.inbound.to_string(),
            "dns": view.network.dns.to_string(),
            "allow": entries,
            "deny": denied,
            "notices": view.open.notes,
        });
        printer::data(&serde_json::to_string_pretty(&json).map_err(Failure::new)?);
        return Ok(ExitCode::SUCCESS);
    }
    show(&view, &entries);
    Ok(ExitCode::SUCCESS)
}

fn entry(view: &View, at: usize) -> Entry {
    let allow = &view.network.allow[at];
    let (opens, leaks) = about(allow);
    let items = view.open.opened.iter().filter(|opened| opened.entry == at).flat_map(items).collect();
    Entry { policy: allow.to_string(), target: allow.target(), opens, leaks, items }
}

fn items(opened: &Opened) -> Vec<Item> {
    let item = |kind, value: String| Item {
        kind,
        value,
        ports: opened.ports.as_ref().map(ToString::to_string),
        from: opened.from.to_string(),
    };
    match &opened.what {
        What::Nets(nets) => nets.iter().map(|net| item("network", net.to_string())).collect(),
        What::Name(name) => vec![item("name", name.to_string())],
        What::Loopback => vec![item("loopback", "127.0.0.1 and ::1".into())],
    }
}

/// What an entry opens, and what an agent could leak through it.
pub(in crate::cli) fn about(entry: &Allow) -> (String, String) {
    let (opens, leaks) = match entry {
        Allow::Preset { name, .. } => {
            let about = listed::about(*name);
            (about.opens.to_owned(), about.leaks)
        }
        Allow::Domain { name, .. } if name.is_wildcard() => (
            format!("every host below {}", name.base()),
            "what the agent sends goes to any of them; a name that is asked for can itself carry text there",
        ),
        Allow::Domain { name, .. } => (
            format!("the host {name}"),
            "what the agent sends goes to whoever runs it, and to whatever it hands on",
        ),
        Allow::Cidr { net, .. } => {
            (format!("every host of {net}"), "what the agent sends goes to any of them")
        }
        Allow::Loopback(ports) => (
            format!("services of other accounts of this machine on {ports}"),
            "a service does with its own rights what the agent asks of it, and a proxy leads out",
        ),
    };
    (opens, leaks.to_owned())
}

fn show(view: &View, entries: &[Entry]) {
    let network = &view.network;
    printer::heading(&format!("{} reaches", view.name));
    if network.outbound == Outbound::Allow {
        printer::data("  every host but denied ones (`outbound: allow`)");
    } else if entries.is_empty() {
        printer::data("  nothing but its own servers on loopback");
    }
    let rows: Vec<[String; 3]> = entries
        .iter()
        .map(|entry| {
            let mut ports: Vec<&str> =
                entry.items.iter().map(|item| item.ports.as_deref().unwrap_or("every port")).collect();
            ports.dedup();
            ports.sort_unstable();
            ports.dedup();
            [entry.target.clone(), ports.join("; "), amount(&entry.items)]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    for (row, entry) in rows.iter().zip(entries) {
        let [target, ports, amount] = row;
        printer::data(&crate::model::harmless(&format!("  {target:<first$}  {ports:<second$}  {amount}")));
        printer::detail(&format!("opens  {}", entry.opens));
        printer::detail(&format!("leaks  {}", entry.leaks));
        let mut from: Vec<&str> = entry.items.iter().map(|item| item.from.as_str()).collect();
        from.sort_unstable();
        from.dedup();
        for from in from.into_iter().filter(|from| *from != "the policy") {
            printer::detail(&format!("from   {from}"));
        }
    }
    if !network.deny.is_empty() {
        printer::heading("and never");
        for deny in &network.deny {
            printer::data(&format!("  {deny}"));
        }
    }
    printer::data(&format!("Names: `dns: {}`. Callers: `inbound: {}`.", network.dns, network.inbound));
    for note in &view.open.notes {
        printer::warn(note);
    }
}

/// How much an entry opens: names one by one while they are few, networks by number.
fn amount(items: &[Item]) -> String {
    let of = |kind: &str| {
        items.iter().filter(|item| item.kind == kind).map(|item| item.value.as_str()).collect::<Vec<_>>()
    };
    let some = |values: Vec<&str>, what: &str| match values.len() {
        0 => None,
        1..=3 => Some(values.join(", ")),
        n => Some(format!("{n} {what}")),
    };
    let parts: Vec<String> =
        [some(of("name"), "names"), some(of("network"), "networks"), some(of("loopback"), "")]
            .into_iter()
            .flatten()
            .collect();
    if parts.is_empty() { "nothing yet".into() } else { parts.join(" and ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_names_while_few_and_numbers_when_many() {
        let item = |kind, value: &str| Item { kind, value: value.into(), ports: None, from: String::new() };
        assert_eq!(amount(&[]), "nothing yet");
        assert_eq!(
            amount(&[item("name", "a.example.com"), item("network", "192.0.2.0/24")]),
            "a.example.com and 192.0.2.0/24"
        );
        let many: Vec<Item> = (0..5).map(|n| item("network", &format!("192.0.2.{n}/32"))).collect();
        assert_eq!(amount(&many), "5 networks");
    }
}
