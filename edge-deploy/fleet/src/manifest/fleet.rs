//! `fleet.toml`: values for `${fleet:NAME}` in gateway manifests, and nodes that are held.

use std::collections::BTreeMap;
use std::path::Path;

use pilotlight_config::typed::{Named, Whole, tables};
use serde::{Deserialize, Serialize};

use super::{Expression, From, Parsed, Scalar, kind, named, place};
use crate::label::{Labels, Value};
use crate::selector::Selector;

/// Values: those of the fleet, then of groups by priority, then of a node; the last one counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// Of all nodes.
    pub vars: BTreeMap<String, Value>,
    /// Of some, the lowest priority first.
    pub groups: Vec<Group>,
    /// Of one, by its name.
    pub nodes: BTreeMap<String, Override>,
}

/// Values of some nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Which nodes.
    pub r#match: Selector,
    /// A higher one counts more.
    pub priority: u64,
    /// The values.
    pub vars: BTreeMap<String, Value>,
}

/// What is said of one node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Override {
    /// Why no rollout may touch it.
    pub hold: Option<String>,
    /// Its values.
    pub vars: BTreeMap<String, Value>,
}

tables! {
    /// Values for `${fleet:NAME}` in gateway manifests.
    struct Typed needs [kind] {
        /// "fleet"
        kind: String,
        /// Values of all nodes.
        vars: Named<Scalar>,
        /// Values of some nodes, by the group's name.
        groups: Named<TypedGroup>,
        /// What is said of single nodes, by their names.
        nodes: Named<TypedNode>,
    }

    /// Values of some nodes.
    struct TypedGroup needs [r#match] {
        /// A condition on labels.
        r#match: Expression,
        /// A higher one counts more; two groups with the same may not meet on a node. Default 0.
        priority: Whole,
        /// The values.
        vars: Named<Scalar>,
    }

    /// What is said of a node.
    struct TypedNode {
        /// Why no rollout may touch it.
        hold: String,
        /// Its values.
        vars: Named<Scalar>,
    }
}

impl Fleet {
    /// Reads `fleet.toml`.
    pub fn parse(text: &str, file: &Path, from: From<'_>) -> Parsed<Fleet> {
        let (typed, mut scene) = from.open::<Typed>(text, file)?;
        kind(typed.kind.as_ref(), "fleet", &mut scene);
        let mut groups = Vec::new();
        for (name, group) in typed.groups.map(|groups| groups.value.0).unwrap_or_default() {
            scene.name(&name, "group");
            let group = group.value;
            let Some(matches) = group.r#match else { continue };
            groups.push(Group {
                name: name.value,
                r#match: matches.value.0,
                priority: group.priority.map_or(0, |priority| priority.value.0),
                vars: named(group.vars, |value| value.0),
            });
        }
        groups.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        let mut nodes = BTreeMap::new();
        for (name, node) in typed.nodes.map(|nodes| nodes.value.0).unwrap_or_default() {
            let node = node.value;
            if node.hold.as_ref().is_some_and(|hold| hold.trim().is_empty()) {
                let hint = "status shows it to whoever wonders".to_owned();
                scene.error(place(node.hold.as_ref()), "a hold needs its reason", Some(hint));
            }
            let hold = node.hold.map(|hold| hold.value);
            nodes.insert(name.value, Override { hold, vars: named(node.vars, |value| value.0) });
        }
        let vars = named(typed.vars, |value| value.0);
        scene.finish(Fleet { vars, groups, nodes })
    }

    /// The values of a node. Errors: two groups of the same priority disagree about one: their names, and
    /// its.
    pub fn vars(
        &self,
        id: &str,
        labels: &Labels,
    ) -> Result<BTreeMap<String, Value>, (String, String, String)> {
        let mut vars = self.vars.clone();
        let mut from: BTreeMap<&str, &Group> = BTreeMap::new();
        for group in self.groups.iter().filter(|group| group.r#match.matches(id, labels)) {
            for (name, value) in &group.vars {
                let other = from.insert(name, group);
                let other = other.filter(|other| other.priority == group.priority);
                if let Some(other) = other.filter(|other| other.vars.get(name) != Some(value)) {
                    return Err((other.name.clone(), group.name.clone(), name.clone()));
                }
                vars.insert(name.clone(), value.clone());
            }
        }
        if let Some(node) = self.nodes.get(id) {
            vars.extend(node.vars.clone());
        }
        Ok(vars)
    }

    /// Why no rollout may touch a node.
    pub fn hold(&self, id: &str) -> Option<&str> {
        self.nodes.get(id)?.hold.as_deref()
    }
}
