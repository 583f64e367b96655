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
    /// Where it goes instead: interface and next hop.
    pub(crate) route_to: Option<(String, IpAddr)>,
    /// Whether it is about IPv6; none is both families.
    pub(crate) v6: Option<bool>,
    pub(crate) protos: Vec<String>,
    /// A table; none is every address.
    pub(crate) to: Option<String>,
    pub(crate) ports: Vec<(u16, u16)>,
    /// None is every user's: then it is by a tag.
    pub(crate) user: Option<u32>,
    pub(crate) keep_state: bool,
    pub(crate) tag: Option<String>,
    pub(crate) tagged: Option<String>,
    pub(crate) not_tagged: Option<String>,
}

/// A rule of redirection, whose packets no filter rule judges any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) on: String,
    pub(crate) v6: bool,
    pub(crate) protos: Vec<String>,
    pub(crate) port: u16,
    pub(crate) tagged: String,
    pub(crate) to: (IpAddr, u16),
}

/// An anchor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) tables: BTreeMap<String, Vec<IpNet>>,
    pub(crate) turns: Vec<Turn>,
    pub(crate) rules: Vec<Rule>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Refused,
    Through,
    /// It is for this port of the machine.
    Turned(u16),
    /// It was sent to an interface on which nobody waits for it.
    Lost,
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
            // Rules come after tables and those of translation before those of filtering, as pfctl's `require-order` wants it.
            Some(&"table") if anchor.rules.is_empty() && anchor.turns.is_empty() => {
                table(&mut words, &mut anchor)?;
            }
            Some(&"rdr") if anchor.rules.is_empty() => anchor.turns.push(turn(&mut words)?),
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
    let mut nets = vec![];
    // Such a table is emptied by a load, and one without a list keeps what it has.
    if words.take("{") && !words.take("}") {
        nets.push(words.next()?);
        while words.take(",") {
            nets.push(words.next()?);
        }
        words.expect("}")?;
    }
    let net = |text: &str| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let nets = nets.into_iter().map(|text| net(text).ok_or_else(|| words.error()));
    anchor.tables.insert(name, nets.collect::<Result<_, _>>()?);
    Ok(())
}

fn family(words: &mut Words) -> Option<bool> {
    if words.take("inet") {
        return Some(false);
    }
    words.take("inet6").then_some(true)
}

fn turn(words: &mut Words) -> Result<Turn, String> {
    for word in ["rdr", "pass", "on"] {
        words.expect(word)?;
    }
    let on = words.next()?.to_owned();
    let v6 = family(words).ok_or_else(|| words.error())?;
    words.expect("proto")?;
    let protos = words.list()?.into_iter().map(str::to_owned).collect();
    for word in ["from", "any", "to", "any", "port"] {
        words.expect(word)?;
    }
    let port = words.next()?.parse().map_err(|_| words.error())?;
    // It knows no user.
    words.expect("tagged")?;
    let tagged = words.next()?.to_owned();
    words.expect("->")?;
    let address: IpAddr = words.next()?.parse().map_err(|_| words.error())?;
    words.expect("port")?;
    let to = words.next()?.parse().map_err(|_| words.error())?;
    if address.is_ipv6() != v6 || tagged.len() >= 64 {
        return Err(words.error());
    }
    Ok(Turn { on, v6, protos, port, tagged, to: (address, to) })
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
    let mut route_to = None;
    if words.take("route-to") {
        let interface = words.next()?.strip_prefix('(').ok_or_else(|| words.error())?.to_owned();
        let hop = words.next()?.strip_suffix(')').and_then(|hop| hop.parse::<IpAddr>().ok());
        route_to = Some((interface, hop.ok_or_else(|| words.error())?));
    }
    let v6 = family(words);
    // A next hop is of one family.
    if route_to.as_ref().is_some_and(|(_, hop)| v6 != Some(hop.is_ipv6())) {
        return Err(words.error());
    }
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
    let by_tag = words.left.peek() == Some(&"tagged");
    let user = if by_tag {
        None
    } else {
        words.expect("user")?;
        Some(words.next()?.parse().map_err(|_| words.error())?)
    };
    let keep_state = words.take("keep");
    if keep_state {
        words.expect("state")?;
    }
    let label = |words: &mut Words| {
        let text = words.next()?.to_owned();
        if text.len() < 64 { Ok(text) } else { Err(words.error()) }
    };
    let tag = if words.take("tag") { Some(label(words)?) } else { None };
    let tagged = if words.take("tagged") { Some(label(words)?) } else { None };
    let not_tagged = if words.take("!") {
        words.expect("tagged")?;
        Some(label(words)?)
    } else {
        None
    };
    Ok(Rule {
        pass,
        out,
        log,
        quick,
        on,
        route_to,
        v6,
        protos,
        to,
        ports,
        user,
        keep_state,
        tag,
        tagged,
        not_tagged,
    })
}

impl Anchor {
    /// What becomes of a packet; where no rule of the anchor matches it is let through. The last rule that matches decides, a
    /// quick one at once; a tag is set as soon as its rule matches, and stays with the packet.
    pub(crate) fn fate(&self, packet: &Packet) -> Fate {
        let mut tags = Vec::new();
        let (verdict, route) = self.judge(packet, &mut tags);
        if !verdict {
            return Fate::Refused;
        }
        let on = route.map_or(packet.on, |(interface, _)| interface.as_str());
        if !packet.out || on != "lo0" {
            return if route.is_some() { Fate::Lost } else { Fate::Through };
        }
        // What leaves by lo0 comes in there.
        let turn = self.turns.iter().find(|turn| {
            turn.on == on
                && turn.v6 == packet.to.is_ipv6()
                && turn.port == packet.port
                && turn.protos.iter().any(|proto| proto == packet.proto)
                && tags.contains(&turn.tagged.as_str())
        });
        // Who listens is somebody else here.
        let comes_in = Packet { out: false, on: "lo0", user: u32::MAX, ..packet.clone() };
        match (turn, route) {
            (Some(turn), _) => Fate::Turned(turn.to.1),
            _ if !self.judge(&comes_in, &mut tags).0 => Fate::Refused,
            (None, Some(_)) => Fate::Lost,
            (None, None) => Fate::Through,
        }
    }

    /// Whether rules of filtering let a packet pass, and where it goes instead.
    fn judge<'a>(&'a self, packet: &Packet, tags: &mut Vec<&'a str>) -> (bool, Option<&'a (String, IpAddr)>) {
        let (mut verdict, mut route) = (true, None);
        for rule in &self.rules {
            let in_table = |table: &String| self.tables[table].iter().any(|net| net.contains(&packet.to));
            let matches = rule.out == packet.out
                && rule.user.is_none_or(|user| user == packet.user)
                && rule.tagged.as_deref().is_none_or(|tag| tags.contains(&tag))
                && rule.on.as_ref().is_none_or(|(not, on)| (on == packet.on) != *not)
                && rule.v6.is_none_or(|v6| v6 == packet.to.is_ipv6())
                && rule.protos.iter().any(|proto| proto == packet.proto)
                && rule.to.as_ref().is_none_or(in_table)
                && (rule.ports.is_empty() || rule.ports.iter().any(|(a, b)| (a..=b).contains(&&packet.port)))
                && rule.not_tagged.as_deref().is_none_or(|tag| !tags.contains(&tag));
            if !matches {
                continue;
            }
            (verdict, route) = (rule.pass, rule.route_to.as_ref());
            tags.extend(rule.tag.as_deref());
            if rule.quick {
                break;
            }
        }
        (verdict, route)
    }

    /// `pfctl -sn`.
    pub(crate) fn listed_turns(&self) -> String {
        let mut text = String::new();
        for turn in &self.turns {
            for proto in &turn.protos {
                let (family, (to, port)) = (if turn.v6 { "inet6" } else { "inet" }, turn.to);
                let service = if turn.port == 53 { "domain".to_owned() } else { turn.port.to_string() };
                text += &format!(
                    "rdr pass on {} {family} proto {proto} from any to any port = {service} tagged {} -> {to} port {port}\n",
                    turn.on, turn.tagged
                );
            }
        }
        text
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
    words.extend(rule.route_to.iter().map(|(interface, hop)| format!("route-to ({interface} {hop})")));
    words.extend(rule.v6.map(|v6| if v6 { "inet6" } else { "inet" }.into()));
    words.push(format!(
        "proto {proto} from any to {}",
        rule.to.as_ref().map_or("any".into(), |t| format!("<{t}>"))
    ));
    words.extend(port.map(|(first, last)| match (first, last) {
        // Ports print by the names of services(5).
        (443, 443) => "port = https".into(),
        (22, 22) => "port = ssh".into(),
        (53, 53) => "port = domain".into(),
        (first, last) if first == last => format!("port = {first}"),
        (first, last) => format!("port {first}:{last}"),
    }));
    words.extend(rule.user.map(|user| format!("user = {user}")));
    let flags = if proto == "tcp" { "flags S/SA keep state" } else { "keep state" };
    words.extend(rule.keep_state.then(|| flags.into()));
    words.extend(rule.tag.iter().map(|tag| format!("tag {tag}")));
    words.extend(rule.tagged.iter().map(|tag| format!("tagged {tag}")));
    words.extend(rule.not_tagged.iter().map(|tag| format!("! tagged {tag}")));
    words.join(" ") + "\n"
}
