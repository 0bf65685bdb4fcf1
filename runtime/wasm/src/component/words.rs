//! Names and types of components as scripts write them, and what is said when they don't fit.

use std::fmt::Arguments;

use pilotlight_abi::Value;
use wasmtime::component::__internal::InterfaceType;
use wasmtime::component::Type;

use super::environ::ComponentTypes;

/// A name as scripts write it: a hyphen is no part of a name there.
pub(super) fn in_lua(name: &str) -> String {
    name.replace('-', "_")
}

/// Whether a script means `name`; it may also write it as the component does.
pub(super) fn is_called(name: &str, given: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || (a, b) == (b'-', b'_');
    name.len() == given.len() && name.bytes().zip(given.bytes()).all(same)
}

/// A value that is not of its type.
#[derive(Debug, thiserror::Error)]
#[error("{place} must be {wanted}, got {got}")]
pub(super) struct Misfit {
    /// Behind the argument's number: ".field", "[3]".
    pub(super) place: String,
    pub(super) wanted: String,
    pub(super) got: String,
}

impl Misfit {
    #[cold]
    pub(super) fn of(types: &ComponentTypes, ty: InterfaceType, got: &Value) -> wasmtime::Error {
        let got = shown(ty, got);
        wasmtime::Error::new(Misfit { place: String::new(), wanted: wanted(types, ty), got })
    }

    /// The same within something larger.
    #[cold]
    pub(super) fn within(error: wasmtime::Error, place: Arguments<'_>) -> wasmtime::Error {
        match error.downcast::<Misfit>() {
            Ok(misfit) => {
                let place = format!("{place}{}", misfit.place);
                wasmtime::Error::new(Misfit { place, ..misfit })
            }
            Err(error) => error,
        }
    }
}

/// What a script gave, as far as that helps.
fn shown(ty: InterfaceType, got: &Value) -> String {
    let named =
        matches!(ty, InterfaceType::Enum(_) | InterfaceType::Variant(_) | InterfaceType::Result(_));
    match got {
        Value::Bytes(bytes) if named && bytes.len() < 64 => {
            format!("{:?}", String::from_utf8_lossy(bytes))
        }
        Value::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => {
            "a string that is not UTF-8".into()
        }
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        got => got.kind().into(),
    }
}

/// What a type wants of a script.
fn wanted(types: &ComponentTypes, ty: InterfaceType) -> String {
    let list = |names: &mut dyn Iterator<Item = &String>| {
        names.map(|name| in_lua(name)).collect::<Vec<_>>().join(", ")
    };
    let whole = |bits: u32| format!("a whole number of {bits} bits");
    match ty {
        InterfaceType::Bool => "a boolean".into(),
        InterfaceType::S8 => whole(8),
        InterfaceType::S16 => whole(16),
        InterfaceType::S32 => whole(32),
        InterfaceType::S64 => whole(64),
        InterfaceType::U8 => whole(8) + " from 0",
        InterfaceType::U16 => whole(16) + " from 0",
        InterfaceType::U32 => whole(32) + " from 0",
        InterfaceType::U64 => whole(64) + " from 0",
        InterfaceType::Float32 | InterfaceType::Float64 => "a number".into(),
        InterfaceType::Char => "a string of one character".into(),
        InterfaceType::String => "a string".into(),
        InterfaceType::List(list) if types[list].element == InterfaceType::U8 => "a string".into(),
        InterfaceType::List(_) => "a list".into(),
        InterfaceType::Record(record) => {
            let names = list(&mut types[record].fields.iter().map(|field| &field.name));
            format!("a table of {names}")
        }
        InterfaceType::Tuple(tuple) => format!("a list of {}", types[tuple].types.len()),
        InterfaceType::Flags(flags) => {
            format!("a table of true for any of {}", list(&mut types[flags].names.iter()))
        }
        InterfaceType::Enum(cases) => format!("one of {}", list(&mut types[cases].names.iter())),
        InterfaceType::Variant(variant) => {
            let cases = types[variant].cases.iter();
            let case = |(name, held): (&String, &Option<InterfaceType>)| match held {
                Some(_) => format!("{{ {} = ... }}", in_lua(name)),
                None => format!("{:?}", in_lua(name)),
            };
            cases.map(case).collect::<Vec<_>>().join(" or ")
        }
        InterfaceType::Result(_) => "{ ok = ... } or { err = ... }".into(),
        InterfaceType::Option(_) => "\"none\" or { some = ... }".into(),
        _ => "of a type that scripts have".into(),
    }
}

/// What keeps scripts from handing over values of a type, or having them.
pub(super) fn beyond_scripts(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::List(list) => beyond_scripts(&list.ty()),
        Type::Record(record) => record.fields().find_map(|field| beyond_scripts(&field.ty)),
        Type::Tuple(tuple) => tuple.types().find_map(|ty| beyond_scripts(&ty)),
        Type::Variant(variant) => variant.cases().find_map(|case| beyond_scripts(&case.ty?)),
        Type::Option(option) => beyond_scripts(&option.ty()),
        Type::Result(result) => {
            [result.ok(), result.err()].iter().flatten().find_map(beyond_scripts)
        }
        Type::Own(_) | Type::Borrow(_) => Some("a resource"),
        Type::Future(_) => Some("a future"),
        Type::Stream(_) => Some("a stream"),
        Type::ErrorContext => Some("an error context"),
        Type::Map(_) => Some("a map"),
        Type::FixedLengthList(_) => Some("a list of fixed length"),
        _ => None,
    }
}
