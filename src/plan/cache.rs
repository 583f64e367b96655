//! Files that keep what presets and names stand for, so that a boot needs no network and a later command does not ask
//! again.

use crate::{
    host::{Validator, places},
    model::{
        AbsPath, AccountName,
        catalog::{self, Addresses, Catalog, ToolHosts},
    },
    presets::ranges,
    step::{After, AnyStep, Content, Directory, File, Layer},
};

/// The steps that keep ranges which are newer than those in the program.
pub fn machine(catalog: &Catalog) -> Vec<AnyStep> {
    let known = |publisher| catalog.ranges.get(publisher);
    let fetched: Vec<_> = catalog.fetched.iter().filter_map(known).collect();
    if fetched.is_empty() {
        return vec![];
    }
    let dir = AnyStep::from(Directory { path: places::ranges(), mode: 0o755 });
    let files = fetched.into_iter().map(|ranges| {
        let path = places::ranges().join(&format!("{}.json", ranges.source));
        file(path, ranges::render(ranges), format!("ranges of {} of {}", ranges.source.url(), ranges.date))
    });
    std::iter::once(dir).chain(files).collect()
}

/// The steps that keep what one agent's discovered presets and names stand for.
pub fn agent(name: &AccountName, catalog: &Catalog) -> Vec<AnyStep> {
    let hosts = catalog.hosts.get(name).filter(|hosts| hosts.values().any(|hosts| !hosts.is_empty()));
    let hosts = hosts.map(|hosts| file(places::hosts(name), catalog::keep(hosts), title(hosts)));
    let addresses = catalog.addresses.get(name).filter(|names| !names.is_empty());
    let addresses = addresses.map(|names: &Addresses| {
        let title = format!("addresses of {} as they resolved", count(names.len(), "name"));
        file(places::addresses(name), catalog::keep(names), title)
    });
    hosts.into_iter().chain(addresses).collect()
}

fn title(hosts: &ToolHosts) -> String {
    let one = |(preset, hosts): (&String, &std::collections::BTreeSet<catalog::ToolHost>)| {
        let list: Vec<String> = hosts.iter().map(|host| format!("{}:{}", host.host, host.port)).collect();
        format!("{preset}: {}", list.join(", "))
    };
    format!("hosts of presets ({})", hosts.iter().map(one).collect::<Vec<_>>().join("; "))
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("one {what}") } else { format!("{number} {what}s") }
}

fn file(path: AbsPath, text: String, title: String) -> AnyStep {
    File {
        path,
        content: Content::Text(text),
        mode: 0o644,
        validator: Validator::Nobody,
        after: After::Nothing,
        replaces: false,
        layer: Layer::Network,
        title,
    }
    .into()
}
