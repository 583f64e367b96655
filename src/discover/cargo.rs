//! cargo: `config.toml` of the human's (<https://doc.rust-lang.org/cargo/reference/config.html>), the index that is built in,
//! and what an index that cargo fetched says of its downloads
//! (<https://doc.rust-lang.org/cargo/reference/registry-index.html>).

use super::{Found, unread};
use serde::Deserialize;
use std::collections::BTreeMap;

/// An index that cargo keeps a copy of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CargoIndex {
    /// The name of its directory: the index's host and a checksum.
    pub directory: String,
    /// Its `config.json`.
    pub config: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    registries: BTreeMap<String, Registry>,
    source: BTreeMap<String, Source>,
    http: Http,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Registry {
    index: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Source {
    replace_with: Option<String>,
    registry: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Http {
    proxy: Option<String>,
}

/// The source that cargo uses where nothing else is said.
const DEFAULT: &str = "crates-io";

/// The address of the index that is built in, from what cargo says when it can't reach it: the address itself, or the host
/// that libcurl could not resolve.
pub fn default_index(said: &str) -> Option<String> {
    let address = said.split('`').find(|part| part.starts_with("https://") && part.ends_with("/config.json"));
    if let Some(index) = address.and_then(|address| address.strip_suffix("config.json")) {
        return Some(index.into());
    }
    let (_, host) = said.split_once("Could not resolve host: ")?;
    let host = host.split([')', ' ', '\n']).next()?;
    Some(format!("https://{host}/"))
}

/// Reads cargo's configuration. `built_in` is what [`default_index`] found.
pub fn cargo(config: &str, built_in: Option<&str>, kept: &[CargoIndex]) -> Found {
    let config: Config = match toml::from_str(config) {
        Ok(config) => config,
        Err(error) => return unread("cargo", &error),
    };
    let mut found = Found::default();
    if let Some(proxy) = &config.http.proxy {
        found.proxy("cargo", "http.proxy", proxy);
    }
    for (name, registry) in &config.registries {
        if let Some(index) = &registry.index {
            found.url("cargo", &format!("registries.{name}.index"), index);
        }
    }
    for (name, source) in &config.source {
        if let Some(registry) = &source.registry {
            found.url("cargo", &format!("source.{name}.registry"), registry);
        }
    }
    let replaced = config.source.get(DEFAULT).is_some_and(|source| source.replace_with.is_some());
    match built_in {
        _ if replaced => {}
        Some(index) => found.url("cargo", "the index that is built in", index),
        None => found.notes.push("cargo: it did not say which index is built in".into()),
    }
    downloads(&mut found, kept);
    found
}

/// Adds where crates of the indexes found so far are downloaded from. What cargo keeps of other indexes may be a project's
/// doing, and counts for nothing.
fn downloads(found: &mut Found, kept: &[CargoIndex]) {
    #[derive(Deserialize)]
    struct IndexConfig {
        dl: String,
        api: Option<String>,
    }
    let indexes: Vec<String> = found
        .hosts
        .iter()
        .filter(|host| host.setting != "http.proxy")
        .map(|host| host.host.clone())
        .collect();
    for host in indexes {
        let of_host =
            |index: &&CargoIndex| index.directory.rsplit_once('-').is_some_and(|(name, _)| name == host);
        let mut any = false;
        for index in kept.iter().filter(of_host) {
            let setting = format!("config.json of the index {host}");
            match serde_json::from_str::<IndexConfig>(&index.config) {
                Ok(config) => {
                    any = true;
                    // What stands in braces is of the path.
                    found.url("cargo", &format!("dl in {setting}"), &config.dl);
                    if let Some(api) = config.api.filter(|api| !api.is_empty()) {
                        found.url("cargo", &format!("api in {setting}"), &api);
                    }
                }
                Err(error) => found.add(unread("cargo", &error)),
            }
        }
        if !any {
            found.notes.push(format!(
                "cargo: it has not fetched the index of {host} yet, which says where crates are downloaded from: run \
                 `cargo search serde`, then `agentuser net refresh`"
            ));
        }
    }
}
