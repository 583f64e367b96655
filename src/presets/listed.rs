//! Listed presets: data files in the project, built into the program.

use crate::{
    model::{PortRange, PortSet, Protocol, catalog::Publisher},
    policy::{DomainName, PresetName},
};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::LazyLock};

/// What a preset is, in words for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// What it opens, in one line.
    pub opens: &'static str,
    /// What an agent could leak through it, in one line.
    pub leaks: &'static str,
}

/// A preset whose hosts its vendor documents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    opens: String,
    leaks: String,
    /// Who publishes ranges for it.
    #[serde(default)]
    pub ranges: Option<Publisher>,
    /// Ports of TCP that are open in the ranges.
    #[serde(default)]
    ports: Vec<u16>,
    /// Its names.
    pub hosts: Vec<Hosts>,
}

/// Names that share ports and a source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hosts {
    /// The part of the preset that they belong to; without one they are always open.
    #[serde(default)]
    pub part: Option<String>,
    /// `{region}` in the names stands for each region.
    #[serde(default)]
    pub each_region: bool,
    /// The names, some with a leading `*.`.
    pub names: Vec<String>,
    ports: Vec<u16>,
    /// The page on which the vendor names them.
    pub source: String,
}

impl Listed {
    /// Ports that are open in its ranges.
    pub fn ports(&self) -> PortSet {
        tcp(&self.ports)
    }
}

impl Hosts {
    /// Ports that are open.
    pub fn ports(&self) -> PortSet {
        tcp(&self.ports)
    }

    /// The names, with a region where they take one; what a region makes of no domain is left out.
    pub fn names_in(&self, region: &str) -> impl Iterator<Item = DomainName> {
        self.names.iter().filter_map(move |name| name.replace("{region}", region).parse().ok())
    }
}

fn tcp(ports: &[u16]) -> PortSet {
    ports.iter().map(|port| PortRange { protocol: Protocol::Tcp, first: *port, last: *port }).collect()
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("listed/", $name, ".yaml")))),+]
    };
}

const FILES: [(&str, &str); 10] = files!(
    "anthropic",
    "openai",
    "google-ai",
    "github",
    "gitlab",
    "docker-hub",
    "homebrew",
    "aws-s3",
    "vscode-marketplace",
    "sentry",
);

static LISTED: LazyLock<BTreeMap<&'static str, Listed>> = LazyLock::new(|| {
    // A test reads every file, so that none is missing here.
    FILES.iter().filter_map(|(name, text)| Some((*name, read(text).ok()?))).collect()
});

fn read(text: &str) -> Result<Listed, serde_yaml::Error> {
    serde_yaml::from_str(text)
}

/// Discovered presets, with the tool whose configuration tells their hosts.
const DISCOVERED: [(&str, &str, About); 6] = [
    ("npm", "npm", packages("the registries and proxies of npm's configuration on this machine")),
    (
        "pypi",
        "pip",
        packages("the package indexes and proxies of the configuration of pip and uv on this machine"),
    ),
    (
        "crates",
        "cargo",
        packages("the registries, mirrors and proxies of cargo's configuration on this machine"),
    ),
    ("debian", "apt", packages("the mirrors and proxies of apt's configuration on this machine")),
    ("rubygems", "gem", packages("the sources of RubyGems' configuration on this machine")),
    (
        "golang",
        "go",
        packages("the module proxies and the checksum database of Go's configuration on this machine"),
    ),
];

const fn packages(opens: &'static str) -> About {
    About {
        opens,
        leaks: "names of packages that are asked for can carry text; with a key of its own, the agent can publish what it read",
    }
}

/// A listed preset; `None` for a discovered one.
pub fn listed(name: PresetName) -> Option<&'static Listed> {
    LISTED.get(name.as_str())
}

/// The tool of a discovered preset; `None` for a listed one.
pub fn tool(name: PresetName) -> Option<&'static str> {
    DISCOVERED.iter().find(|(preset, ..)| *preset == name.as_str()).map(|(_, tool, _)| *tool)
}

/// What a preset is.
pub fn about(name: PresetName) -> About {
    if let Some(listed) = listed(name) {
        return About { opens: &listed.opens, leaks: &listed.leaks };
    }
    let known = DISCOVERED.iter().find(|(preset, ..)| *preset == name.as_str());
    known.map_or(About { opens: "", leaks: "" }, |(.., about)| *about)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{GithubPart, PRESETS};

    #[test]
    fn every_preset_is_either_listed_or_discovered_and_says_what_it_is() {
        for preset in PRESETS {
            assert_ne!(listed(preset).is_some(), tool(preset).is_some(), "{preset}");
            let About { opens, leaks } = about(preset);
            for line in [opens, leaks] {
                assert!(line.len() > 20 && line.len() < 160 && !line.contains('\n'), "{preset}: {line}");
                assert!(!line.ends_with('.'), "{preset}: {line}");
            }
        }
    }

    #[test]
    fn every_name_is_a_domain_with_ports_and_a_page_of_its_vendor() {
        for (name, text) in FILES {
            let listed = read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(listed.ranges.is_some(), !listed.ports.is_empty(), "{name}");
            for hosts in &listed.hosts {
                assert!(hosts.source.starts_with("https://") && !hosts.ports.is_empty(), "{name}");
                assert_eq!(
                    hosts.names_in("eu-central-1").count(),
                    hosts.names.len(),
                    "{name}: {:?}",
                    hosts.names
                );
                for host in &hosts.names {
                    assert_eq!(hosts.each_region, host.contains("{region}"), "{name}: {host}");
                    assert_eq!(*host, host.to_lowercase(), "{name}");
                    let labels = host.trim_start_matches("*.").split('.').count();
                    assert!(labels >= 2, "{name}: {host} is too wide");
                }
                if let Some(part) = &hosts.part {
                    let known: Vec<_> =
                        <GithubPart as crate::policy::Choice>::ALL.iter().map(|part| part.as_str()).collect();
                    assert!(name == "github" && known.contains(&part.as_str()), "{name}: {part}");
                }
            }
        }
    }
}
