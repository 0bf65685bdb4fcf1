//! Tables of names, and values that can be written in two ways.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::read::{At, Reader, Typed, Value};

/// A table whose keys are names.
#[derive(Debug)]
pub struct Named<T>(
    pub Vec<(At<String>, At<T>)>,
    /// Names whose values could not be read: they exist all the same.
    pub Vec<String>,
);

impl<T: Typed> Typed for Named<T> {
    fn expected() -> String {
        format!("a table of names, each value {}", T::expected())
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.table::<Self>(value)?;
        let mut names = Vec::with_capacity(table.len());
        let mut broken = Vec::new();
        for (key, value) in table {
            let place = reader.place(key.span());
            let name = At { value: key.get_ref().to_string(), key: place.clone(), place };
            match reader.field(key, value) {
                Some(value) => names.push((name, value)),
                None => broken.push(name.value),
            }
        }
        Some(Self(names, broken))
    }
    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
    fn join(&mut self, other: Self, reader: &mut Reader<'_>) -> Result<(), Self> {
        self.1.extend(other.1);
        for (name, value) in other.0 {
            match self.0.iter().find(|(mine, _)| mine.value == name.value) {
                Some((mine, _)) => {
                    reader.twice(&format!("{:?}", name.value), &mine.place, &name.place);
                }
                None => self.0.push((name, value)),
            }
        }
        Ok(())
    }
}

/// One, or a list of them.
#[derive(Debug)]
pub struct OneOrMany<T>(pub Vec<At<T>>);

impl<T: Typed> Typed for OneOrMany<T> {
    fn expected() -> String {
        format!("{}, or a list of them", T::expected())
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(_) => Vec::read(value, reader).map(Self),
            _ => reader.item(value).map(|one| Self(vec![one])),
        }
    }
    fn schema() -> Json {
        json!({ "anyOf": [T::schema(), Vec::<At<T>>::schema()] })
    }
}

/// A string for the common case, or something larger.
#[derive(Debug)]
pub enum TextOr<T> {
    /// The string.
    Text(String),
    /// What is larger.
    Other(T),
}

impl<T: Typed> Typed for TextOr<T> {
    fn expected() -> String {
        format!("a string or {}", T::expected())
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => reader.text::<Self>(value).map(Self::Text),
            DeValue::Table(_) => T::read(value, reader).map(Self::Other),
            _ => {
                reader.wrong::<Self>(value);
                None
            }
        }
    }
    fn schema() -> Json {
        let other = T::schema();
        // What takes anything needs no choice, but strings and tables are all that is read.
        if other == json!({}) {
            return json!({ "type": ["string", "object"] });
        }
        json!({ "anyOf": [{ "type": "string" }, other] })
    }
}
