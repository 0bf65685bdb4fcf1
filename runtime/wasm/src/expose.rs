//! What the host must reach of a module's inside, to put an instance back to what it was
//! (`proxy_wasm/origin.rs`): its memory and its globals become exports of names that nothing else has. A module
//! gets them when they are all that an instance of it can change.

use wasmparser::{BinaryReader, BinaryReaderError, Operator, Parser, Payload, TypeRef, ValType};

use crate::proxy_wasm::origin::{GLOBAL, MEMORY};
use crate::reshape::{HEAD, leb, section};

/// How names of exports begin that are the host's own.
pub(crate) const OWN: &str = "pilotlight:";
/// Globals that are put back, at most.
const GLOBALS: usize = 64;
/// The export section.
const EXPORTS: u8 = 7;

/// A module has an export of such a name already.
pub(crate) struct Taken;

/// The module with those exports; `None` when it stays as it is. What is no valid module is the compiler's to
/// refuse.
pub(crate) fn expose(module: &[u8]) -> Result<Option<Vec<u8>>, Taken> {
    let Ok(inside) = look(module) else { return Ok(None) };
    match inside {
        Inside::Taken => Err(Taken),
        Inside::Other => Ok(None),
        Inside::Plain(globals) => Ok(add(module, &globals)),
    }
}

enum Inside {
    /// One memory, functions from outside, and these globals that change.
    Plain(Vec<u32>),
    Other,
    Taken,
}

fn look(module: &[u8]) -> Result<Inside, BinaryReaderError> {
    let (mut globals, mut memories, mut plain) = (Vec::new(), 0, true);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    plain &= matches!(import?.ty, TypeRef::Func(_));
                }
            }
            Payload::MemorySection(all) => memories = all.count(),
            Payload::TagSection(_) => plain = false,
            Payload::GlobalSection(all) => {
                for (number, global) in all.into_iter().enumerate() {
                    let ty = global?.ty;
                    if ty.mutable {
                        use ValType::{F32, F64, I32, I64};
                        plain &= matches!(ty.content_type, I32 | I64 | F32 | F64);
                        globals.push(number as u32);
                    }
                }
            }
            Payload::ExportSection(all) => {
                for export in all {
                    if export?.name.starts_with(OWN) {
                        return Ok(Inside::Taken);
                    }
                }
            }
            Payload::CodeSectionEntry(body) if plain => {
                for op in body.get_operators_reader()? {
                    plain &= !changes(&op?);
                }
            }
            _ => {}
        }
    }
    let plain = plain && memories == 1 && globals.len() <= GLOBALS;
    Ok(if plain { Inside::Plain(globals) } else { Inside::Other })
}

/// Whether an instruction changes what is neither memory nor a global.
fn changes(op: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        op,
        O::TableSet { .. }
            | O::TableGrow { .. }
            | O::TableFill { .. }
            | O::TableCopy { .. }
            | O::TableInit { .. }
            | O::ElemDrop { .. }
            | O::DataDrop { .. }
    )
}

fn add(module: &[u8], globals: &[u32]) -> Option<Vec<u8>> {
    let mut out = module.get(..HEAD)?.to_vec();
    let mut reader = BinaryReader::new(&module[HEAD..], HEAD);
    let mut added = false;
    while !reader.eof() {
        let id = reader.read_u8().ok()?;
        let len = reader.read_var_u32().ok()? as usize;
        let content = reader.read_bytes(len).ok()?;
        if id != EXPORTS {
            section(&mut out, id, content);
            continue;
        }
        let mut list = BinaryReader::new(content, 0);
        let count = list.read_var_u32().ok()?;
        let rest = content.get(list.original_position()..)?;
        let mut content = Vec::with_capacity(rest.len() + 32 * (globals.len() + 1));
        leb(&mut content, count + 1 + globals.len() as u32);
        content.extend_from_slice(rest);
        export(&mut content, MEMORY, 2, 0);
        for (number, global) in globals.iter().enumerate() {
            export(&mut content, &format!("{GLOBAL}{number}"), 3, *global);
        }
        section(&mut out, id, &content);
        added = true;
    }
    added.then_some(out)
}

fn export(out: &mut Vec<u8>, name: &str, kind: u8, index: u32) {
    leb(out, name.len() as u32);
    out.extend_from_slice(name.as_bytes());
    out.push(kind);
    leb(out, index);
}
