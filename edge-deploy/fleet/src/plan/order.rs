//! Whose turn it is first.

use std::collections::{BTreeMap, VecDeque};

use super::{Digest, Node};
use crate::label::Value;

/// In the order of a hash of the release and the node: another one for each release, so that not always the
/// same nodes are the canaries, and the same for each plan.
pub(super) fn shuffled<'n>(nodes: Vec<&'n Node>, release: &Digest) -> Vec<&'n Node> {
    let mut keyed: Vec<(Digest, &Node)> = nodes
        .into_iter()
        .map(|node| (Digest::of(&[release.as_str().as_bytes(), node.id.as_bytes()]), node))
        .collect();
    keyed.sort_by(|(a, one), (b, two)| (a, &one.id).cmp(&(b, &two.id)));
    keyed.into_iter().map(|(_, node)| node).collect()
}

/// Takes so many from the front; with `spread`, in turn from the values of that label.
pub(super) fn take<'n>(
    left: &mut Vec<&'n Node>,
    count: usize,
    spread: Option<&str>,
) -> Vec<&'n Node> {
    let Some(label) = spread else {
        let rest = left.split_off(count.min(left.len()));
        return std::mem::replace(left, rest);
    };
    // Sites in the order in which they first come up.
    let mut sites: Vec<VecDeque<usize>> = Vec::new();
    let mut known: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for (at, node) in left.iter().enumerate() {
        let value = node.labels.get(label).map(Value::to_string);
        let site = *known.entry(value).or_insert_with(|| {
            sites.push(VecDeque::new());
            sites.len() - 1
        });
        if let Some(site) = sites.get_mut(site) {
            site.push_back(at);
        }
    }
    let mut taken = vec![false; left.len()];
    let mut picked = Vec::new();
    while picked.len() < count && !sites.is_empty() {
        for site in &mut sites {
            let Some(at) = site.pop_front().filter(|_| picked.len() < count) else { continue };
            if let (Some(mark), Some(node)) = (taken.get_mut(at), left.get(at)) {
                *mark = true;
                picked.push(*node);
            }
        }
        sites.retain(|site| !site.is_empty());
    }
    let mut taken = taken.into_iter();
    left.retain(|_| !taken.next().unwrap_or(false));
    picked
}
