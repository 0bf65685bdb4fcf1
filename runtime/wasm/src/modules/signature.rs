//! What the manifest declares of a module's functions, against what the module exports.

use pilotlight_filter::engine::{Signature, Type};
use wasmtime::{ExternType, FuncType, Module, ValType};

use crate::engine::Mistake;
use crate::vm::same;

/// Exports with a meaning of their own.
const SPECIAL: [&str; 6] = ["alloc", "free", "reset", "_initialize", "_start", "main"];

pub(super) fn takes_text(function: &Signature) -> bool {
    function.parameters.contains(&Type::String) || function.result == Some(Type::String)
}

/// What a declared type is in core Wasm.
fn core(ty: Type) -> &'static [ValType] {
    match ty {
        Type::String => &[ValType::I32, ValType::I32],
        Type::I32 | Type::Bool => &[ValType::I32],
        Type::I64 => &[ValType::I64],
        Type::F32 => &[ValType::F32],
        Type::F64 => &[ValType::F64],
    }
}

fn core_result(ty: Type) -> &'static [ValType] {
    match ty {
        Type::String => &[ValType::I64],
        other => core(other),
    }
}

pub(super) fn differs(module: &Module, function: &Signature) -> Option<Mistake> {
    let name = &function.name;
    let Some(ExternType::Func(ty)) = module.get_export(name) else {
        return Some(Mistake::new(format!("it exports no function `{name}`")));
    };
    let wanted: Vec<ValType> =
        function.parameters.iter().flat_map(|ty| core(*ty)).cloned().collect();
    let result = function.result.map(core_result).unwrap_or_default();
    if same(ty.params(), &wanted) && same(ty.results(), result) {
        return None;
    }
    let text = format!(
        "`{name}` is {}; as declared it must be {}",
        shown(ty.params(), ty.results()),
        shown(wanted.into_iter(), result.iter().cloned()),
    );
    Some(Mistake::new(text).hint("a string is two i32, pointer and length; as a result an i64"))
}

fn shown(
    parameters: impl Iterator<Item = ValType>,
    results: impl Iterator<Item = ValType>,
) -> String {
    let list = |types: Vec<String>| types.join(", ");
    let parameters = list(parameters.map(|ty| ty.to_string()).collect());
    let results = list(results.map(|ty| ty.to_string()).collect());
    match results.as_str() {
        "" => format!("({parameters})"),
        results => format!("({parameters}) -> {results}"),
    }
}

/// The exported functions of numbers only.
pub(super) fn numeric(module: &Module) -> Vec<Signature> {
    let signature = |name: &str, ty: &FuncType| {
        let parameters = ty.params().map(number).collect::<Option<Vec<Type>>>()?;
        let results = ty.results().map(number).collect::<Option<Vec<Type>>>()?;
        let name = name.to_owned();
        (results.len() < 2).then(|| Signature {
            name,
            parameters,
            result: results.first().copied(),
        })
    };
    module
        .exports()
        .filter(|export| !SPECIAL.contains(&export.name()))
        .filter_map(|export| match export.ty() {
            ExternType::Func(ty) => signature(export.name(), &ty),
            _ => None,
        })
        .collect()
}

fn number(ty: ValType) -> Option<Type> {
    match ty {
        ValType::I32 => Some(Type::I32),
        ValType::I64 => Some(Type::I64),
        ValType::F32 => Some(Type::F32),
        ValType::F64 => Some(Type::F64),
        _ => None,
    }
}
