//! References that a fleet's node answers, replaced in a manifest's text: what is left is a manifest
//! that stands alone, byte by byte as it was typed but for those strings.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The text with each `${KIND:NAME}` replaced for which `value` has something. That is read as the rest of the
/// string is: it may be a reference itself; [`literal`] makes sure that it is none. A text that is no TOML
/// stays as it is.
pub fn render(text: &str, value: &dyn Fn(&str, &str) -> Option<String>) -> String {
    let mut changes = Vec::new();
    strings(text, &mut |span, string| {
        let replaced = replace(string, value);
        if replaced != string {
            changes.push((span, quoted(&replaced)));
        }
    });
    let mut out = text.to_owned();
    changes.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, with) in changes {
        if out.is_char_boundary(span.start) && out.is_char_boundary(span.end) {
            out.replace_range(span, &with);
        }
    }
    out
}

/// The references of these kinds, as (kind, name).
pub fn references(text: &str, kinds: &[&str]) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    strings(text, &mut |_, string| {
        each(string, &mut |part| match part {
            Part::Reference(kind, name) if kinds.contains(&kind) => {
                found.insert((kind.to_owned(), name.to_owned()));
            }
            _ => {}
        });
    });
    found
}

/// A text as it is, whatever it looks like.
pub fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

/// All strings of a TOML text that stand as values, with their places.
fn strings(text: &str, found: &mut dyn FnMut(Range<usize>, &str)) {
    fn walk(value: &Spanned<DeValue<'_>>, found: &mut dyn FnMut(Range<usize>, &str)) {
        match value.get_ref() {
            DeValue::String(string) => found(value.span(), string),
            DeValue::Array(items) => items.iter().for_each(|item| walk(item, found)),
            DeValue::Table(table) => table.values().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    if let Ok(table) = DeTable::parse(text) {
        table.get_ref().values().for_each(|value| walk(value, found));
    }
}

enum Part<'t> {
    Text(&'t str),
    Reference(&'t str, &'t str),
}

/// A string in parts. `$${` is no reference.
fn each<'t>(text: &'t str, take: &mut dyn FnMut(Part<'t>)) {
    let mut rest = text;
    let mut from = 0;
    while let Some(at) = rest.get(from..).and_then(|rest| rest.find('$')).map(|at| from + at) {
        let behind = &rest[at..];
        if behind.starts_with("$${") {
            from = at + 3;
            continue;
        }
        let inner = behind.strip_prefix("${").and_then(|behind| behind.split_once('}'));
        let Some((kind, name)) = inner.and_then(|(inner, _)| inner.split_once(':')) else {
            from = at + 1;
            continue;
        };
        take(Part::Text(&rest[..at]));
        take(Part::Reference(kind, name));
        rest = &behind[kind.len() + name.len() + 4..];
        from = 0;
    }
    take(Part::Text(rest));
}

fn replace(text: &str, value: &dyn Fn(&str, &str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    each(text, &mut |part| match part {
        Part::Text(text) => out.push_str(text),
        Part::Reference(kind, name) => match value(kind, name) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&format!("${{{kind}:{name}}}")),
        },
    });
    out
}

/// As a basic string of TOML, on one line.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
