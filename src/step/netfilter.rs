//! The agent's chains and sets in iptables(8) and ip6tables(8), and the jumps to them at the head of OUTPUT.
//!
//! Sets first, by one `ipset restore` that swaps; then one `iptables-restore --noflush` transaction a family, the jumps with
//! it: another tool that flushes meanwhile comes before it or after it, not in between. A packet meets the old rules or the new ones, never none. The jumps of all agents stand as one block from
//! position 1, for a rule of somebody else in front of them could accept everything.

use super::{Check, Description, Layer, Step, Undo, carried::carried};
use crate::{
    formats::{ipset, iptables},
    host::{Act, Command, CommandError, HostError, Jump, Observe, Program, Query},
    model::{AbsPath, Family, desired::Firewall},
};
use serde::{Deserialize, Serialize};
use std::{fmt::Write, process::Output};

/// The firewall of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netfilter {
    /// What it lets out.
    pub firewall: Firewall,
    /// The families that the kernel has.
    pub families: Vec<Family>,
    /// Where the DNS gate keeps what it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AbsPath>,
}

/// What is in force in one family.
struct Present {
    chains: iptables::Chains,
    output: Vec<String>,
}

impl Netfilter {
    fn present(&self, family: Family, machine: &dyn Observe) -> Result<Present, HostError> {
        let table = text(&Query::FilterTable(family), machine)?;
        Ok(Present { chains: iptables::parse(&table, self.firewall.uid), output: iptables::output(&table) })
    }

    /// The agent's jumps as they stand in OUTPUT: position from 1, and which of those that belong there. One that does not
    /// belong there any more, such as that of a range of sub-uids which is gone, is told by its target.
    fn our_jumps(&self, output: &[String]) -> Vec<(usize, Option<usize>)> {
        let main = format!("AU_{}", self.firewall.uid);
        let wanted: Vec<_> = iptables::jumps(&self.firewall).iter().map(|rule| normal(rule)).collect();
        let ours =
            |rule: &String| target(rule).strip_prefix(&main).is_some_and(|rest| matches!(rest, "" | "_LO"));
        let which = |rule: &String| wanted.iter().position(|wanted| *wanted == normal(rule));
        let rules = output.iter().enumerate().filter(|(_, rule)| ours(rule));
        rules.map(|(at, rule)| (at + 1, which(rule))).collect()
    }

    /// Whether our jumps are all there, once, in order, with no foreign rule before the last of them.
    pub(crate) fn jumps_hold(&self, output: &[String]) -> bool {
        let jumps = self.our_jumps(output);
        let order: Vec<_> = jumps.iter().map(|(_, which)| *which).collect();
        let last = jumps.last().map_or(0, |(at, _)| *at);
        order == (0..iptables::jumps(&self.firewall).len()).map(Some).collect::<Vec<_>>()
            && output[..last].iter().all(|rule| is_agentusers(rule))
    }

    fn jump_faults(&self, family: Family, output: &[String]) -> Vec<String> {
        if self.jumps_hold(output) {
            return vec![];
        }
        let jumps = self.our_jumps(output);
        let last = jumps.last().map_or(0, |(at, _)| *at);
        let mut faults: Vec<_> = (output[..last].iter().enumerate())
            .filter(|(_, rule)| !is_agentusers(rule))
            .map(|(at, rule)| {
                format!("{family}: `-A OUTPUT {rule}` stands at position {}, in front of the jump", at + 1)
            })
            .collect();
        if faults.is_empty() {
            faults.push(format!("{family}: the jumps from OUTPUT are not as they should be"));
        }
        faults
    }

    fn chain_faults(&self, family: Family, chains: &iptables::Chains) -> Vec<String> {
        let wanted = iptables::parse(&iptables::render(&self.firewall, family), self.firewall.uid);
        if wanted == *chains {
            return vec![];
        }
        let missing = wanted.rules.iter().filter(|rule| !chains.rules.contains(rule));
        let added = chains.rules.iter().filter(|rule| !wanted.rules.contains(rule));
        let mut faults: Vec<_> =
            missing.map(|rule| format!("{family}: missing: {}", rule.join(" "))).collect();
        faults.extend(added.map(|rule| format!("{family}: added: {}", rule.join(" "))));
        if faults.len() > 4 || faults.is_empty() {
            return vec![format!(
                "{family}: {} of {} rules are as they should be",
                wanted.rules.len().saturating_sub(faults.len()),
                wanted.rules.len()
            )];
        }
        faults
    }

    fn set_faults(&self, machine: &dyn Observe) -> Result<Vec<String>, HostError> {
        let wanted = ipset::sets(&self.firewall);
        let there = ipset::parse(&text(&Query::Sets, machine)?, self.firewall.uid);
        let mut faults = Vec::new();
        for set in &wanted {
            match there.iter().find(|(name, _)| *name == set.name) {
                None => faults.push(format!("set {} is missing", set.name)),
                Some((_, elements)) if *elements != set.elements && !set.holds_answers() => {
                    let gone = set.elements.difference(elements).count();
                    let added = elements.difference(&set.elements).count();
                    faults.push(format!("set {}: {gone} entries missing, {added} added", set.name));
                }
                Some(_) => {}
            }
        }
        let stale = there.iter().filter(|(name, _)| wanted.iter().all(|set| set.name != *name));
        faults.extend(stale.map(|(name, _)| format!("set {name} is left over")));
        Ok(faults)
    }

    /// Whether packets of the account could have left unjudged: then what runs may hold flows that no rule allowed.
    fn is_void(&self, present: &Present) -> bool {
        let refuse = iptables::normal(&format!("AU_{0} -j AU_{0}_NO", self.firewall.uid));
        !self.jumps_hold(&present.output)
            || !(present.chains.rules.contains(&refuse) || self.firewall.outbound_allowed)
            || present.chains.names.len() != iptables::CHAINS.len()
    }

    /// The transaction that replaces the chains of one family, and puts the jumps in front of `output` where they don't hold.
    pub(crate) fn transaction(&self, family: Family, output: &[String]) -> Command {
        let mut jumps = String::new();
        for (at, rule) in iptables::jumps(&self.firewall).iter().enumerate() {
            let _ = writeln!(jumps, "-I OUTPUT {} {rule}", at + 1);
        }
        let rules = iptables::render(&self.firewall, family);
        let jumps = if self.jumps_hold(output) { "" } else { &jumps };
        restore(family, rules.replacen("COMMIT\n", &format!("{jumps}COMMIT\n"), 1))
    }

    /// Removes what the jumps in front double, from the end.
    fn remove_doubles(&self, family: Family, machine: &mut dyn Act) -> Result<(), HostError> {
        let now = machine.output_chain(family)?;
        if self.jumps_hold(&now) {
            return Ok(());
        }
        let ours = iptables::jumps(&self.firewall);
        let found = self.our_jumps(&now);
        let in_front = (0..ours.len()).all(|index| found.get(index) == Some(&(index + 1, Some(index))));
        if !in_front {
            // Somebody else is at work as well; whoever looks next finds it so.
            return Ok(());
        }
        for (at, _) in found.into_iter().rev().filter(|(at, _)| *at > ours.len()) {
            machine.jump(family, &Jump::Remove(u32::try_from(at).unwrap_or(u32::MAX)))?;
        }
        Ok(())
    }

    /// The rules of both families; where they don't load, those of the families before are put back.
    fn load(&self, machine: &mut dyn Act) -> Result<(), HostError> {
        let mut before: Vec<(Family, String)> = Vec::new();
        for family in &self.families {
            let old = text(&Query::FilterTable(*family), machine.observe())?;
            if let Err(error) = machine.run(&self.transaction(*family, &iptables::output(&old))) {
                for (family, old) in before {
                    let _ = machine.run(&restore(family, chains_of(&old, &self.firewall)));
                }
                return Err(error);
            }
            before.push((*family, old));
        }
        Ok(())
    }

    fn destroy_sets(&self, machine: &mut dyn Act, keep: &[String]) -> Result<(), HostError> {
        let there = ipset::parse(&text(&Query::Sets, machine.observe())?, self.firewall.uid);
        let stale =
            there.iter().filter(|(name, _)| !keep.contains(name)).map(|(name, _)| format!("destroy {name}"));
        let stale = stale.collect::<Vec<_>>().join("\n");
        if stale.is_empty() {
            Ok(())
        } else {
            machine.run(&Command::new(Program::Ipset, ["restore"]).reading(stale + "\n"))
        }
    }
}

/// The agent's chains, cut out of a saved table.
fn chains_of(saved: &str, firewall: &Firewall) -> String {
    let main = format!("AU_{}", firewall.uid);
    let ours = |line: &&str| {
        let name =
            line.trim_start_matches(':').trim_start_matches("-A ").split(' ').next().unwrap_or_default();
        name == main || name.strip_prefix(&main).is_some_and(|rest| rest.starts_with('_'))
    };
    let lines: Vec<_> = saved.lines().filter(ours).collect();
    format!("*filter\n{}\nCOMMIT\n", lines.join("\n"))
}

/// One transaction of iptables-restore(8).
pub(super) fn restore(family: Family, rules: String) -> Command {
    let program = match family {
        Family::V4 => Program::IptablesRestore,
        Family::V6 => Program::Ip6tablesRestore,
    };
    Command::new(program, ["--noflush", "--wait", "5"]).reading(rules)
}

/// A rule of OUTPUT in normal form.
fn normal(rule: &str) -> Vec<String> {
    iptables::normal(&format!("OUTPUT {rule}"))
}

/// The target of a rule of OUTPUT.
fn target(rule: &str) -> &str {
    rule.split_ascii_whitespace().skip_while(|word| *word != "-j").nth(1).unwrap_or_default()
}

/// Whether a rule of OUTPUT jumps to a chain of some agent.
fn is_agentusers(rule: &str) -> bool {
    let uid = target(rule)
        .strip_prefix("AU_")
        .map(|rest| rest.strip_suffix("_LO").unwrap_or(rest))
        .unwrap_or_default();
    !uid.is_empty() && uid.bytes().all(|b| b.is_ascii_digit())
}

/// What a query prints; it must succeed.
pub(super) fn text(query: &Query, machine: &dyn Observe) -> Result<String, HostError> {
    let output: Output = machine.query(query)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(HostError::Command(CommandError::Failed {
        command: format!("{query:?}"),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().escape_debug().to_string(),
    }))
}

impl Step for Netfilter {
    fn id(&self) -> String {
        format!("netfilter:{}", self.firewall.uid)
    }

    fn describe(&self) -> Description {
        let uid = self.firewall.uid;
        let sets = ipset::render(&ipset::sets(&self.firewall));
        let mut change = vec![format!("ipset restore ({} lines)", sets.lines().count())];
        for family in &self.families {
            let rules = iptables::parse(&iptables::render(&self.firewall, *family), uid).rules.len();
            change.push(format!("{} ({rules} rules)", restore(*family, String::new()).line()));
        }
        change.extend(
            iptables::jumps(&self.firewall)
                .iter()
                .enumerate()
                .map(|(at, rule)| format!("iptables -I OUTPUT {} {rule}", at + 1)),
        );
        Description {
            layer: Layer::Network,
            title: format!("firewall of uid {uid}: {}", summary(&self.firewall)),
            why: "the agent reaches what the policy lists, and nothing else",
            change,
        }
    }

    fn check(&self, machine: &dyn Observe) -> Result<Check, HostError> {
        let mut faults = self.set_faults(machine)?;
        let mut anything = ipset::sets(&self.firewall).len() != faults.len();
        for family in &self.families {
            let present = self.present(*family, machine)?;
            anything |= !present.chains.names.is_empty();
            faults.extend(self.jump_faults(*family, &present.output));
            faults.extend(self.chain_faults(*family, &present.chains));
        }
        Ok(if anything { Check::of(faults) } else { Check::Missing })
    }

    fn capture(&self, _: &dyn Observe) -> Result<Undo, HostError> {
        Ok(Undo::Nothing)
    }

    fn apply(&self, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        let mut void = false;
        for family in &self.families {
            void |= self.is_void(&self.present(*family, machine.observe())?);
        }
        if void {
            machine.end_processes(self.firewall.uid, &self.firewall.sub_uids)?;
        }
        let sets = ipset::sets(&self.firewall);
        let answers = carried(self.answers.as_ref(), &self.firewall, machine.observe())?;
        let input = ipset::render(&sets) + &ipset::render_answers(&answers);
        machine.run(&Command::new(Program::Ipset, ["restore"]).reading(input))?;
        self.load(machine)?;
        for family in &self.families {
            self.remove_doubles(*family, machine)?;
        }
        if void {
            machine.end_processes(self.firewall.uid, &self.firewall.sub_uids)?;
        }
        self.destroy_sets(machine, &sets.into_iter().map(|set| set.name).collect::<Vec<_>>())?;
        Ok(vec![])
    }

    fn revert(&self, _: &Undo, machine: &mut dyn Act) -> Result<Vec<String>, HostError> {
        machine.end_processes(self.firewall.uid, &self.firewall.sub_uids)?;
        for family in &self.families {
            let present = self.present(*family, machine.observe())?;
            let jumps: Vec<_> = self
                .our_jumps(&present.output)
                .into_iter()
                .map(|(at, _)| present.output[at - 1].clone())
                .collect();
            if !(jumps.is_empty() && present.chains.names.is_empty()) {
                machine.run(&restore(*family, iptables::render_removal(&jumps, &present.chains.names)))?;
            }
        }
        self.destroy_sets(machine, &[])?;
        Ok(vec![])
    }
}

/// What a firewall lets out, in a few words.
pub(super) fn summary(firewall: &Firewall) -> String {
    let nets: usize = firewall.allow.iter().map(|to| to.nets.len()).sum();
    let out = if firewall.outbound_allowed {
        "everything but denied addresses allowed".to_owned()
    } else if nets == 0 {
        "nothing allowed".to_owned()
    } else {
        format!("{nets} network{} allowed", if nets == 1 { "" } else { "s" })
    };
    if firewall.loopback.is_empty() { out } else { format!("{out}, loopback ports {}", firewall.loopback) }
}
