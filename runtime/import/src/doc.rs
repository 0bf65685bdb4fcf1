//! A manifest as it is put together, and its text.

use std::fmt::Write as _;

/// Lines longer than that are broken up, where TOML can.
const WIDE: usize = 100;

/// A value of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    /// A text with references, `${env:NAME}`, as the manifest writes them.
    Reference(String),
    Whole(i64),
    Number(f64),
    Flag(bool),
    List(Vec<Value>),
    Table(Table),
}

/// Keys in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Table(pub(crate) Vec<(String, Value)>);

impl Table {
    pub(crate) fn new() -> Table {
        Table::default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Sets a key; one that is there keeps its place.
    pub(crate) fn put(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Sets `a.b`; what stood under `a` and is no table goes.
    pub(crate) fn put_in(&mut self, dotted: &str, value: impl Into<Value>) {
        let Some((first, rest)) = dotted.split_once('.') else { return self.put(dotted, value) };
        let old = self.0.iter_mut().find(|(name, _)| name == first);
        let old = old.map(|(_, old)| std::mem::replace(old, Value::Flag(false)));
        let mut inner = match old {
            Some(Value::Table(table)) => table,
            _ => Table::new(),
        };
        inner.put_in(rest, value);
        self.put(first, inner);
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Table {
        self.put(key, value);
        self
    }
}

impl From<Table> for Value {
    fn from(table: Table) -> Value {
        Value::Table(table)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Whole(number)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(list: Vec<T>) -> Value {
        Value::List(list.into_iter().map(Into::into).collect())
    }
}

/// A table of the manifest with its header.
#[derive(Debug, Clone)]
struct Section {
    /// As in `filters.auth`, its parts already written as keys.
    header: String,
    list: bool,
    comment: Option<String>,
    table: Table,
}

/// The manifest, section by section.
#[derive(Debug, Default)]
pub(crate) struct Doc {
    sections: Vec<Section>,
}

impl Doc {
    /// `[NAME]`, if anything is in it.
    pub(crate) fn section(&mut self, name: &str, table: Table) {
        if !table.is_empty() {
            let header = name.to_owned();
            self.sections.push(Section { header, list: false, comment: None, table });
        }
    }

    /// `[KIND.NAME]`.
    pub(crate) fn named(&mut self, kind: &str, name: &str, table: Table) {
        let header = format!("{kind}.{}", key(name));
        self.sections.push(Section { header, list: false, comment: None, table });
    }

    /// `[[NAME]]`.
    pub(crate) fn item(&mut self, name: &str, comment: Option<String>, table: Table) {
        self.sections.push(Section { header: name.to_owned(), list: true, comment, table });
    }

    /// The text, below a first line that says where it is from.
    pub(crate) fn text(&self, from: &str) -> String {
        let mut out = format!("# Made of {} by `pilotlight import`.\n", line(from));
        for section in &self.sections {
            out.push('\n');
            if let Some(comment) = &section.comment {
                let _ = writeln!(out, "# {}", line(comment));
            }
            if section.list {
                let _ = writeln!(out, "[[{}]]", section.header);
            } else if section.table.0.is_empty() || !section.table.0.iter().all(is_wide) {
                let _ = writeln!(out, "[{}]", section.header);
            }
            rows(&mut out, &section.header, &section.table);
        }
        out
    }
}

/// A comment's text: one line of it, without what TOML refuses in comments.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether a row is a table that gets a header of its own.
fn is_wide((name, value): &(String, Value)) -> bool {
    matches!(value, Value::Table(_)) && key(name).len() + inline(value).len() + 3 > WIDE
}

/// Keys with their values; tables too wide for a line follow under headers of their own.
fn rows(out: &mut String, header: &str, table: &Table) {
    let mut wide = Vec::new();
    for (name, value) in &table.0 {
        let row = format!("{} = {}", key(name), inline(value));
        match value {
            Value::Table(inner) if row.len() > WIDE => wide.push((name, inner)),
            Value::List(list) if row.len() > WIDE => {
                let _ = writeln!(out, "{} = [", key(name));
                for item in list {
                    let _ = writeln!(out, "  {},", inline(item));
                }
                out.push_str("]\n");
            }
            _ => {
                out.push_str(&row);
                out.push('\n');
            }
        }
    }
    for (name, inner) in wide {
        let header = format!("{header}.{}", key(name));
        let _ = writeln!(out, "[{header}]");
        rows(out, &header, inner);
    }
}

fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}

/// A basic string. JSON's escapes are TOML's, but for DEL.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn inline(value: &Value) -> String {
    match value {
        // `${` would begin a reference.
        Value::Text(text) => quoted(&text.replace("${", "$${")),
        Value::Reference(text) => quoted(text),
        Value::Whole(number) => number.to_string(),
        Value::Number(number) if number.is_nan() => "nan".to_owned(),
        Value::Number(number) if number.is_infinite() => {
            if *number > 0.0 {
                "inf".to_owned()
            } else {
                "-inf".to_owned()
            }
        }
        Value::Number(number) => format!("{number:?}"),
        Value::Flag(flag) => flag.to_string(),
        Value::List(list) => format!("[{}]", joined(list.iter().map(inline))),
        Value::Table(table) if table.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let row =
                |(name, value): &(String, Value)| format!("{} = {}", key(name), inline(value));
            format!("{{ {} }}", joined(table.0.iter().map(row)))
        }
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// The name itself, or with a number behind it, such that `fits` holds: a name stands for one thing.
pub(crate) fn free(base: &str, mut fits: impl FnMut(&str) -> bool) -> String {
    let mut name = base.to_owned();
    let mut number = 1;
    while !fits(&name) {
        number += 1;
        name = format!("{base}-{number}");
    }
    name
}

/// A text as the name of a filter, an upstream or a file: letters, digits, `-`, `_` and `.`.
pub(crate) fn name(text: &str, empty: &str) -> String {
    let fine = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let mut name = String::new();
    for c in text.chars().map(fine) {
        if c != '_' || !name.ends_with('_') {
            name.push(c);
        }
    }
    let trimmed = name.trim_matches(|c| c == '_' || c == '.');
    let short: String = trimmed.chars().take(100).collect();
    if short.is_empty() { empty.to_owned() } else { short }
}
