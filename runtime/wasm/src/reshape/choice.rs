//! Choices without branches. Where a loop decides in several steps what a few locals become
//!
//! ```text
//! if escaped { escaped = 0 } else if x == '\\' { escaped = 1 } else if x == '"' { quotes += 1; inside = 0 }
//! ```
//!
//! and nothing else happens on any way to where all ways meet, the conditions become numbers of which the
//! locals are computed. Each step was a jump, and what the data decides processors guess badly. LLVM does
//! so with choices of one step only, and Cranelift with none.

use std::ops::Range;

use wasmparser::BinaryReader;

use super::{Kind, Op, leb};
use expr::{ADD, EQ, Expr, LT_U, NE, SELECT, SUB, Truth};

mod expr;

/// Instructions that compute, at most, of what a choice becomes: more take longer than a jump or two.
const COST: usize = 24;
/// And its bytes.
const BYTES: usize = 160;
/// Steps that make it worth while: one LLVM has left alone for a reason.
const STEPS: usize = 2;
/// Values that a local has, at most.
const VALUES: usize = 3;
/// Blocks around, of which one is where all ways meet.
const OUT: usize = 8;
/// Bytes of an expression.
const EXPRESSION: usize = 64;

/// A body's instructions anew; `None` when there is no choice in it. `numeric` says whether a local is a number;
/// `patience` is how many instructions may still be looked at.
pub(super) fn straighten<'m>(
    module: &[u8],
    body: &[Op<'m>],
    numeric: &dyn Fn(u32) -> bool,
    patience: &mut usize,
) -> Option<Vec<Op<'m>>> {
    let region = Region { module, body, blocks: blocks(module, body)? };
    let mut out = Vec::with_capacity(body.len());
    let mut around = Vec::new();
    let (mut next, mut changed) = (0, false);
    while let Some(op) = body.get(next) {
        out.push(op.clone());
        next += 1;
        let begins = match &op.kind {
            Kind::Open => {
                around.push(next - 1);
                module.get(op.at.start) == Some(&0x02)
            }
            Kind::Close => around.pop().is_some(),
            Kind::Branch { how, .. } => *how == 0x0d,
            _ => false,
        };
        let Some(inner) = around.last().filter(|_| begins) else { continue };
        if let Some((code, label)) = region.choice(next, &around, numeric, patience) {
            out.push(Op { kind: Kind::Made(code), at: 0..0 });
            out.push(Op { kind: Kind::Branch { how: 0x0c, label }, at: 0..0 });
            // Nothing comes here any more, up to the `else` or `end` of the block that this is in.
            let block = &region.blocks[*inner];
            next = block.other.filter(|other| *other >= next).unwrap_or(block.end);
            changed = true;
        }
    }
    changed.then_some(out)
}

/// Of what has an `end`: where that is, and its `else`; a plain one takes and leaves nothing.
#[derive(Clone, Default)]
struct Block {
    end: usize,
    other: Option<usize>,
    plain: bool,
}

/// By the place of what opens it.
fn blocks(module: &[u8], body: &[Op<'_>]) -> Option<Vec<Block>> {
    let mut blocks = vec![Block::default(); body.len()];
    let mut open = Vec::new();
    for (index, op) in body.iter().enumerate() {
        match op.kind {
            Kind::Open => {
                blocks[index].plain = module.get(op.at.clone())?.get(1) == Some(&0x40);
                open.push(index);
            }
            Kind::Close => blocks[open.pop()?].end = index,
            Kind::Other if module.get(op.at.start) == Some(&0x05) => {
                blocks[*open.last()?].other = Some(index);
            }
            _ => {}
        }
    }
    open.is_empty().then_some(blocks)
}

/// What locals became, those that were set.
type Set = Vec<(u32, Expr)>;

fn value(set: &Set, local: u32) -> Expr {
    let found = set.iter().find(|(one, _)| *one == local);
    found.map_or_else(|| Expr::get(local), |(_, value)| value.clone())
}

enum Tree {
    Leaf(Set),
    /// At most one of the tests is true; `any` when one of them is.
    Fork {
        cases: Vec<(Expr, Tree)>,
        any: Expr,
        rest: Box<Tree>,
    },
}

impl Tree {
    fn leaves<'t>(&'t self, out: &mut Vec<&'t Set>) {
        match self {
            Tree::Leaf(set) => out.push(set),
            Tree::Fork { cases, rest, .. } => {
                cases.iter().for_each(|(_, tree)| tree.leaves(out));
                rest.leaves(out);
            }
        }
    }

    /// When `is` holds of where one comes to.
    fn when(&self, is: &dyn Fn(&Set) -> bool) -> Truth {
        match self {
            Tree::Leaf(set) if is(set) => Truth::Always,
            Tree::Leaf(_) => Truth::Never,
            Tree::Fork { cases, any, rest } => {
                let some = |flip: bool| {
                    cases.iter().fold(Truth::Never, |sum, (test, tree)| {
                        let then = tree.when(is);
                        let then = if flip { then.not() } else { then };
                        sum.or(Truth::If(test.clone()).and(then))
                    })
                };
                match rest.when(is) {
                    Truth::Always => some(true).not(),
                    Truth::Never => some(false),
                    then => {
                        // A way in two: all of the one side, and of the other what is not.
                        some(false).or(Truth::If(any.clone().not()).and(then))
                    }
                }
            }
        }
    }
}

/// Where one is.
#[derive(Clone)]
struct At {
    next: usize,
    /// Blocks around, innermost last, and how high the stack was at their begin.
    around: Vec<(usize, usize)>,
    stack: Vec<Expr>,
    set: Set,
}

struct Region<'a, 'm> {
    module: &'a [u8],
    body: &'a [Op<'m>],
    blocks: Vec<Block>,
}

impl Region<'_, '_> {
    /// What the instructions from `start` on become, and the label of where all ways meet.
    fn choice(
        &self,
        start: usize,
        around: &[usize],
        numeric: &dyn Fn(u32) -> bool,
        patience: &mut usize,
    ) -> Option<(Vec<u8>, u32)> {
        (0..around.len().min(OUT)).find_map(|label| {
            let around: Vec<_> = around.iter().map(|block| (*block, 0)).collect();
            let goal = around[around.len() - 1 - label].0;
            if !self.blocks[goal].plain {
                return None;
            }
            let mut steps = 0;
            let at = At { next: start, around, stack: Vec::new(), set: Vec::new() };
            let tree = self.walk(at, goal, &mut steps, patience)?;
            if steps < STEPS {
                return None;
            }
            Some((emit(&tree, numeric)?, label as u32))
        })
    }

    /// All ways from there to the end of the block `goal`.
    fn walk(
        &self,
        mut at: At,
        goal: usize,
        steps: &mut usize,
        patience: &mut usize,
    ) -> Option<Tree> {
        loop {
            *patience = patience.checked_sub(1)?;
            if at.next == self.blocks[goal].end {
                return Some(Tree::Leaf(at.set));
            }
            let op = self.body.get(at.next)?;
            at.next += 1;
            match &op.kind {
                Kind::Open => {
                    let block = &self.blocks[at.next - 1];
                    let test = match self.module[op.at.start] {
                        0x02 => None,
                        _ => Some(at.stack.pop()?),
                    };
                    if !block.plain {
                        return None;
                    }
                    at.around.push((at.next - 1, at.stack.len()));
                    if let Some(test) = test {
                        let mut no = at.clone();
                        no.next = block.other.map_or(block.end, |other| other + 1);
                        return self.fork([(test, at)], None, no, goal, steps, patience);
                    }
                }
                Kind::Close => {
                    at.around.pop()?;
                }
                // The end of what is done if so.
                Kind::Other if self.module[op.at.start] == 0x05 => {
                    at.next = self.blocks[at.around.last()?.0].end;
                }
                Kind::Branch { how: 0x0c, label } => self.leave(&mut at, *label, goal)?,
                Kind::Branch { how: 0x0d, label } => {
                    let test = at.stack.pop()?;
                    let mut there = at.clone();
                    self.leave(&mut there, *label, goal)?;
                    return self.fork([(test, there)], None, at, goal, steps, patience);
                }
                Kind::Switch(table) => {
                    let index = at.stack.pop()?;
                    let labels: Vec<u32> = table.targets().collect::<Result<_, _>>().ok()?;
                    let (mut cases, mut from) = (Vec::new(), 0);
                    for run in labels.chunk_by(|a, b| a == b) {
                        let mut there = at.clone();
                        self.leave(&mut there, run[0], goal)?;
                        cases.push((within(&index, from..from + run.len() as u32), there));
                        from += run.len() as u32;
                    }
                    let any = within(&index, 0..from);
                    self.leave(&mut at, table.default(), goal)?;
                    return self.fork(cases, Some(any), at, goal, steps, patience);
                }
                Kind::Other => self.plain(&mut at, op)?,
                _ => return None,
            }
        }
    }

    fn fork(
        &self,
        cases: impl IntoIterator<Item = (Expr, At)>,
        any: Option<Expr>,
        rest: At,
        goal: usize,
        steps: &mut usize,
        patience: &mut usize,
    ) -> Option<Tree> {
        let mut done = Vec::new();
        for (test, at) in cases {
            *steps += 1;
            let test = if test.truth() { test } else { Expr::of(NE, &[&test, &Expr::number(0)]) };
            if *steps > COST || test.code.len() > EXPRESSION {
                return None;
            }
            done.push((test, self.walk(at, goal, steps, patience)?));
        }
        let any = any.or_else(|| Some(done.first()?.0.clone()))?;
        let rest = Box::new(self.walk(rest, goal, steps, patience)?);
        Some(Tree::Fork { cases: done, any, rest })
    }

    /// To the end of the block that `label` names, which is no further out than `goal`.
    fn leave(&self, at: &mut At, label: u32, goal: usize) -> Option<()> {
        let keep = at.around.len().checked_sub(label as usize)?;
        let (block, height) = *at.around.get(keep.checked_sub(1)?)?;
        if !self.blocks[block].plain || block < goal {
            return None;
        }
        at.around.truncate(keep);
        at.stack.truncate(height);
        at.next = self.blocks[block].end;
        Some(())
    }

    /// An instruction that only computes, cheaply, and never traps.
    fn plain(&self, at: &mut At, op: &Op<'_>) -> Option<()> {
        let code = self.module.get(op.at.clone())?;
        let (how, rest) = code.split_first()?;
        let local = || BinaryReader::new(rest, 0).read_var_u32().ok();
        let parts = match how {
            0x01 => return Some(()),
            0x1a => return at.stack.pop().map(drop),
            0x20 => {
                at.stack.push(value(&at.set, local()?));
                return Some(());
            }
            0x21 | 0x22 => {
                let (local, value) = (local()?, at.stack.pop()?);
                if *how == 0x22 {
                    at.stack.push(value.clone());
                }
                at.set.retain(|(one, _)| *one != local);
                at.set.push((local, value));
                return Some(());
            }
            0x41 | 0x42 => 0,
            0x45 | 0x50 | 0xa7 | 0xac | 0xad | 0xc0..=0xc4 => 1,
            // Comparisons, and what takes a cycle.
            0x46..=0x4f | 0x51..=0x5a | 0x6a | 0x6b | 0x71..=0x78 | 0x7c | 0x7d | 0x83..=0x8a => 2,
            0x1b => 3,
            _ => return None,
        };
        let values = at.stack.split_off(at.stack.len().checked_sub(parts)?);
        at.stack.push(match parts {
            0 => Expr::leaf(code.to_vec()),
            _ => Expr::of(*how, &values.iter().collect::<Vec<_>>()),
        });
        (at.stack.last()?.code.len() <= EXPRESSION).then_some(())
    }
}

/// Whether `index` is one of these.
fn within(index: &Expr, range: Range<u32>) -> Expr {
    let (from, count) = (Expr::number(range.start), Expr::number(range.end - range.start));
    match range.end - range.start {
        1 => Expr::of(EQ, &[index, &from]),
        _ if range.start == 0 => Expr::of(LT_U, &[index, &count]),
        _ => Expr::of(LT_U, &[&Expr::of(SUB, &[index, &from]), &count]),
    }
}

/// All that is set is computed first: of what the locals were.
fn emit(tree: &Tree, numeric: &dyn Fn(u32) -> bool) -> Option<Vec<u8>> {
    let mut leaves = Vec::new();
    tree.leaves(&mut leaves);
    let mut locals: Vec<u32> =
        leaves.iter().flat_map(|set| set.iter().map(|(local, _)| *local)).collect();
    locals.sort_unstable();
    locals.dedup();
    let (mut out, mut cost, mut sets) = (Vec::new(), 0, Vec::new());
    for local in locals {
        let mut values: Vec<Expr> = Vec::new();
        for set in &leaves {
            let value = value(set, local);
            if !values.contains(&value) {
                values.push(value);
            }
        }
        if values == [Expr::get(local)] {
            continue;
        }
        if values.len() > VALUES || !numeric(local) {
            return None;
        }
        let all = cheapest(tree, local, &mut values)?;
        cost += all.cost;
        out.extend_from_slice(&all.code);
        sets.push(local);
        if cost > COST || out.len() > BYTES {
            return None;
        }
    }
    for local in sets.into_iter().rev() {
        out.push(0x21);
        leb(&mut out, local);
    }
    Some(out)
}

/// It may be asked first for any of the values: "one of these cases" is less than "none of these".
fn cheapest(tree: &Tree, local: u32, values: &mut [Expr]) -> Option<Expr> {
    let mut least: Option<Expr> = None;
    for _ in 0..values.len() {
        values.rotate_left(1);
        let one = one_of(tree, local, values)?;
        if least.as_ref().is_none_or(|least| one.cost < least.cost) {
            least = Some(one);
        }
    }
    least
}

/// That of the values which is right.
fn one_of(tree: &Tree, local: u32, values: &[Expr]) -> Option<Expr> {
    let (first, others) = values.split_first()?;
    let Some(second) = others.first() else { return Some(first.clone()) };
    let Truth::If(when) = tree.when(&|set| value(set, local) == *first) else { return None };
    let more = |least: &Expr| Expr::of(ADD, &[least, &Expr::number(1)]);
    Some(match others {
        [_] if *first == Expr::number(1) && *second == Expr::number(0) => when,
        [_] if *first == Expr::number(0) && *second == Expr::number(1) => when.not(),
        [_] if *first == more(second) => Expr::of(ADD, &[second, &when]),
        [_] if *second == more(first) => Expr::of(ADD, &[first, &when.not()]),
        _ => Expr::of(SELECT, &[first, &one_of(tree, local, others)?, &when]),
    })
}
