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

impl Value {
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
