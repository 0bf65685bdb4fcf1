//! What a module becomes before it is compiled, for what Cranelift does not do by itself:
//!
//! - a *switch* (`br_table`) of few cases becomes comparisons: a jump through a table, which processors
//!   guess badly, is for many cases;
//! - a *leaf loop* (short, no call and no loop within) is written out a few times over, so that the
//!   epoch, by which modules are interrupted, is looked at once in as many turns;
//! - in leaf loops, *choices* ([`choice`]) between what locals become are computed without branches.
//!
//! V8 and LLVM do the first two, by which a byte scan takes a third less; by the third it is another tenth.
//! A module means the same before and after. What is not understood stays as it is.

use std::ops::Range;

use wasmparser::{
    BinaryReader, BinaryReaderError, BlockType, CompositeInnerType, FunctionBody, Operator, Parser,
    Payload, ValType,
};

use crate::code::is_component;
use writer::Writer;

mod choice;
mod writer;

/// Bytes of the magic number and the version.
pub(crate) const HEAD: usize = 8;
/// Bytes of a leaf loop's body, at most, in which choices are looked for.
const LONGEST: usize = 512;
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
    mut room: usize,
    patience: &mut usize,
) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    let (Some(ops), Some(params)) = (ops(body)?, params) else { return Ok(None) };
    let mut locals = params.clone();
    let reader = body.get_locals_reader()?;
    let (groups, first) = (reader.get_count(), reader.original_position());
    for group in reader {
        let (count, kind) = group?;
        locals.push((count, number(kind)));
    }
    let from = ops.first().map_or(body.range().end, |op| op.at.start);
    let made = choices(module, &ops, &locals, &mut room, patience);
    let ops = made.as_ref().unwrap_or(&ops);
    let mut writer = Writer {
        module,
        ops,
        out: Vec::new(),
        spare: locals.iter().fold(0, |sum, (count, _)| sum.saturating_add(*count)),
        room,
        switches: false,
        loops: false,
    };
    writer.all(0..ops.len());
    if !writer.switches && !writer.loops && made.is_none() {
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

/// The instructions with the choices in leaf loops made anew, if there are any.
fn choices<'m>(
    module: &[u8],
    ops: &[Op<'m>],
    locals: &Locals,
    room: &mut usize,
    patience: &mut usize,
) -> Option<Vec<Op<'m>>> {
    let (mut out, mut kept) = (Vec::new(), 0);
    let numeric = |local| numeric(locals, local);
    for (start, op) in ops.iter().enumerate() {
        let (Kind::Loop { .. }, Some(end)) = (&op.kind, leaf(ops, start)) else { continue };
        let body = &ops[start + 1..end];
        if bytes(body) > LONGEST {
            continue;
        }
        let Some(after) = choice::straighten(module, body, &numeric, patience) else { continue };
        let Some(left) = room.checked_sub(bytes(&after).saturating_sub(bytes(body))) else {
            continue;
        };
        *room = left;
        out.extend_from_slice(&ops[kept..=start]);
        out.extend(after);
        kept = end;
    }
    out.extend_from_slice(&ops[kept..]);
    (kept > 0).then_some(out)
}

fn bytes(ops: &[Op<'_>]) -> usize {
    ops.iter().map(Op::len).sum()
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
