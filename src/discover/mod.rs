//! Discovered presets: the hosts that a machine's own tools are configured to use.
//!
//! No package registry's host stands in this program. The tools say it themselves, run as the human, without a network and
//! away from every project ([`crate::host::errand`]); here their answers are read. Pure.
//!
//! An answer is data: a host that does not read as one is told in a note and never opened.

#![forbid(unsafe_code)]

mod apt;
mod cargo;
mod gem;
mod go;
mod npm;
mod pip;

pub use apt::{apt_config, one_line, stanzas};
pub use cargo::{CargoIndex, cargo, default_index};
pub use gem::gem;
pub use go::go;
pub use npm::npm;
pub use pip::{pip, uv};

use crate::{
    model::catalog::ToolHost,
    presets::place::{Host, Place, PlaceError},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most hosts of one preset. A configuration that names more is not one that a person wrote.
const MOST: usize = 64;

/// What the tools of a preset are configured to use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Hosts, each with the tool and the setting that names it.
    pub hosts: BTreeSet<ToolHost>,
    /// What a person should know, one line each.
    pub notes: Vec<String>,
}

impl Found {
    /// Nothing but a note.
    pub fn note(text: impl Into<String>) -> Self {
        Self { notes: vec![text.into()], ..Self::default() }
    }

    /// Adds what another look found.
    pub fn add(&mut self, other: Self) {
        self.hosts.extend(other.hosts);
        self.notes.extend(other.notes);
    }

    /// Takes the address of a page that a setting names.
    fn url(&mut self, tool: &str, setting: &str, url: &str) {
        match Place::of_url(url.trim()) {
            Ok(place) => self.place(tool, setting, &place),
            Err(error) => self.refused(tool, setting, &error),
        }
    }

    /// Takes what names a proxy: an address, or a host with a port and no scheme.
    fn proxy(&mut self, tool: &str, setting: &str, text: &str) {
        let text = text.trim();
        if text.contains("://") {
            return self.url(tool, setting, text);
        }
        match Place::read(text) {
            Ok((place, true)) => self.place(tool, setting, &place),
            Ok(_) | Err(_) => {
                self.notes.push(format!("{tool}: `{setting}` names a proxy without a port: left out"));
            }
        }
    }

    fn refused(&mut self, tool: &str, setting: &str, error: &PlaceError) {
        self.notes.push(format!("{tool}: `{setting}`: {error}: left out"));
    }

    fn place(&mut self, tool: &str, setting: &str, place: &Place) {
        let host = match &place.host {
            Host::Loopback => {
                self.notes.push(format!(
                    "{tool}: `{setting}` is on this machine: `agentuser net allow loopback:{}` opens it",
                    place.port
                ));
                return;
            }
            host => host.to_string(),
        };
        if self.hosts.len() < MOST {
            let (tool, setting) = (tool.to_owned(), setting.to_owned());
            self.hosts.insert(ToolHost { host, port: place.port, tool, setting });
        }
    }
}

/// The command that names a host by hand, for a preset whose tool told nothing.
pub fn by_hand(preset: &str, tool: &str) -> String {
    format!(
        "{preset}: {tool} was not found where agentuser looks for it (system directories, and toolchains in your home \
         that nobody else can write): `agentuser net allow registry.example.com` names a host by hand"
    )
}

/// Why an answer can't be read, for a note.
fn unread(tool: &str, error: &dyn std::fmt::Display) -> Found {
    let why: String = error.to_string().chars().take(160).collect();
    Found::note(format!("{tool}: its answer can't be read: {}", why.escape_debug()))
}

#[cfg(test)]
mod tests;
