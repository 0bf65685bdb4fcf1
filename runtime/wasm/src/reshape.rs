//! What a module becomes before it is compiled, for what Cranelift does not do by itself:
//!
//! - a *switch* (`br_table`) of few cases becomes comparisons: a jump through a table, which processors
//!   guess badly, is for many cases;
//! - a *leaf loop* (short, no call and no loop within) is written out a few times over, so that the
//!   epoch, by which modules are interrupted, is looked at once in as many turns;
//! - in leaf loops, *choices* ([`choice`]) between what locals become are computed without branches.
//!
//! A byte scan takes half as long. A module means the same before and after. What is not understood stays
//! as it is.

use std::ops::Range;

use wasmparser::{
    BinaryReader, BinaryReaderError, BlockType, CompositeInnerType, FunctionBody, Operator, Parser,
    Payload, ValType,
};

use crate::code::is_component;

mod choice;

/// Bytes of the magic number and the version.
pub(crate) const HEAD: usize = 8;
/// Bytes of a leaf loop's body, at most, and how often it is then written out.
const LOOPS: [(usize, usize); 2] = [(256, 8), (512, 2)];
/// Bytes of a leaf loop's body, at most, in which choices are looked for.
const LONGEST: usize = 512;
/// A switch has at most so many runs of cases that go to one place: each is a comparison.
const RUNS: usize = 4;
/// Bytes by which the code of a module may grow: a part of it in so many, and some.
const GROWTH: (usize, usize) = (4, 16 << 10);
/// Instructions that are looked at for choices: so many for each byte of code, and some.
const PATIENCE: (usize, usize) = (1, 64 << 10);
/// A component in a component in a component ...
const NESTED: u32 = 8;

/// The module or component anew; `None` when there is nothing to gain. What is no valid module is the
/// compiler's to refuse.
pub(crate) fn reshape(wasm: &[u8]) -> Option<Vec<u8>> {
    match is_component(wasm) {
        true => component(wasm, NESTED),
        false => module(wasm).ok().flatten(),
    }
}

/// A component with its modules anew (sections 1) and those of the components in it (sections 4).
fn component(wasm: &[u8], nested: u32) -> Option<Vec<u8>> {
    let mut out = wasm.get(..HEAD)?.to_vec();
    let mut changed = false;
    let mut reader = BinaryReader::new(&wasm[HEAD..], HEAD);
    while !reader.eof() {
        let id = reader.read_u8().ok()?;
        let len = reader.read_var_u32().ok()? as usize;
        let content = reader.read_bytes(len).ok()?;
        let after = match id {
            1 => module(content).ok()?,
            4 if nested > 0 => component(content, nested - 1),
            _ => None,
        };
        changed |= after.is_some();
        section(&mut out, id, after.as_deref().unwrap_or(content));
    }
    changed.then_some(out)
}

fn module(module: &[u8]) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    let mut out = module.get(..HEAD).unwrap_or_default().to_vec();
    let (mut shape, mut code) = (Shape::default(), Code::default());
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        let stays = match &payload {
            Payload::TypeSection(types) => {
                shape.params = params(types.clone())?;
                true
            }
            Payload::FunctionSection(functions) => {
                shape.functions = functions.clone().into_iter().collect::<Result<_, _>>()?;
                true
            }
            Payload::CodeSectionStart { count, range, .. } => {
                code.left = *count;
                code.room = range.len() / GROWTH.0 + GROWTH.1;
                code.patience = range.len() * PATIENCE.0 + PATIENCE.1;
                leb(&mut code.out, *count);
                false
            }
            Payload::CodeSectionEntry(body) => {
                code.function(module, body, &shape)?;
                if code.left == 0 {
                    section(&mut out, 10, &code.out);
                }
                false
            }
            // They speak of places in the code.
            Payload::CustomSection(custom) => !custom.name().starts_with("metadata.code."),
            _ => true,
        };
        if let (true, Some((id, range))) = (stays, payload.as_section()) {
            section(&mut out, id, &module[range]);
        }
    }
    Ok(code.changed.then_some(out))
}

/// The code section as it is made.
#[derive(Default)]
struct Code {
    out: Vec<u8>,
    /// Functions to come.
    left: u32,
    /// Functions that were.
    number: usize,
    /// Bytes by which it may still grow.
    room: usize,
    /// Instructions that may still be looked at for choices.
    patience: usize,
    changed: bool,
}

impl Code {
    fn function(
        &mut self,
        module: &[u8],
        body: &FunctionBody<'_>,
        shape: &Shape,
    ) -> Result<(), BinaryReaderError> {
        let before = &module[body.range()];
        let after = match self.room {
            0 => None,
            room => {
                let params = shape.params_of(self.number);
                function(module, body, params, room, &mut self.patience)?
            }
        };
        self.changed |= after.is_some();
        let after = after.as_deref().unwrap_or(before);
        self.room = self.room.saturating_sub(after.len().saturating_sub(before.len()));
        leb(&mut self.out, after.len() as u32);
        self.out.extend_from_slice(after);
        self.left = self.left.saturating_sub(1);
        self.number += 1;
        Ok(())
    }
}

/// By type: the parameters of a function of it.
fn params(types: wasmparser::TypeSectionReader<'_>) -> Result<Vec<Locals>, BinaryReaderError> {
    let mut params = Vec::new();
    for group in types {
        for one in group?.into_types() {
            params.push(match one.composite_type.inner {
                CompositeInnerType::Func(kind) => {
                    kind.params().iter().map(|kind| (1, number(*kind))).collect()
                }
                _ => Locals::new(),
            });
        }
    }
    Ok(params)
}

/// Locals in groups: how many, and whether they are numbers.
type Locals = Vec<(u32, bool)>;

fn number(kind: ValType) -> bool {
    matches!(kind, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64)
}

fn numeric(locals: &[(u32, bool)], mut local: u32) -> bool {
    for (count, number) in locals {
        match local.checked_sub(*count) {
            Some(left) => local = left,
            None => return *number,
        }
    }
    false
}

/// What functions are, as far as it matters here.
#[derive(Default)]
struct Shape {
    /// By type: the parameters.
    params: Vec<Locals>,
    /// By function of the module's own: its type.
    functions: Vec<u32>,
}

impl Shape {
    fn params_of(&self, function: usize) -> Option<&Locals> {
        self.params.get(*self.functions.get(function)? as usize)
    }
}

/// One instruction, as far as it matters here.
#[derive(Clone)]
enum Kind<'a> {
    /// A loop; a plain one takes nothing from the stack and leaves nothing there.
    Loop {
        plain: bool,
    },
    /// What else has an `end`.
    Open,
    Close,
    /// `br` or `br_if`.
    Branch {
        how: u8,
        label: u32,
    },
    Switch(wasmparser::BrTable<'a>),
    Call,
    Other,
    /// Instructions that are not in the module.
    Made(Vec<u8>),
}

#[derive(Clone)]
struct Op<'a> {
    kind: Kind<'a>,
    at: Range<usize>,
}

impl Op<'_> {
    fn len(&self) -> usize {
        match &self.kind {
            Kind::Made(code) => code.len(),
            Kind::Branch { .. } => 2,
            _ => self.at.len(),
        }
    }
}

/// A function's body, locals and all; `None` when it stays as it is.
fn function(
    module: &[u8],
    body: &FunctionBody<'_>,
    params: Option<&Locals>,
    room: usize,
    patience: &mut usize,
) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    let (Some(mut ops), Some(params)) = (ops(body)?, params) else { return Ok(None) };
    let mut locals = params.clone();
    let reader = body.get_locals_reader()?;
    let (groups, first) = (reader.get_count(), reader.original_position());
    for group in reader {
        let (count, kind) = group?;
        locals.push((count, number(kind)));
    }
    let from = ops.first().map_or(body.range().end, |op| op.at.start);
    let choices = choices(module, &mut ops, &locals, patience);
    let mut writer = Writer {
        module,
        ops: &ops,
        out: Vec::new(),
        spare: locals.iter().fold(0, |sum, (count, _)| sum.saturating_add(*count)),
        room,
        switches: false,
        loops: false,
    };
    writer.all(0..ops.len());
    if !writer.switches && !writer.loops && !choices {
        return Ok(None);
    }
    let code = writer.out;
    let mut out = Vec::with_capacity(code.len() + 16);
    leb(&mut out, groups + u32::from(writer.switches));
    out.extend_from_slice(&module[first..from]);
    if writer.switches {
        out.extend_from_slice(&[1, 0x7f]); // one i32
    }
    out.extend_from_slice(&code);
    Ok(Some(out))
}

/// The instructions; `None` when some have labels that are not looked at here, or nothing can be gained.
fn ops<'a>(body: &FunctionBody<'a>) -> Result<Option<Vec<Op<'a>>>, BinaryReaderError> {
    use Operator as O;
    let mut reader = body.get_operators_reader()?;
    let mut ops = Vec::new();
    let mut gain = false;
    while !reader.eof() {
        let start = reader.original_position();
        let kind = match reader.read()? {
            O::Loop { blockty } => Kind::Loop { plain: blockty == BlockType::Empty },
            O::Block { .. } | O::If { .. } => Kind::Open,
            O::End => Kind::Close,
            O::Br { relative_depth: label } => Kind::Branch { how: 0x0c, label },
            O::BrIf { relative_depth: label } => Kind::Branch { how: 0x0d, label },
            O::BrTable { targets } => Kind::Switch(targets),
            O::Call { .. } | O::CallIndirect { .. } => Kind::Call,
            O::Try { .. }
            | O::TryTable { .. }
            | O::Catch { .. }
            | O::CatchAll
            | O::Delegate { .. }
            | O::Rethrow { .. }
            | O::BrOnNull { .. }
            | O::BrOnNonNull { .. }
            | O::BrOnCast { .. }
            | O::BrOnCastFail { .. } => return Ok(None),
            _ => Kind::Other,
        };
        gain |= matches!(kind, Kind::Loop { plain: true } | Kind::Switch(_));
        ops.push(Op { kind, at: start..reader.original_position() });
    }
    Ok(gain.then_some(ops))
}

/// Makes the choices in leaf loops anew; whether there were any.
fn choices(module: &[u8], ops: &mut Vec<Op<'_>>, locals: &Locals, patience: &mut usize) -> bool {
    let (mut changed, mut next) = (false, 0);
    while next < ops.len() {
        if let (Kind::Loop { .. }, Some(end)) = (&ops[next].kind, leaf(ops, next)) {
            let body = next + 1..end;
            let numeric = |local| numeric(locals, local);
            if ops[body.clone()].iter().map(Op::len).sum::<usize>() <= LONGEST
                && let Some(after) =
                    choice::straighten(module, &ops[body.clone()], &numeric, patience)
            {
                ops.splice(body, after);
                changed = true;
            }
        }
        next += 1;
    }
    changed
}

/// Where the loop at `start` ends, if it is a leaf that turns.
fn leaf(ops: &[Op<'_>], start: usize) -> Option<usize> {
    let (mut depth, mut turns) = (0_u32, false);
    for (index, op) in ops.iter().enumerate().skip(start + 1) {
        match &op.kind {
            Kind::Close if depth == 0 => return turns.then_some(index),
            Kind::Close => depth -= 1,
            Kind::Open => depth += 1,
            Kind::Branch { label, .. } => turns |= *label == depth,
            Kind::Switch(table) => {
                turns |= table.default() == depth;
                turns |= table.targets().flatten().any(|label| label == depth);
            }
            Kind::Loop { .. } | Kind::Call => return None,
            Kind::Other | Kind::Made(_) => {}
        }
    }
    None
}

struct Writer<'a, 'm> {
    module: &'m [u8],
    ops: &'a [Op<'m>],
    out: Vec<u8>,
    /// The local that switches use.
    spare: u32,
    /// Bytes that the function may grow by.
    room: usize,
    switches: bool,
    loops: bool,
}

impl Writer<'_, '_> {
    fn all(&mut self, range: Range<usize>) {
        let mut next = range.start;
        while next < range.end {
            let op = &self.ops[next];
            if let (Kind::Loop { plain: true }, Some(end)) = (&op.kind, leaf(self.ops, next)) {
                let len = self.ops[next + 1..end].iter().map(Op::len).sum::<usize>();
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

pub(crate) fn section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    leb(out, content.len() as u32);
    out.extend_from_slice(content);
}

/// Unsigned LEB128 (WebAssembly core, 5.2.2).
pub(crate) fn leb(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Signed LEB128.
fn signed(out: &mut Vec<u8>, mut value: i32) {
    while !(-0x40..0x40).contains(&value) {
        out.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.push(value as u8 & 0x7f);
}

#[cfg(test)]
mod tests;
