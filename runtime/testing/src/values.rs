//! Tables of a test file, read; heads and bodies as tables for it.

use bytes::Bytes;
use pilotlight_abi::Value;
use pilotlight_filter::Fields;
use pilotlight_filter::fields::{is_token, is_value};

/// What went wrong, in words for the test's author.
pub(crate) type Said<T> = Result<T, String>;

/// A table with names.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a>(&'a [(String, Value)]);

impl<'a> Table<'a> {
    /// `what` is what a message calls it. Nothing is an empty table.
    pub(crate) fn of(value: Option<&'a Value>, what: &str) -> Said<Table<'a>> {
        match value {
            Some(Value::Map(pairs)) => Ok(Table(pairs)),
            None | Some(Value::Nil) => Ok(Table(&[])),
            Some(other) => Err(format!("{what} is a table, not a {}", other.kind())),
        }
    }

    pub(crate) fn get(self, name: &str) -> Option<&'a Value> {
        let found = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        found.filter(|value| **value != Value::Nil)
    }

    pub(crate) fn table(self, name: &str) -> Said<Table<'a>> {
        Table::of(self.get(name), name)
    }

    pub(crate) fn text(self, name: &str) -> Said<Option<&'a str>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let Value::Bytes(bytes) = value else {
            return Err(format!("{name} is a string, not a {}", value.kind()));
        };
        let text = str::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))?;
        Ok(Some(text))
    }

    pub(crate) fn number(self, name: &str) -> Said<Option<f64>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Int(whole)) => Ok(Some(*whole as f64)),
            Some(Value::Float(number)) => Ok(Some(*number)),
            Some(other) => Err(format!("{name} is a number, not a {}", other.kind())),
        }
    }

    pub(crate) fn texts(self, name: &str) -> Said<Vec<&'a str>> {
        let list = match self.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::List(list)) => list.as_slice(),
            Some(Value::Map(pairs)) if pairs.is_empty() => return Ok(Vec::new()),
            Some(_) => return Err(format!("{name} is a list of strings")),
        };
        let text = |value: &'a Value| match value {
            Value::Bytes(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        };
        let texts: Option<Vec<_>> = list.iter().map(text).collect();
        texts.ok_or_else(|| format!("{name} is a list of strings"))
    }

    /// Pairs with plain values, in the order of the names.
    pub(crate) fn pairs(self) -> Vec<(&'a str, &'a Value)> {
        let mut pairs: Vec<_> = self.0.iter().map(|(name, value)| (&**name, value)).collect();
        pairs.sort_by_key(|pair| pair.0);
        pairs
    }

    /// Header fields: a name's value is a string, a number or a list of such.
    pub(crate) fn fields(self, name: &str) -> Said<Fields> {
        let mut fields = Fields::default();
        for (field, value) in self.table(name)?.pairs() {
            let values = match value {
                Value::List(list) => list.as_slice(),
                one => std::slice::from_ref(one),
            };
            for value in values {
                let text = plain(value).ok_or_else(|| {
                    format!("{name}: {field} is a string, not a {}", value.kind())
                })?;
                let name_is_one = !field.is_empty() && field.bytes().all(is_token);
                if !name_is_one || !is_value(&text) {
                    return Err(format!("{name}: {field} would split the message"));
                }
                fields.push_checked(field.as_bytes(), &text);
            }
        }
        Ok(fields)
    }

    /// A body: a string, or a list of its chunks.
    pub(crate) fn chunks(self, name: &str) -> Said<Vec<Bytes>> {
        let wrong = || format!("{name} is a string, or a list of strings");
        let chunk = |value: &Value| plain(value).map(Bytes::from).ok_or_else(wrong);
        let chunks: Said<Vec<_>> = match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::List(list)) => list.iter().map(chunk).collect(),
            Some(Value::Map(pairs)) if pairs.is_empty() => Ok(Vec::new()),
            Some(one) => chunk(one).map(|chunk| vec![chunk]),
        };
        Ok(chunks?.into_iter().filter(|chunk| !chunk.is_empty()).collect())
    }
}

/// A string, or a number as one.
fn plain(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes.clone()),
        Value::Int(whole) => Some(whole.to_string().into_bytes()),
        Value::Float(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

/// As JSON. Strings are text there.
pub(crate) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(is) => (*is).into(),
        Value::Int(whole) => (*whole).into(),
        Value::Uint(whole) => (*whole).into(),
        Value::Float(number) => (*number).into(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
        Value::List(list) => serde_json::Value::Array(list.iter().map(json).collect()),
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), json(value)));
            serde_json::Value::Object(pairs.collect())
        }
    }
}

/// As TOML, on one line. Nothing in it is looked up: `${` is two characters.
pub(crate) fn toml(value: &Value) -> Said<String> {
    Ok(match value {
        Value::Nil => return Err("a manifest has no nil".into()),
        Value::Bool(is) => is.to_string(),
        Value::Int(whole) => whole.to_string(),
        Value::Uint(whole) => whole.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Bytes(bytes) => literal(&String::from_utf8_lossy(bytes)),
        Value::List(list) => {
            let items: Said<Vec<_>> = list.iter().map(toml).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Map(pairs) => {
            let pair = |(name, value): &(String, Value)| {
                Ok(format!("{} = {}", literal(name), toml(value)?))
            };
            let pairs: Said<Vec<_>> = pairs.iter().map(pair).collect();
            format!("{{ {} }}", pairs?.join(", "))
        }
    })
}

/// A TOML string that stands for exactly this text. JSON's escapes are TOML's, but for DEL.
pub(crate) fn literal(text: &str) -> String {
    let json = serde_json::Value::from(text.replace("${", "$${")).to_string();
    json.replace('\u{7f}', "\\u007f")
}

/// A table for the test.
pub(crate) fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Bytes for the test.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

/// Fields as a list of pairs: who gets it makes a table of it.
pub(crate) fn list(fields: &Fields) -> Value {
    let pair = |(_, name, value): (_, &[u8], &[u8])| {
        Value::List(vec![bytes(&name.to_ascii_lowercase()), bytes(value)])
    };
    Value::List(fields.iter().map(pair).collect())
}
