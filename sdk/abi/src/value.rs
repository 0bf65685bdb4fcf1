//! Values that cross between scripts, modules and the host.

/// A value of a call between engines. Strings are bytes, as in Lua.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number past what `Int` holds.
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// Bytes; text is UTF-8 by convention only.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// Named values, in order.
    Map(Vec<(String, Value)>),
}

/// Numbers of scripts are exact up to here.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Value {
    /// A script's number: whole where it is whole.
    pub fn number(number: f64) -> Value {
        let is_whole = number.fract() == 0.0 && number.abs() <= EXACT;
        match is_whole && (number != 0.0 || number.is_sign_positive()) {
            true => Value::Int(number as i64),
            false => Value::Float(number),
        }
    }

    /// What a script's author would call the type.
    pub const fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Bool(_) => "boolean",
            Value::Int(_) | Value::Uint(_) | Value::Float(_) => "number",
            Value::Bytes(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "table",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Bytes(text.as_bytes().to_vec())
    }
}
