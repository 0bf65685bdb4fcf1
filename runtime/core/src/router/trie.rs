//! All path patterns of all hosts in one radix tree.
//!
//! ```text
//!   "/" ── "users/" ──*── "/posts"        a node: label, children by their first byte,
//!    │         └ rest: /users/*           exact: rules that end here,
//!    └── "img/logo"                       rest: rules that take all that follows,
//!                                         star: the tree behind one segment
//! ```
//! A search goes down the literals as far as they fit, then back up over the nodes that hold a
//! wildcard (`up` links them). Only a star recurses, and every node is looked at once at most.

use pilotlight_config::manifest::PathRegex;

use super::Query;
use super::captures::Captures;
use super::host::Table;
use super::pattern::Pattern;
use super::rule::Rule;

const NONE: u32 = u32::MAX;

/// The tree, flat: siblings lie side by side.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// The first byte of each node's label.
    firsts: Vec<u8>,
    labels: Vec<u8>,
    /// Ranks, ascending in each node's spans.
    ranks: Vec<u32>,
    /// By table of hosts.
    roots: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    label: Span,
    children: Span,
    exact: Span,
    rest: Span,
    star: u32,
    /// The lowest rank behind `star`.
    star_best: u32,
    /// The lowest rank of `rest`.
    rest_best: u32,
    /// Bytes from the root of this literal part of the tree to the end of the label.
    depth: u32,
    /// The nearest node above, in the same part, with `rest` or `star`.
    up: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[inline]
    fn of<T>(self, list: &[T]) -> &[T] {
        &list[self.start as usize..self.end as usize]
    }
}

impl Trie {
    #[inline]
    fn child(&self, node: &Node, byte: u8) -> Option<u32> {
        let firsts = node.children.of(&self.firsts);
        let at = firsts.iter().position(|first| *first == byte)?;
        Some(node.children.start + at as u32)
    }
}

/// One look-up.
pub(super) struct Search<'s, 'q> {
    trie: &'s Trie,
    rules: &'s [Rule],
    query: &'s Query<'q>,
    /// The lowest rank that fits so far.
    best: u32,
    captures: Captures,
    /// What the stars on the way here matched.
    open: Captures,
}

impl<'s, 'q> Search<'s, 'q> {
    pub(super) fn new(trie: &'s Trie, rules: &'s [Rule], query: &'s Query<'q>) -> Self {
        let captures = Captures::default();
        Search { trie, rules, query, best: NONE, captures, open: captures }
    }

    /// Looks for the most specific rule of a table.
    #[inline]
    pub(super) fn run(&mut self, table: Table) {
        if let Some(root) = self.trie.roots.get(table as usize) {
            self.walk(*root, 0);
        }
    }

    /// Looks through regular expressions, in the order of their ranks.
    pub(super) fn scan(&mut self, expressions: &[(u32, PathRegex)]) {
        for (rank, regex) in expressions {
            if *rank >= self.best {
                return;
            }
            if !self.rules[*rank as usize].fits(self.query) {
                continue;
            }
            let mut captures = Captures::default();
            if regex.captures(self.query.path, |group| captures.push(group.start, group.end)) {
                (self.best, self.captures) = (*rank, captures);
            }
        }
    }

    /// The rule of the lowest rank that fits, and what its wildcards or groups matched.
    #[inline]
    pub(super) fn found(&self) -> Option<(&'s Rule, &Captures)> {
        Some((self.rules.get(self.best as usize)?, &self.captures))
    }

    /// Looks through the literal part of the tree below `root`, which stands at `base` in the path.
    fn walk(&mut self, root: u32, base: usize) {
        let (trie, path) = (self.trie, self.query.path);
        let mut node = &trie.nodes[root as usize];
        let mut rest = &path[base..];
        loop {
            let Some(first) = rest.first() else {
                self.offer(node.exact);
                break;
            };
            let Some(child) = trie.child(node, *first) else { break };
            let child = &trie.nodes[child as usize];
            // The first byte is compared already, and often all there is.
            let (label, after) = (child.label.of(&trie.labels), &rest[1..]);
            if label.len() == 1 {
                (node, rest) = (child, after);
                continue;
            }
            let Some(after) = after.strip_prefix(&label[1..]) else { break };
            (node, rest) = (child, after);
        }
        loop {
            let at = base + node.depth as usize;
            if node.star_best < self.best {
                let end = memchr::memchr(b'/', &path[at..]).map_or(path.len(), |len| at + len);
                // A star stands for a segment, not for none.
                if end > at {
                    self.open.push(at, end);
                    self.walk(node.star, end);
                    self.open.pop();
                }
            }
            if node.rest_best < self.best {
                // At 0 stands the rule for any path, which has no wildcard to capture by.
                if at == 0 {
                    self.offer(node.rest);
                } else {
                    self.open.push(at, path.len());
                    self.offer(node.rest);
                    self.open.pop();
                }
            }
            match trie.nodes.get(node.up as usize) {
                Some(up) => node = up,
                None => break,
            }
        }
    }

    fn offer(&mut self, ranks: Span) {
        for rank in ranks.of(&self.trie.ranks) {
            if *rank >= self.best {
                return;
            }
            if self.rules[*rank as usize].fits(self.query) {
                self.best = *rank;
                self.captures = self.open;
                return;
            }
        }
    }
}

/// The tree while it grows.
#[derive(Default)]
pub(super) struct Builder {
    roots: Vec<Draft>,
}

#[derive(Default)]
struct Draft {
    label: Vec<u8>,
    children: Vec<Draft>,
    star: Option<Box<Draft>>,
    exact: Vec<u32>,
    rest: Vec<u32>,
}

impl Builder {
    /// Ranks must come in ascending order.
    pub(super) fn insert(&mut self, table: Table, pattern: &Pattern, rank: u32) {
        let table = table as usize;
        if self.roots.len() <= table {
            self.roots.resize_with(table + 1, Draft::default);
        }
        let mut draft = &mut self.roots[table];
        for (at, literal) in pattern.literals.iter().enumerate() {
            if at > 0 {
                draft = draft.star.get_or_insert_default();
            }
            draft = draft.descend(literal);
        }
        if pattern.open { draft.rest.push(rank) } else { draft.exact.push(rank) }
    }

    pub(super) fn finish(self) -> Trie {
        let mut trie = Trie {
            nodes: Vec::new(),
            firsts: Vec::new(),
            labels: Vec::new(),
            ranks: Vec::new(),
            roots: Vec::new(),
        };
        let mut queue = std::collections::VecDeque::new();
        for root in self.roots {
            let index = trie.push(&root, 0, NONE);
            trie.roots.push(index);
            queue.push_back((index as usize, root));
        }
        // Breadth first, so that siblings lie side by side.
        while let Some((index, draft)) = queue.pop_front() {
            let Node { depth, up, .. } = trie.nodes[index];
            let holds = draft.star.is_some() || !draft.rest.is_empty();
            let up = if holds { index as u32 } else { up };
            let start = trie.nodes.len() as u32;
            for child in draft.children {
                let depth = depth + child.label.len() as u32;
                queue.push_back((trie.push(&child, depth, up) as usize, child));
            }
            trie.nodes[index].children = Span { start, end: trie.nodes.len() as u32 };
            if let Some(star) = draft.star {
                trie.nodes[index].star_best = star.best();
                let at = trie.push(&star, 0, NONE);
                trie.nodes[index].star = at;
                queue.push_back((at as usize, *star));
            }
        }
        trie
    }
}

impl Draft {
    /// The node at the end of a literal below this one, made when there is none.
    fn descend(&mut self, literal: &[u8]) -> &mut Draft {
        let Some(first) = literal.first() else { return self };
        let Some(at) = self.children.iter().position(|child| child.label.first() == Some(first))
        else {
            let child = Draft { label: literal.to_vec(), ..Draft::default() };
            return self.children.push_mut(child);
        };
        let child = &mut self.children[at];
        let shared = child.label.iter().zip(literal).take_while(|(a, b)| a == b).count();
        if shared < child.label.len() {
            let lower = child.label.split_off(shared);
            let upper = Draft { label: std::mem::take(&mut child.label), ..Draft::default() };
            let lower = Draft { label: lower, ..std::mem::replace(child, upper) };
            child.children.push(lower);
        }
        child.descend(&literal[shared..])
    }

    fn best(&self) -> u32 {
        let own = self.exact.iter().chain(&self.rest).copied();
        let below = self.children.iter().chain(self.star.as_deref()).map(Draft::best);
        own.chain(below).min().unwrap_or(NONE)
    }
}

impl Trie {
    fn push(&mut self, draft: &Draft, depth: u32, up: u32) -> u32 {
        let node = Node {
            label: append(&mut self.labels, &draft.label),
            children: Span::default(),
            exact: append(&mut self.ranks, &draft.exact),
            rest: append(&mut self.ranks, &draft.rest),
            star: NONE,
            star_best: NONE,
            rest_best: draft.rest.first().copied().unwrap_or(NONE),
            depth,
            up,
        };
        self.firsts.push(draft.label.first().copied().unwrap_or_default());
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }
}

fn append<T: Copy>(list: &mut Vec<T>, items: &[T]) -> Span {
    let start = list.len() as u32;
    list.extend_from_slice(items);
    Span { start, end: list.len() as u32 }
}
