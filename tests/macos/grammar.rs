//! pf.conf(5) as macOS has it (OpenBSD 4.3), as far as an anchor of ours may use it: a strict reader, the judgement of a
//! packet, and how `pfctl -sr` prints the rules. It shares no line with what renders them.

use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr};

/// A rule with its lists still whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that a rule may have")]
pub(crate) struct Rule {
    pub(crate) pass: bool,
    pub(crate) out: bool,
    pub(crate) log: bool,
    pub(crate) quick: bool,
    /// Interface, and whether it is any but this one.
    pub(crate) on: Option<(bool, String)>,
    pub(crate) protos: Vec<String>,
    /// A table; none is every address.
    pub(crate) to: Option<String>,
    pub(crate) ports: Vec<(u16, u16)>,
    pub(crate) user: u32,
    pub(crate) keep_state: bool,
    pub(crate) tag: Option<String>,
    pub(crate) not_tagged: Option<String>,
}

/// An anchor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) tables: BTreeMap<String, Vec<IpNet>>,
    pub(crate) rules: Vec<Rule>,
}

/// What is judged.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) out: bool,
    pub(crate) on: &'static str,
    pub(crate) proto: &'static str,
    pub(crate) to: IpAddr,
    pub(crate) port: u16,
    /// Of the sender's socket on its way out, of the listener's on its way in.
    pub(crate) user: u32,
}

struct Words<'a> {
    line: usize,
    left: std::iter::Peekable<std::vec::IntoIter<&'a str>>,
}

impl<'a> Words<'a> {
    fn take(&mut self, word: &str) -> bool {
        self.left.next_if(|next| *next == word).is_some()
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) { Ok(()) } else { Err(self.error()) }
    }

    fn next(&mut self) -> Result<&'a str, String> {
        self.left.next().ok_or_else(|| self.error())
    }

    /// As pfctl(8) says it.
    fn error(&self) -> String {
        format!("stdin:{}: syntax error", self.line)
    }

    /// One item, or several in braces.
    fn list(&mut self) -> Result<Vec<&'a str>, String> {
        if !self.take("{") {
            return Ok(vec![self.next()?]);
        }
        let mut items = vec![self.next()?];
        while self.take(",") {
            items.push(self.next()?);
        }
        self.expect("}")?;
        Ok(items)
    }
}

/// Reads an anchor, or says what pfctl(8) says. Limits are those of the kernel, with the NUL.
pub(crate) fn parse(text: &str) -> Result<Anchor, String> {
    let mut anchor = Anchor::default();
    for (at, line) in text.lines().enumerate() {
        let spaced = line.split('#').next().unwrap_or_default().replace(',', " , ");
        let mut words = Words {
            line: at + 1,
            left: spaced.split_whitespace().collect::<Vec<_>>().into_iter().peekable(),
        };
        match words.left.peek() {
            None => continue,
            // Rules come after tables, as pfctl's `require-order` wants it.
            Some(&"table") if anchor.rules.is_empty() => table(&mut words, &mut anchor)?,
            Some(_) => {
                let rule = rule(&mut words)?;
                if rule.to.as_ref().is_some_and(|table| !anchor.tables.contains_key(table)) {
                    return Err(format!("stdin:{}: no such table", at + 1));
                }
                anchor.rules.push(rule);
            }
        }
        if words.left.next().is_some() {
            return Err(words.error());
        }
    }
    Ok(anchor)
}

fn table_name(word: &str) -> Option<&str> {
    let name = word.strip_prefix('<')?.strip_suffix('>')?;
    (!name.is_empty() && name.len() < 32 && name.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(name)
}

fn table(words: &mut Words, anchor: &mut Anchor) -> Result<(), String> {
    words.expect("table")?;
    let name = table_name(words.next()?).ok_or_else(|| words.error())?.to_owned();
    words.expect("persist")?;
    let nets = if words.left.peek().is_some() { words.list()? } else { vec![] };
    let nets = nets.into_iter().map(|net| net.parse().map_err(|_| words.error()));
    anchor.tables.insert(name, nets.collect::<Result<_, _>>()?);
    Ok(())
}

fn rule(words: &mut Words) -> Result<Rule, String> {
    let pass = words.take("pass");
    if !pass {
        words.expect("block")?;
        words.expect("return")?;
    }
    let out = words.take("out");
    if !out {
        words.expect("in")?;
    }
    let log = words.take("log");
    if log {
        words.expect("(user)")?;
    }
    let quick = words.take("quick");
    let on = if words.take("on") { Some((words.take("!"), words.next()?.to_owned())) } else { None };
    words.expect("proto")?;
    let protos: Vec<_> = words.list()?.into_iter().map(str::to_owned).collect();
    // For others no socket is found, so that `user` matches nothing.
    if !protos.iter().all(|proto| proto == "tcp" || proto == "udp") {
        return Err(words.error());
    }
    for word in ["from", "any", "to"] {
        words.expect(word)?;
    }
    let to = match words.next()? {
        "any" => None,
        word => Some(table_name(word).ok_or_else(|| words.error())?.to_owned()),
    };
    let ports = if words.take("port") { words.list()? } else { vec![] };
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let range = |text: &str| {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        Some((port(first)?, port(last)?)).filter(|(first, last)| first <= last)
    };
    let ports =
        ports.into_iter().map(|text| range(text).ok_or_else(|| words.error())).collect::<Result<_, _>>()?;
    words.expect("user")?;
    let user = words.next()?.parse().map_err(|_| words.error())?;
    let keep_state = words.take("keep");
    if keep_state {
        words.expect("state")?;
    }
    let label = |words: &mut Words| {
        let text = words.next()?.to_owned();
        if text.len() < 64 { Ok(text) } else { Err(words.error()) }
    };
    let tag = if words.take("tag") { Some(label(words)?) } else { None };
    let not_tagged = if words.take("!") {
        words.expect("tagged")?;
        Some(label(words)?)
    } else {
        None
    };
    Ok(Rule { pass, out, log, quick, on, protos, to, ports, user, keep_state, tag, not_tagged })
}

impl Anchor {
    /// Whether a packet is let through, and no rule of the anchor counts as letting through, too. The last rule that
    /// matches decides, a quick one at once; a tag is set as soon as its rule matches.
    pub(crate) fn lets_through(&self, packet: &Packet) -> bool {
        let mut verdict = true;
        let mut tags: Vec<&str> = Vec::new();
        for rule in &self.rules {
            let in_table = |table: &String| self.tables[table].iter().any(|net| net.contains(&packet.to));
            let matches = rule.out == packet.out
                && rule.user == packet.user
                && rule.on.as_ref().is_none_or(|(not, on)| (on == packet.on) != *not)
                && rule.protos.iter().any(|proto| proto == packet.proto)
                && rule.to.as_ref().is_none_or(in_table)
                && (rule.ports.is_empty() || rule.ports.iter().any(|(a, b)| (a..=b).contains(&&packet.port)))
                && rule.not_tagged.as_deref().is_none_or(|tag| !tags.contains(&tag));
            if !matches {
                continue;
            }
            verdict = rule.pass;
            tags.extend(rule.tag.as_deref());
            if rule.quick {
                break;
            }
        }
        verdict
    }

    /// `pfctl -sr`: lists expanded, one rule a line, states with their flags.
    pub(crate) fn listed(&self) -> String {
        let mut text = String::new();
        for rule in &self.rules {
            for proto in &rule.protos {
                let ports: Vec<_> =
                    if rule.ports.is_empty() { vec![None] } else { rule.ports.iter().map(Some).collect() };
                for port in ports {
                    text += &line(rule, proto, port);
                }
            }
        }
        text
    }
}

fn line(rule: &Rule, proto: &str, port: Option<&(u16, u16)>) -> String {
    let mut words = vec![if rule.pass { "pass".to_owned() } else { "block return".into() }];
    words.push(if rule.out { "out" } else { "in" }.into());
    words.extend(rule.log.then(|| "log (user)".into()));
    words.extend(rule.quick.then(|| "quick".into()));
    words.extend(rule.on.iter().map(|(not, on)| format!("on {}{on}", if *not { "! " } else { "" })));
    words.push(format!(
        "proto {proto} from any to {}",
        rule.to.as_ref().map_or("any".into(), |t| format!("<{t}>"))
    ));
    words.extend(port.map(|(first, last)| match (first, last) {
        // Ports print by the names of services(5).
        (443, 443) => "port = https".into(),
        (22, 22) => "port = ssh".into(),
        (first, last) if first == last => format!("port = {first}"),
        (first, last) => format!("port {first}:{last}"),
    }));
    words.push(format!("user = {}", rule.user));
    let flags = if proto == "tcp" { "flags S/SA keep state" } else { "keep state" };
    words.extend(rule.keep_state.then(|| flags.into()));
    words.extend(rule.tag.iter().map(|tag| format!("tag {tag}")));
    words.extend(rule.not_tagged.iter().map(|tag| format!("! tagged {tag}")));
    words.join(" ") + "\n"
}
