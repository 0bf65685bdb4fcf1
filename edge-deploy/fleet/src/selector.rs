//! Which nodes: `role == "pop" and country in ["DE", "CH"] and not frozen`.
//!
//! A label that a node does not have equals nothing and is in no list; `!=` and `not in` are the
//! opposite of `==` and `in`. Only numbers are larger or smaller than others. A name alone asks whether
//! the label is `true`; `id` is the node's own name.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::label::{Labels, Value};

mod parse;

pub use parse::Misread;

/// A condition on a node's labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Selector {
    /// The label is `true`.
    Flag(String),
    /// The label compares so with a value.
    Compare(String, Order, Value),
    /// The label is one of these.
    In(String, Vec<Value>),
    /// Not so.
    Not(Box<Selector>),
    /// All of these.
    All(Vec<Selector>),
    /// Any of these.
    Any(Vec<Selector>),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

const ORDERS: &[(&str, Order)] = &[
    ("==", Order::Equal),
    ("!=", Order::Unequal),
    ("<=", Order::AtMost),
    (">=", Order::AtLeast),
    ("<", Order::Less),
    (">", Order::More),
];

impl Selector {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Selector, Misread> {
        parse::parse(text)
    }

    /// Whether the node with this name and these labels is meant.
    pub fn matches(&self, id: &str, labels: &Labels) -> bool {
        match self {
            Selector::Flag(name) => labels.get(name) == Some(&Value::Flag(true)),
            Selector::Compare(name, order, value) => {
                compare(name, id, labels, |label| order.holds(label, value), *order)
            }
            Selector::In(name, values) => {
                compare(name, id, labels, |label| values.contains(label), Order::Equal)
            }
            Selector::Not(inner) => !inner.matches(id, labels),
            Selector::All(parts) => parts.iter().all(|part| part.matches(id, labels)),
            Selector::Any(parts) => parts.iter().any(|part| part.matches(id, labels)),
        }
    }

    /// The labels that it names, in their order, with repetitions.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Selector::Flag(name) | Selector::Compare(name, ..) | Selector::In(name, _) => {
                vec![name]
            }
            Selector::Not(inner) => inner.names(),
            Selector::All(parts) | Selector::Any(parts) => {
                parts.iter().flat_map(Selector::names).collect()
            }
        }
    }
}

/// A label against a test; without the label only `!=` holds.
fn compare(
    name: &str,
    id: &str,
    labels: &Labels,
    test: impl Fn(&Value) -> bool,
    order: Order,
) -> bool {
    match labels.get(name) {
        Some(label) => test(label),
        None if name == "id" => test(&Value::Text(id.into())),
        None => order == Order::Unequal,
    }
}

impl Order {
    fn holds(self, label: &Value, value: &Value) -> bool {
        match (self, label, value) {
            (Order::Equal, ..) => label == value,
            (Order::Unequal, ..) => label != value,
            (Order::Less, Value::Number(a), Value::Number(b)) => a < b,
            (Order::AtMost, Value::Number(a), Value::Number(b)) => a <= b,
            (Order::More, Value::Number(a), Value::Number(b)) => a > b,
            (Order::AtLeast, Value::Number(a), Value::Number(b)) => a >= b,
            _ => false,
        }
    }
}

/// An expression that reads as the same selector.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Selector], word: &str| {
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Selector::All(_) | Selector::Any(_) => write!(f, "({part})")?,
                    _ => write!(f, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Selector::Flag(name) => f.write_str(name),
            Selector::Compare(name, order, value) => {
                let sign = ORDERS.iter().find(|(_, known)| known == order).map_or("", |(s, _)| s);
                write!(f, "{name} {sign} {value}")
            }
            Selector::In(name, values) => {
                let values: Vec<_> = values.iter().map(Value::to_string).collect();
                write!(f, "{name} in [{}]", values.join(", "))
            }
            Selector::Not(inner) => match inner.as_ref() {
                Selector::All(_) | Selector::Any(_) => write!(f, "not ({inner})"),
                _ => write!(f, "not {inner}"),
            },
            Selector::All(parts) => joined(f, parts, "and"),
            Selector::Any(parts) => joined(f, parts, "or"),
        }
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Selector, D::Error> {
        let text = String::deserialize(deserializer)?;
        Selector::parse(&text).map_err(|wrong| serde::de::Error::custom(wrong.message))
    }
}

#[cfg(test)]
mod tests;
