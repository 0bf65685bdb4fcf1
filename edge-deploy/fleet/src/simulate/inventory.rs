//! Nodes that are made up so that a target means them.

use super::chance::Chance;
use crate::label::{Labels, Value};
use crate::plan::Node;
use crate::selector::{Order, Selector};

/// Places on earth, with their time.
const PLACES: [(&str, &str); 6] = [
    ("DE", "Europe/Berlin"),
    ("CH", "Europe/Zurich"),
    ("US", "America/New_York"),
    ("BR", "America/Sao_Paulo"),
    ("IN", "Asia/Kolkata"),
    ("JP", "Asia/Tokyo"),
];

/// So many nodes, a hundred a site, with labels `site`, `country`, `tz` and what the target asks for. Those that
/// the target does not mean all the same are there, too: its own contradictions are not ours to solve.
pub fn inventory(count: usize, target: &Selector, seed: u64) -> Vec<Node> {
    let mut chance = Chance::new(seed);
    let sites = count.div_ceil(100).max(1);
    let node = |at: usize| {
        let site = chance.of(sites);
        let (country, tz) = PLACES[site % PLACES.len()];
        let mut labels: Labels = [
            ("site", format!("site-{site}").as_str().into()),
            ("country", country.into()),
            ("tz", tz.into()),
            ("ram_mb", Value::Number(512.0 * (1 << chance.of(5)) as f64)),
        ]
        .map(|(name, value): (&str, Value)| (name.to_owned(), value))
        .into();
        let id = format!("node-{at:06}");
        if !target.matches(&id, &labels) {
            satisfy(target, true, &mut labels, &mut chance);
        }
        Node { id, labels, ..Node::default() }
    };
    (0..count).map(node).collect()
}

/// Sets labels so that `selector` is as wanted, where that can be seen part by part.
fn satisfy(selector: &Selector, wanted: bool, labels: &mut Labels, chance: &mut Chance) {
    let mut set = |name: &str, value: Value| drop(labels.insert(name.into(), value));
    match selector {
        Selector::Flag(name) => set(name, Value::Flag(wanted)),
        Selector::In(name, values) if wanted => {
            if let Some(value) = values.get(chance.of(values.len())) {
                set(name, value.clone());
            }
        }
        Selector::In(name, _) => set(name, "other".into()),
        Selector::Compare(name, order, value) => match (order, value, wanted) {
            (Order::Equal, ..) if wanted => set(name, value.clone()),
            (Order::Unequal, ..) if !wanted => set(name, value.clone()),
            (Order::Equal | Order::Unequal, ..) => set(name, "other".into()),
            (order, Value::Number(number), _) => {
                let more = matches!(order, Order::More | Order::AtLeast) == wanted;
                set(name, Value::Number(number + if more { 1.0 } else { -1.0 }));
            }
            _ => {}
        },
        Selector::Not(inner) => satisfy(inner, !wanted, labels, chance),
        Selector::All(parts) | Selector::Any(parts) => {
            if matches!(selector, Selector::All(_)) == wanted {
                for part in parts {
                    satisfy(part, wanted, labels, chance);
                }
            } else if let Some(part) = parts.get(chance.of(parts.len())) {
                satisfy(part, wanted, labels, chance);
            }
        }
    }
}
