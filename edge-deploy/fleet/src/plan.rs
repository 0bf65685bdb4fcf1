//! Who gets a release in which wave, in what order; who does not, and why.
//!
//! A plan is a function of the rollout's manifest, the release and what is lasting about the fleet: names,
//! labels, versions, holds. Who happens to be away is no part of it. So two plans of the same fleet have
//! the same digest, and a digest that an operator has seen says what will happen.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::label::{Labels, Value};
use crate::manifest::{Fleet, Pick, Rollout, Wave};
use crate::version::{Needs, Version};
use crate::window::{Zone, zone};

mod digest;
mod order;

pub use digest::{Digest, Hasher, hex};

/// A node as the inventory knows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub id: String,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// Its gateway's version.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Bytes that are free on its disk.
    #[serde(default)]
    pub free_disk: Option<u64>,
    /// What it runs.
    #[serde(default)]
    pub runs: Option<Digest>,
    /// What it has rolled back.
    #[serde(default)]
    pub denied: Vec<Digest>,
}

/// A release as far as planning goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// What it is.
    pub digest: Digest,
    /// Of its own manifest, which every node takes.
    pub bytes: u64,
    /// What it consists of, with sizes.
    pub blobs: Vec<(Digest, u64)>,
    /// What the gateway must be.
    pub needs: Option<Needs>,
    /// Bytes that must be free.
    pub free_disk: u64,
}

/// Who gets it, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Of all that is below, but for `excluded`.
    pub digest: Digest,
    /// What is rolled out.
    pub content: Content,
    /// How.
    pub rollout: Rollout,
    /// Parts of `nodes`, in order.
    pub waves: Vec<Range<usize>>,
    /// In the order of their turn.
    pub nodes: Vec<Turn>,
    /// Nodes that share a budget.
    pub groups: Vec<Group>,
    /// Names of time zones.
    pub zones: Vec<String>,
    /// Targets that do not get it, and other nodes that were named: by name, with the reason.
    pub excluded: BTreeMap<String, Excluded>,
    /// What is probably not meant.
    pub warnings: Vec<String>,
}

/// A node in a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Its name.
    pub id: String,
    /// Whose budget it shares.
    pub group: usize,
    /// Whose time it has: an index of `zones`.
    pub zone: usize,
}

/// Nodes that share a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What they have in common.
    pub name: String,
    /// So many are in the plan.
    pub size: usize,
    /// So many may be away from their work.
    pub budget: usize,
}

/// Why a node does not get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Excluded {
    /// It is held: why.
    Held(String),
    /// It runs it.
    Current,
    /// It has rolled it back.
    Denied,
    /// Its gateway is another version: it has, it needs.
    Gateway(String, String),
    /// Its disk has too little room: it has, it needs.
    Disk(u64, u64),
    /// No window can be found for it: it has no time zone, or this one.
    Zone(Option<String>),
    /// No wave picks it.
    Unpicked,
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Excluded::Held(why) => write!(f, "held: {why}"),
            Excluded::Current => f.write_str("runs it"),
            Excluded::Denied => f.write_str("has rolled it back"),
            Excluded::Gateway(has, needs) => {
                write!(f, "its gateway is {has}, the release needs {needs}")
            }
            Excluded::Disk(has, needs) => write!(f, "{has} bytes free, {needs} are needed"),
            Excluded::Zone(None) => f.write_str("it has no label tz, and windows are in its time"),
            Excluded::Zone(Some(name)) => write!(f, "there is no time zone {name:?}"),
            Excluded::Unpicked => f.write_str("no wave picks it"),
        }
    }
}

impl Plan {
    /// Plans a rollout over these nodes.
    pub fn new(rollout: &Rollout, content: &Content, fleet: &Fleet, nodes: &[Node]) -> Plan {
        let mut plan = Plan {
            digest: Digest::default(),
            content: content.clone(),
            rollout: rollout.clone(),
            waves: Vec::new(),
            nodes: Vec::new(),
            groups: Vec::new(),
            zones: Vec::new(),
            excluded: BTreeMap::new(),
            warnings: plan_warnings(rollout, nodes),
        };
        let targets = nodes.iter().filter(|node| rollout.target.matches(&node.id, &node.labels));
        let mut fit = Vec::new();
        for node in targets {
            match excluded(rollout, content, fleet, node) {
                Some(why) => drop(plan.excluded.insert(node.id.clone(), why)),
                None => fit.push(node),
            }
        }
        let mut left = order::shuffled(fit, &content.digest);
        let all = left.len();
        let mut seats = Seats::default();
        for wave in &rollout.waves {
            let picked = pick(wave, all, &mut left);
            if picked.is_empty() {
                plan.warnings.push(format!("nobody is in wave {:?}", wave.name));
            }
            let begin = plan.nodes.len();
            for node in picked {
                let turn = plan.turn(node, &mut seats);
                plan.nodes.push(turn);
            }
            plan.waves.push(begin..plan.nodes.len());
        }
        for node in left {
            plan.excluded.insert(node.id.clone(), Excluded::Unpicked);
        }
        plan.digest = digest::of(&plan);
        plan
    }

    /// Takes in a node that enrolled after the plan was made. Its digest stays: it names what was agreed to.
    ///
    /// Errors: why it does not get it; `None` if it is no target, or already in it.
    pub fn join(&mut self, fleet: &Fleet, node: &Node) -> Result<usize, Option<Excluded>> {
        let known = self.nodes.iter().any(|turn| turn.id == node.id);
        if known || !self.rollout.target.matches(&node.id, &node.labels) {
            return Err(None);
        }
        if let Some(why) = excluded(&self.rollout, &self.content, fleet, node) {
            return Err(Some(why));
        }
        let mut seats = Seats::of(self);
        let turn = self.turn(node, &mut seats);
        self.nodes.push(turn);
        Ok(self.nodes.len() - 1)
    }

    /// What a node fetches, where `has` tells what it has.
    pub fn bytes(&self, has: impl Fn(&Digest) -> bool) -> u64 {
        let missing = self.content.blobs.iter().filter(|(digest, _)| !has(digest));
        self.content.bytes + missing.map(|(_, size)| size).sum::<u64>()
    }

    /// Which wave a node is in; late joiners are in none.
    pub fn wave(&self, node: usize) -> Option<usize> {
        self.waves.iter().position(|wave| wave.contains(&node))
    }

    /// A wave's name.
    pub fn wave_name(&self, wave: usize) -> &str {
        self.rollout.waves.get(wave).map_or("late", |wave| wave.name.as_str())
    }

    /// A node's seat: its budget's group grows by it.
    fn turn(&mut self, node: &Node, seats: &mut Seats) -> Turn {
        let budget = &self.rollout.pace.max_unavailable;
        let name = match &budget.per {
            None => "all".into(),
            Some(label) => match node.labels.get(label) {
                Some(Value::Text(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => format!("without {label}"),
            },
        };
        let group = *seats.groups.entry(name.clone()).or_insert_with(|| {
            self.groups.push(Group { name, size: 0, budget: 0 });
            self.groups.len() - 1
        });
        if let Some(group) = self.groups.get_mut(group) {
            group.size += 1;
            group.budget = budget.amount.of(group.size);
        }
        let name = zone_name(&self.rollout, node).unwrap_or_else(|| "UTC".into());
        let zone = *seats.zones.entry(name.clone()).or_insert_with(|| {
            self.zones.push(name);
            self.zones.len() - 1
        });
        Turn { id: node.id.clone(), group, zone }
    }
}

/// Names of groups and zones, with their places.
#[derive(Default)]
struct Seats {
    groups: HashMap<String, usize>,
    zones: HashMap<String, usize>,
}

impl Seats {
    fn of(plan: &Plan) -> Seats {
        let groups = plan.groups.iter().enumerate().map(|(at, group)| (group.name.clone(), at));
        let zones = plan.zones.iter().enumerate().map(|(at, name)| (name.clone(), at));
        Seats { groups: groups.collect(), zones: zones.collect() }
    }
}

/// The time zone that windows are in for a node.
fn zone_name(rollout: &Rollout, node: &Node) -> Option<String> {
    match &rollout.windows.as_ref()?.zone {
        Zone::Named(name) => Some(name.clone()),
        Zone::Site => match node.labels.get("tz") {
            Some(Value::Text(name)) => Some(name.clone()),
            _ => None,
        },
    }
}

/// Why a target does not get it.
fn excluded(rollout: &Rollout, content: &Content, fleet: &Fleet, node: &Node) -> Option<Excluded> {
    if let Some(why) = fleet.hold(&node.id) {
        return Some(Excluded::Held(why.into()));
    }
    if node.runs.as_ref() == Some(&content.digest) {
        return Some(Excluded::Current);
    }
    if !rollout.retry && node.denied.contains(&content.digest) {
        return Some(Excluded::Denied);
    }
    if let (Some(needs), Some(text)) = (&content.needs, &node.gateway)
        && !Version::parse(text).is_some_and(|version| needs.hold(&version))
    {
        return Some(Excluded::Gateway(text.clone(), needs.to_string()));
    }
    if let Some(free) = node.free_disk.filter(|free| *free < content.free_disk) {
        return Some(Excluded::Disk(free, content.free_disk));
    }
    rollout.windows.as_ref()?;
    match zone_name(rollout, node) {
        Some(name) if zone(&name).is_some() => None,
        other => Some(Excluded::Zone(other)),
    }
}

/// Takes a wave's nodes out of those that are left.
fn pick<'n>(wave: &Wave, all: usize, left: &mut Vec<&'n Node>) -> Vec<&'n Node> {
    match &wave.pick {
        Pick::Rest => std::mem::take(left),
        Pick::Where(selector) => {
            let is_meant = |node: &&Node| selector.matches(&node.id, &node.labels);
            let (picked, rest) = std::mem::take(left).into_iter().partition(is_meant);
            *left = rest;
            picked
        }
        Pick::Count { count, spread } => order::take(left, *count, spread.as_deref()),
        Pick::Percent { share, spread } => {
            order::take(left, (all as f64 * share).ceil() as usize, spread.as_deref())
        }
    }
}

/// Labels that no node has are probably misspelt.
fn plan_warnings(rollout: &Rollout, nodes: &[Node]) -> Vec<String> {
    let known: std::collections::BTreeSet<&str> =
        nodes.iter().flat_map(|node| node.labels.keys().map(String::as_str)).collect();
    let mut names = rollout.target.names();
    for wave in &rollout.waves {
        match &wave.pick {
            Pick::Where(selector) => names.extend(selector.names()),
            Pick::Count { spread, .. } | Pick::Percent { spread, .. } => {
                names.extend(spread.as_deref());
            }
            Pick::Rest => {}
        }
    }
    names.extend(rollout.pace.max_unavailable.per.as_deref());
    names.retain(|name| *name != "id" && !known.contains(name));
    names.sort_unstable();
    names.dedup();
    let say = |name: &str| {
        let close = pilotlight_config::typed::closest(name, known.iter().copied());
        let hint = close.map(|close| format!("; did you mean {close:?}?")).unwrap_or_default();
        format!("no node has a label {name:?}{hint}")
    };
    names.into_iter().map(say).collect()
}

#[cfg(test)]
pub(crate) mod tests;
