//! JSON Schema of the manifest, made from the declarations in `raw`.

use serde_json::Value;

use crate::raw::{Root, Typed as _};

/// The schema (draft 7, which editors and taplo take).
pub fn schema() -> Value {
    let mut schema = serde_json::Map::new();
    schema.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    schema.insert("title".into(), "Pilotlight gateway manifest".into());
    if let Value::Object(root) = Root::schema() {
        schema.extend(root);
    }
    Value::Object(schema)
}

#[cfg(test)]
mod tests;
