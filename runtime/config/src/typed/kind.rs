//! Kinds of values that any manifest has: what each takes, and what it looks like in the schema.

use std::time::Duration;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::read::{At, Reader, Typed, Value};
use crate::units::{self, Wrong};

/// A reference makes any text possible until it is replaced.
pub const REFERENCE: &str = r".*\$\{.*";

/// A key of the contract that this version does not have.
#[derive(Debug)]
pub enum Later {}

impl Typed for Later {
    const LATER: bool = true;

    fn expected() -> String {
        "nothing".into()
    }
    fn read(_: &Value<'_>, _: &mut Reader<'_>) -> Option<Self> {
        None
    }
    fn schema() -> Json {
        Json::Bool(false)
    }
}

impl Typed for String {
    fn expected() -> String {
        "a string".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.text::<Self>(value)
    }
    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

impl Typed for bool {
    fn expected() -> String {
        "true or false".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let read = value.get_ref().as_bool();
        if read.is_none() {
            reader.wrong::<Self>(value);
        }
        read
    }
    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

/// A whole number from 0 on.
#[derive(Debug, Clone, Copy)]
pub struct Whole(pub u64);

impl Typed for Whole {
    fn expected() -> String {
        "a whole number such as 100".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Integer(number) = value.get_ref() else {
            reader.wrong::<Self>(value);
            return None;
        };
        match integer(number) {
            Some(number) if number >= 0 => Some(Self(number.unsigned_abs())),
            Some(_) => {
                reader.refuse(value, "a number below 0 makes no sense here".into(), None);
                None
            }
            None => {
                reader.refuse(value, "the number is too large".into(), None);
                None
            }
        }
    }
    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 0 })
    }
}

fn integer(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A quantity that is written as a string with a unit.
macro_rules! quantities {
    ($( $Kind:ty, $parse:path, $make:expr, $what:literal, $example:literal, $units:literal, $form:literal; )*) => { $(
        impl Typed for $Kind {
            fn expected() -> String {
                format!("{} such as \"{}\"", $what, $example)
            }
            fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
                let text = reader.text::<Self>(value)?;
                let hint = match $parse(&text) {
                    Ok(quantity) => return Some($make(quantity)),
                    Err(Wrong::TooLarge) => {
                        reader.refuse(value, format!("{text:?} is too much"), None);
                        return None;
                    }
                    Err(Wrong::Form(Some(guess))) => format!("did you mean \"{guess}\"?"),
                    Err(Wrong::Form(None)) => $units.to_owned(),
                };
                reader.refuse(value, format!("{text:?} is not {}", $what), Some(hint));
                None
            }
            fn schema() -> Json {
                json!({ "type": "string", "pattern": format!("^({}|{REFERENCE})$", $form) })
            }
        }
    )* };
}

/// Bytes: `"64KiB"`.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u64);

/// A part of a whole: `"20%"` is 0.2.
#[derive(Debug, Clone, Copy)]
pub struct Share(pub f64);

/// So many in so many milliseconds: `"100/s"`.
#[derive(Debug, Clone, Copy)]
pub struct Rate(pub u64, pub u64);

quantities! {
    Duration, units::duration, |duration| duration, "a duration", "5s",
        "a duration is a whole number with a unit: \"250ms\", \"5s\", \"2m\", \"1h\"",
        "[0-9]+(ms|s|m|h|d)";
    Size, units::size, Size, "a size", "64KiB",
        "a size is a whole number with a unit: \"512B\", \"64KiB\", \"8MiB\", \"1GiB\"",
        "[0-9]+(B|KiB|MiB|GiB|TiB)";
    Share, units::share, Share, "a share", "20%",
        "a share is a number from 0 to 100 with %: \"20%\"",
        "[0-9]+([.][0-9]+)?%";
    Rate, units::rate, |(count, per)| Rate(count, per), "a rate", "100/s",
        "a rate is a whole number in a time: \"100/s\", \"1000/min\", \"600/h\"",
        "[0-9]+/(s|min|h)";
}

/// A text, or false for none.
#[derive(Debug)]
pub struct TextOrOff(pub Option<String>);

impl Typed for TextOrOff {
    fn expected() -> String {
        "a string, or false".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(false) => Some(Self(None)),
            _ => reader.text::<Self>(value).map(|text| Self(Some(text))),
        }
    }
    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "string" }, { "const": false }] })
    }
}

/// Any value, as JSON; references in its strings are replaced.
#[derive(Debug)]
pub struct Free(pub Json);

impl Typed for Free {
    fn expected() -> String {
        "a table".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let json = match value.get_ref() {
            DeValue::String(_) => reader.text::<Self>(value)?.into(),
            DeValue::Boolean(truth) => (*truth).into(),
            DeValue::Datetime(date) => date.to_string().into(),
            DeValue::Integer(number) => match integer(number) {
                Some(number) => number.into(),
                None => {
                    reader.refuse(value, "the number is too large".into(), None);
                    return None;
                }
            },
            DeValue::Float(number) => {
                let number = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
                match number {
                    Some(number) => Json::Number(number),
                    None => {
                        reader.refuse(value, "JSON has no such number".into(), None);
                        return None;
                    }
                }
            }
            DeValue::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| Self::read(item, reader)).collect();
                Json::Array(
                    items.into_iter().map(|item| item.map(|item| item.0)).collect::<Option<_>>()?,
                )
            }
            DeValue::Table(table) => {
                let mut object = serde_json::Map::new();
                // As typed: the parser's map is sorted by name.
                let mut entries: Vec<_> = table.iter().collect();
                entries.sort_by_key(|(key, _)| key.span().start);
                for (key, value) in entries {
                    if let Some(value) = Self::read(value, reader) {
                        object.insert(key.get_ref().to_string(), value.0);
                    }
                }
                Json::Object(object)
            }
        };
        Some(Self(json))
    }
    fn schema() -> Json {
        json!({})
    }
}

/// A list with the places of its items.
/// A large table, which a larger one that is there many times over seldom has.
impl<T: Typed> Typed for Box<T> {
    const LATER: bool = T::LATER;
    const TABLE: bool = T::TABLE;

    fn expected() -> String {
        T::expected()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(value, reader).map(Box::new)
    }
    fn schema() -> Json {
        T::schema()
    }
    fn join(&mut self, other: Self, reader: &mut Reader<'_>) -> Result<(), Self> {
        (**self).join(*other, reader).map_err(Box::new)
    }
}

impl<T: Typed> Typed for Vec<At<T>> {
    fn expected() -> String {
        match T::TABLE {
            true => "a list of tables, each [[...]]".into(),
            false => format!("a list, each item {}", T::expected()),
        }
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(items) = value.get_ref().as_array() else {
            reader.wrong::<Self>(value);
            return None;
        };
        let mut read = Vec::with_capacity(items.len());
        read.extend(items.iter().filter_map(|item| reader.item(item)));
        // A list of nothing but mistakes is not an empty list.
        (items.is_empty() || !read.is_empty()).then_some(read)
    }
    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }
    fn join(&mut self, other: Self, _: &mut Reader<'_>) -> Result<(), Self> {
        if !T::TABLE {
            return Err(other);
        }
        self.extend(other);
        Ok(())
    }
}
