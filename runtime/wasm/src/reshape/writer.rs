//! A function's instructions as they are written: leaf loops several times over, switches as comparisons.

use std::ops::Range;

use super::{Kind, Op, bytes, leaf, leb, signed};

/// Bytes of a leaf loop's body, at most, and how often it is then written out.
const LOOPS: [(usize, usize); 2] = [(256, 8), (512, 2)];
/// A switch has at most so many runs of cases that go to one place: each is a comparison.
const RUNS: usize = 4;

pub(super) struct Writer<'a, 'm> {
    pub(super) module: &'m [u8],
    pub(super) ops: &'a [Op<'m>],
    pub(super) out: Vec<u8>,
    /// The local that switches use.
    pub(super) spare: u32,
    /// Bytes that the function may grow by.
    pub(super) room: usize,
    pub(super) switches: bool,
    pub(super) loops: bool,
}

impl Writer<'_, '_> {
    pub(super) fn all(&mut self, range: Range<usize>) {
        let mut next = range.start;
        while next < range.end {
            let op = &self.ops[next];
            if let (Kind::Loop { plain: true }, Some(end)) = (&op.kind, leaf(self.ops, next)) {
                let len = bytes(&self.ops[next + 1..end]);
                let turns =
                    LOOPS.iter().find(|(most, _)| len <= *most).map_or(1, |(_, turns)| *turns);
                if turns > 1 && len * turns <= self.room {
                    self.room -= len * turns;
                    self.unroll(next + 1..end, turns);
                    next = end + 1;
                    continue;
                }
            }
            self.one(next, 0, 0);
            next += 1;
        }
    }

    /// A loop's body, several times:
    /// ```text
    /// block loop  block BODY br 2 end  block BODY br 2 end  BODY  end end
    /// ```
    /// A turn's `continue` leaves its block, and the next turn begins; the last one's is the loop's.
    fn unroll(&mut self, body: Range<usize>, turns: usize) {
        const BLOCK: [u8; 2] = [0x02, 0x40];
        const LOOP: [u8; 2] = [0x03, 0x40];
        const OUT: [u8; 3] = [0x0c, 2, END];
        const END: u8 = 0x0b;
        self.loops = true;
        self.out.extend_from_slice(&BLOCK);
        self.out.extend_from_slice(&LOOP);
        for turn in 1..=turns {
            let last = turn == turns;
            if !last {
                self.out.extend_from_slice(&BLOCK);
            }
            let mut depth = 0;
            for index in body.clone() {
                match self.ops[index].kind {
                    Kind::Open => depth += 1,
                    Kind::Close => depth -= 1,
                    _ => {}
                }
                self.one(index, depth, if last { 1 } else { 2 });
            }
            if !last {
                self.out.extend_from_slice(&OUT);
            }
        }
        self.out.extend_from_slice(&[END, END]);
    }

    /// One instruction, whose labels past `depth` are `shift` further out.
    fn one(&mut self, index: usize, depth: u32, shift: u32) {
        let op = &self.ops[index];
        let moved = |label: u32| if label > depth { label + shift } else { label };
        match &op.kind {
            Kind::Branch { how, label } => {
                self.out.push(*how);
                leb(&mut self.out, moved(*label));
            }
            Kind::Switch(table) => {
                let labels: Vec<u32> = table.targets().flatten().map(moved).collect();
                self.switch(&labels, moved(table.default()));
            }
            Kind::Made(code) => self.out.extend_from_slice(code),
            _ => self.out.extend_from_slice(&self.module[op.at.clone()]),
        }
    }

    /// ```text
    /// set x    x >= all -> rest    x < end of the first run -> its label    ...    -> the last run's label
    /// ```
    fn switch(&mut self, labels: &[u32], rest: u32) {
        let runs = || labels.chunk_by(|a, b| a == b);
        if runs().count() > RUNS || labels.is_empty() || self.spare == u32::MAX {
            self.out.push(0x0e);
            leb(&mut self.out, labels.len() as u32);
            labels.iter().chain([&rest]).for_each(|label| leb(&mut self.out, *label));
            return;
        }
        self.switches = true;
        self.out.push(0x21); // local.set
        leb(&mut self.out, self.spare);
        self.compare(labels.len(), 0x4f, rest); // i32.ge_u
        let mut end = 0;
        for run in runs() {
            end += run.len();
            match end == labels.len() {
                false => self.compare(end, 0x49, run[0]), // i32.lt_u
                true => {
                    self.out.push(0x0c); // br
                    leb(&mut self.out, run[0]);
                }
            }
        }
    }

    /// Branches to `label` if the spare local and a number compare so.
    fn compare(&mut self, number: usize, how: u8, label: u32) {
        self.out.push(0x20); // local.get
        leb(&mut self.out, self.spare);
        self.out.push(0x41); // i32.const
        signed(&mut self.out, number as i32);
        self.out.push(how);
        self.out.push(0x0d); // br_if
        leb(&mut self.out, label);
    }
}
