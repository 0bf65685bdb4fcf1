//! What a script's value is, for the types of components.

use pilotlight_abi::Value;
use wasmtime::component::__internal::InterfaceType;

/// A whole number; a script's are fractions by nature.
pub(super) fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Int(whole) => Some(i128::from(*whole)),
        Value::Uint(whole) => Some(i128::from(*whole)),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e30 => Some(*f as i128),
        _ => None,
    }
}

pub(super) fn fraction(value: &Value) -> Option<f64> {
    match value {
        Value::Int(whole) => Some(*whole as f64),
        Value::Uint(whole) => Some(*whole as f64),
        Value::Float(fraction) => Some(*fraction),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// A list's items; a table without any may be a list.
pub(super) fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(items) => Some(items),
        Value::Map(map) if map.is_empty() => Some(&[]),
        _ => None,
    }
}

pub(super) fn fields(value: &Value) -> Option<&[(String, Value)]> {
    match value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}

/// A case's name and what it holds: `"name"` or `{ name = value }`.
pub(super) fn case(value: &Value) -> Option<(&str, Option<&Value>)> {
    match value {
        Value::Map(map) if map.len() == 1 => Some((&map[0].0, Some(&map[0].1))),
        _ => Some((text(value)?, None)),
    }
}

/// What a case holds, with its type. A case that is only named may hold an option: none.
pub(super) fn with_payload(
    ty: Option<InterfaceType>,
    value: Option<&Value>,
) -> Option<Option<(InterfaceType, &Value)>> {
    match (ty, value) {
        (None, None) => Some(None),
        (Some(ty), Some(value)) => Some(Some((ty, value))),
        (Some(ty @ InterfaceType::Option(_)), None) => Some(Some((ty, &Value::Nil))),
        _ => None,
    }
}
