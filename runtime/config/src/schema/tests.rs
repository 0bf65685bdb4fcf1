#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;

use super::*;
use crate::load::tests::{MAXIMAL, parse};

/// Every key that the schema knows, as `routes[].match.path` and `filters.*.lua`.
fn keys(schema: &Value, path: &str, out: &mut BTreeSet<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        out.insert(path.clone());
        keys(schema, &path, out);
    }
    if schema["additionalProperties"].is_object() {
        keys(&schema["additionalProperties"], &format!("{path}.*"), out);
    }
    if schema["items"].is_object() {
        keys(&schema["items"], &format!("{path}[]"), out);
    }
    for schema in schema["anyOf"].as_array().into_iter().flatten() {
        keys(schema, path, out);
    }
}

/// Every key of a manifest, in the same form.
fn used(
    value: &toml::de::DeValue<'_>,
    known: &BTreeSet<String>,
    path: &str,
    out: &mut BTreeSet<String>,
) {
    use toml::de::DeValue;
    match value {
        DeValue::Table(table) => {
            for (name, value) in table {
                let dot = if path.is_empty() { "" } else { "." };
                let mut inner = format!("{path}{dot}{}", name.get_ref());
                if !known.contains(&inner) {
                    inner = format!("{path}.*");
                }
                out.insert(inner.clone());
                used(value.get_ref(), known, &inner, out);
            }
        }
        DeValue::Array(items) => {
            for item in items {
                used(item.get_ref(), known, path, out);
                used(item.get_ref(), known, &format!("{path}[]"), out);
            }
        }
        _ => {}
    }
}

#[test]
fn the_reader_takes_every_key_of_the_schema_and_the_schema_knows_every_key_that_is_read() {
    let mut known = BTreeSet::new();
    keys(&schema(), "", &mut known);
    assert!(known.len() > 100, "{}", known.len());
    let table = toml::de::DeTable::parse(MAXIMAL).unwrap();
    let mut seen = BTreeSet::new();
    used(&toml::de::DeValue::Table(table.into_inner()), &known, "", &mut seen);
    let unused: Vec<_> = known.difference(&seen).collect();
    assert!(unused.is_empty(), "not in maximal.toml: {unused:?}");
    assert!(parse(MAXIMAL, &[]).is_ok());
}

#[test]
fn keys_of_later_versions_are_not_offered() {
    let mut known = BTreeSet::new();
    keys(&schema(), "", &mut known);
    assert!(!known.contains("filters.*.component"));
}

#[test]
fn it_is_draft_7_and_closed() {
    let schema = schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["listeners"]["items"]["required"][0], "address");
    let level = &schema["properties"]["log"]["properties"]["level"];
    assert_eq!(level["enum"][0], "error");
    assert_eq!(
        level["description"],
        "The least severe messages that are written. Default \"info\"."
    );
}
