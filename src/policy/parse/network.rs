//! From the text of `network` to its value.

use crate::{
    model::PortSet,
    policy::{
        Allow, Deny, DomainName, GithubPart, Network, Parts, PresetName, Region,
        error::quote,
        network,
        reader::{Fields, Reader},
        yaml::{self, Node},
    },
};

const NETWORK: &[&str] = &["outbound", "inbound", "dns", "log", "allow", "deny"];
const ALLOW: &[&str] = &["preset", "github", "regions", "domain", "cidr", "loopback", "ports"];
const DENY: &[&str] = &["cidr", "ports"];
const PORTS_HINT: &str = "write a list such as `[443, \"8000-8099\", \"53/udp\"]`";
/// Keys of an entry of `allow` that say more of its destination.
const DETAILS: [&str; 3] = ["ports", "github", "regions"];

impl<'t> Reader<'t> {
    pub(super) fn network(&mut self, node: &Node<'t>) -> Network {
        let Some(fields) = self.fields(node, "`network`", NETWORK) else { return Network::default() };
        let hint = "a list of entries such as `- preset: github`, or `[]` for none";
        let allow = fields.get("allow").map_or(&[][..], |node| self.list(node, "`allow`", hint));
        let hint = "a list of entries such as `- cidr: 192.0.2.0/24`, or `[]` for none";
        let deny = fields.get("deny").map_or(&[][..], |node| self.list(node, "`deny`", hint));
        Network {
            outbound: fields
                .get("outbound")
                .and_then(|node| self.choice(node, "`outbound`"))
                .unwrap_or_default(),
            inbound: fields
                .get("inbound")
                .and_then(|node| self.choice(node, "`inbound`"))
                .unwrap_or_default(),
            dns: fields.get("dns").and_then(|node| self.choice(node, "`dns`")).unwrap_or_default(),
            log: fields.get("log").and_then(|node| self.choice(node, "`log`")).unwrap_or_default(),
            allow: allow.iter().filter_map(|node| self.allow(node)).collect(),
            deny: deny.iter().filter_map(|node| self.deny(node)).collect(),
        }
    }

    fn allow(&mut self, node: &Node<'t>) -> Option<Allow> {
        let kinds = "`preset`, `domain`, `cidr` or `loopback`";
        let fields = self.fields(node, "an entry of `allow`", ALLOW)?;
        let given: Vec<_> = fields.present().filter(|(key, _)| !DETAILS.contains(&&*key.name)).collect();
        let (key, value) = match given[..] {
            [entry] => entry,
            [] if fields.strange => return None,
            [] => {
                let hint = match (fields.get("github"), fields.get("regions")) {
                    (Some(_), _) => "add `preset: github` to it".into(),
                    (_, Some(_)) => "add `preset: aws-s3` to it".into(),
                    _ => format!("add one of {kinds}"),
                };
                self.fault(node.at, "an entry of `allow` without a destination", hint);
                return None;
            }
            [_, (second, _), ..] => {
                let message = format!("two kinds in one entry: {} comes on top", quote(&second.name));
                self.fault(
                    second.at,
                    message,
                    format!("write one entry, with its own `-`, for each of {kinds}"),
                );
                return None;
            }
        };
        let ports = fields.get("ports");
        if let (Some(node), "preset" | "loopback") = (ports, &*key.name) {
            let hint = match &*key.name {
                "preset" => "leave `ports` out: a preset brings its own",
                _ => "leave `ports` out: the ports stand in `loopback: [5432]` itself",
            };
            self.fault(node.at, format!("`ports` beside `{}`", key.name), hint);
            return None;
        }
        let of = node_text(value, self.text);
        for (name, preset) in [("github", "github"), ("regions", "aws-s3")] {
            if let Some(node) = fields.get(name).filter(|_| key.name != "preset" || of != preset) {
                let message = format!("`{name}` beside `{}: {}`", key.name, quote(of).trim_matches('`'));
                self.fault(node.at, message, format!("`{name}` goes with `preset: {preset}` only"));
                return None;
            }
        }
        if key.name == "loopback" {
            return self.ports(value, "`loopback`").map(Allow::Loopback);
        }
        let text = self.scalar(value, &quote(&key.name), "write one value an entry");
        let ports = ports.map(|node| self.ports(node, "`ports`"));
        let (text, ports) = (text?, ports.map_or(Some(None), |ports| ports.map(Some)));
        let at = value.at;
        match &*key.name {
            "preset" => {
                let name = self.judge(at, PresetName::read(text))?;
                Some(Allow::Preset { name, parts: self.parts(&fields)? })
            }
            "domain" => {
                let name = self.judge(at, DomainName::read(text))?;
                Some(Allow::Domain { name, ports: ports?.unwrap_or_else(network::https) })
            }
            _ => Some(Allow::Cidr { net: self.judge(at, network::allowed_cidr(text))?, ports: ports? }),
        }
    }

    /// How much of a preset is meant; `None` where that is refused.
    fn parts(&mut self, fields: &Fields<'_, 't>) -> Option<Parts> {
        if let Some(node) = fields.get("github") {
            let hint = "a list such as `[packages, pages]`";
            return self
                .unique(node, "`github`", hint, |reader, item| reader.choice::<GithubPart>(item, "`github`"))
                .map(Parts::Github);
        }
        if let Some(node) = fields.get("regions") {
            let hint = "a list such as `[eu-central-1]`";
            return self
                .unique(node, "`regions`", hint, |reader, item| {
                    let text = reader.scalar(item, "a region", "write one region an item")?;
                    reader.judge(item.at, Region::read(text))
                })
                .map(Parts::Regions);
        }
        Some(Parts::Whole)
    }

    /// A list that is not empty and names nothing twice; `None` where any of it is refused.
    fn unique<T: PartialEq>(
        &mut self,
        node: &Node<'t>,
        what: &str,
        hint: &str,
        read: impl Fn(&mut Self, &Node<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let yaml::Kind::List(items) = &node.kind else {
            self.list(node, what, hint);
            return None;
        };
        if items.is_empty() {
            self.fault(node.at, format!("{what} lists nothing"), format!("write {hint}, or leave it out"));
            return None;
        }
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let value = read(self, item)?;
            if list.contains(&value) {
                let text = quote(node_text(item, self.text));
                self.fault(item.at, format!("{text} stands in {what} twice"), "remove one of the two");
                return None;
            }
            list.push(value);
        }
        Some(list)
    }

    fn deny(&mut self, node: &Node<'t>) -> Option<Deny> {
        let fields = self.fields(node, "an entry of `deny`", DENY)?;
        let ports = fields.get("ports").map(|node| self.ports(node, "`ports`"));
        let Some(value) = fields.get("cidr") else {
            if fields.present().count() > 0 {
                self.fault(
                    node.at,
                    "an entry of `deny` without `cidr`",
                    "add `cidr:` with the network to refuse",
                );
            }
            return None;
        };
        let text = self.scalar(value, "`cidr`", "write one network an entry")?;
        let net = self.judge(value.at, network::cidr(text))?;
        Some(Deny { net, ports: ports.map_or(Some(None), |ports| ports.map(Some))? })
    }

    /// A list of ports, or one port; `None` where any of them is refused.
    fn ports(&mut self, node: &Node<'t>, what: &str) -> Option<PortSet> {
        let one = std::slice::from_ref(node);
        let items =
            if node.scalar(self.text).is_some() { one } else { self.list(node, what, &PORTS_HINT[6..]) };
        let mut ports = Vec::with_capacity(items.len());
        for item in items {
            let text = self.scalar(item, "a port", PORTS_HINT)?;
            ports.push(self.judge(item.at, network::ports(text))?);
        }
        if ports.is_empty() {
            if matches!(&node.kind, yaml::Kind::List(_)) {
                self.fault(node.at, format!("{what} lists no port"), PORTS_HINT);
            }
            return None;
        }
        Some(ports.into())
    }
}

/// The text of a scalar; empty for anything else.
fn node_text<'n>(node: &'n Node<'_>, text: &'n str) -> &'n str {
    node.scalar(text).unwrap_or_default()
}
