//! A script's values as a module's, and back.

use pilotlight_abi::Value;
use pilotlight_filter::engine::{Signature, Type};
use wasmtime::Val;

use super::{Argument, Given};

/// An argument that fits its type.
pub(super) enum Plain<'a> {
    Number(Val),
    Text(&'a [u8]),
}

pub(super) fn check<'a>(signature: &Signature, given: Given<'a>) -> Result<Vec<Plain<'a>>, String> {
    let Signature { name, parameters, .. } = signature;
    if given.len() != parameters.len() {
        let (want, got) = (parameters.len(), given.len());
        return Err(format!("{name} takes {want} arguments, got {got}"));
    }
    let typed = |(index, ty): (usize, &Type)| {
        let argument = given.get(index);
        fit(*ty, argument).ok_or_else(|| {
            let (place, kind) = (index + 1, argument.kind());
            format!("argument {place} of {name} must be {}, got {kind}", called(*ty))
        })
    };
    parameters.iter().enumerate().map(typed).collect()
}

fn called(ty: Type) -> &'static str {
    match ty {
        Type::String => "a string",
        Type::Bool => "a boolean",
        Type::I32 => "a whole number of 32 bits",
        Type::I64 => "a whole number",
        Type::F32 | Type::F64 => "a number",
    }
}

fn fit(ty: Type, argument: Argument<'_>) -> Option<Plain<'_>> {
    let value = match argument {
        Argument::Bytes(text) => {
            let fits = ty == Type::String && u32::try_from(text.len()).is_ok();
            return fits.then_some(Plain::Text(text));
        }
        Argument::Value(value) => value,
    };
    // A script's numbers are fractions by nature: a whole one is a whole number.
    let whole = match value {
        Value::Int(whole) => Some(*whole),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 9.3e18 => Some(*f as i64),
        _ => None,
    };
    let number = match value {
        Value::Int(whole) => Some(*whole as f64),
        Value::Float(fraction) => Some(*fraction),
        _ => None,
    };
    let fitted = match ty {
        Type::String => return None,
        Type::Bool => match value {
            Value::Bool(truth) => Val::I32(i32::from(*truth)),
            _ => return None,
        },
        // Unsigned ones too: the module alone knows how it reads them.
        Type::I32 => match whole? {
            n if i32::try_from(n).is_ok() || u32::try_from(n).is_ok() => Val::I32(n as i32),
            _ => return None,
        },
        Type::I64 => Val::I64(whole?),
        Type::F32 => Val::F32((number? as f32).to_bits()),
        Type::F64 => Val::F64(number?.to_bits()),
    };
    Some(Plain::Number(fitted))
}

pub(super) fn shown_as(ty: Type, value: &Val) -> Value {
    match (ty, value) {
        (Type::Bool, Val::I32(n)) => Value::Bool(*n != 0),
        (_, Val::I32(n)) => Value::Int(i64::from(*n)),
        (_, Val::I64(n)) => Value::Int(*n),
        (_, Val::F32(bits)) => Value::Float(f64::from(f32::from_bits(*bits))),
        (_, Val::F64(bits)) => Value::Float(f64::from_bits(*bits)),
        _ => Value::Nil,
    }
}
