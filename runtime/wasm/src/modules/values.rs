//! A script's values as a module's, and back.

use pilotlight_abi::Value;
use pilotlight_filter::engine::{Signature, Type};
use wasmtime::ValRaw;

use super::{Argument, Given};

/// An argument that fits its type.
pub(super) enum Plain<'a> {
    Number(ValRaw),
    Text(&'a [u8]),
}

/// Says why an argument does not fit.
pub(super) fn misfit(signature: &Signature, given: Given<'_>, index: usize) -> String {
    let (place, name, kind) = (index + 1, &signature.name, given.get(index).kind());
    format!(
        "argument {place} of {name} must be {}, got {kind}",
        called(signature.parameters[index])
    )
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

/// An argument as its type has it; `None` when it does not fit.
#[inline(always)] // as `Given::get`
pub(super) fn fit(ty: Type, argument: Argument<'_>) -> Option<Plain<'_>> {
    let (whole, number) = match argument {
        Argument::Bytes(text) => {
            let fits = ty == Type::String && u32::try_from(text.len()).is_ok();
            return fits.then_some(Plain::Text(text));
        }
        Argument::Number(number) | Argument::Value(&Value::Float(number)) => {
            (whole(number), number)
        }
        Argument::Value(&Value::Int(whole)) => (Some(whole), whole as f64),
        Argument::Value(&Value::Bool(truth)) if ty == Type::Bool => {
            return Some(Plain::Number(ValRaw::i32(i32::from(truth))));
        }
        Argument::Value(_) => return None,
    };
    let fitted = match ty {
        Type::String | Type::Bool => return None,
        // Unsigned ones too: the module alone knows how it reads them.
        Type::I32 => match whole? {
            n if i32::try_from(n).is_ok() || u32::try_from(n).is_ok() => ValRaw::i32(n as i32),
            _ => return None,
        },
        Type::I64 => ValRaw::i64(whole?),
        Type::F32 => ValRaw::f32((number as f32).to_bits()),
        Type::F64 => ValRaw::f64(number.to_bits()),
    };
    Some(Plain::Number(fitted))
}

/// A script's numbers are fractions by nature: a whole one is a whole number.
fn whole(number: f64) -> Option<i64> {
    const PAST: f64 = 9_223_372_036_854_775_808.0;
    let whole = number as i64;
    (whole as f64 == number && number < PAST).then_some(whole)
}

/// A result; one that is a string is `text`.
pub(super) fn shown(result: Option<Type>, number: ValRaw, text: Option<Vec<u8>>) -> Value {
    match result {
        Some(Type::String) => Value::Bytes(text.unwrap_or_default()),
        Some(Type::Bool) => Value::Bool(number.get_i32() != 0),
        Some(Type::I32) => Value::Int(i64::from(number.get_i32())),
        Some(Type::I64) => Value::Int(number.get_i64()),
        Some(Type::F32) => Value::Float(f64::from(f32::from_bits(number.get_f32()))),
        Some(Type::F64) => Value::Float(f64::from_bits(number.get_f64())),
        None => Value::Nil,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that come as such fit as those that come as values.
    #[test]
    fn a_number_is_the_same_however_it_comes() {
        let past = 2f64.powi(63);
        let numbers = [0.0, -0.0, 1.0, -1.5, 0.5, 2f64.powi(31), -2f64.powi(31), 2f64.powi(32)];
        let strange = [f64::NAN, f64::INFINITY, -f64::INFINITY, past, -past, past * 1.01];
        for number in numbers.into_iter().chain(strange) {
            let value = Value::number(number);
            for ty in [Type::Bool, Type::I32, Type::I64, Type::F32, Type::F64, Type::String] {
                let bits = |argument| match fit(ty, argument) {
                    Some(Plain::Number(number)) => Some(number.get_u64()),
                    _ => None,
                };
                let (plain, valued) =
                    (bits(Argument::Number(number)), bits(Argument::Value(&value)));
                assert_eq!(plain, valued, "{number} as {ty:?}");
            }
        }
        assert_eq!(whole(-past), Some(i64::MIN));
        assert_eq!([whole(past), whole(0.5), whole(f64::NAN), whole(-past * 2.0)], [None; 4]);
    }
}
