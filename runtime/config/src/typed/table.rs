//! The macro that makes a struct, its reader and its schema from one declaration.

use serde_json::{Map, Value as Json, json};

use super::read::{Name, Reader, Value};

/// A key of a table.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it says, line by line.
    pub doc: &'static [&'static str],
    /// Belongs to the contract, but not to this version.
    pub later: bool,
    /// What may stand there.
    pub schema: fn() -> Json,
}

/// Reads the value of one key into its place; whether it could be read.
pub type Put<T> = fn(&mut T, &Name<'_>, &Value<'_>, &mut Reader<'_>) -> bool;

/// A table with keys known beforehand.
pub trait Table: Sized {
    /// All of them.
    const KEYS: &'static [Key];

    /// Names of keys that must be there.
    const NEEDED: &'static [&'static str];
}

/// The schema of a table: an object that takes its keys and no others.
pub fn table_schema(doc: &[&str], keys: &[Key], needed: &[&str]) -> Json {
    let mut properties = Map::new();
    for key in keys.iter().filter(|key| !key.later) {
        let mut schema = (key.schema)();
        if let Some(schema) = schema.as_object_mut().filter(|_| !key.doc.is_empty()) {
            schema.insert("description".into(), text(key.doc).into());
        }
        properties.insert(key.name.into(), schema);
    }
    let mut schema = json!({
        "type": "object",
        "description": text(doc),
        "properties": properties,
        "additionalProperties": false,
    });
    if !needed.is_empty() {
        schema["required"] = needed.into();
    }
    schema
}

/// `a table`, with the keys that it needs.
pub fn expected(needed: &[&str]) -> String {
    match needed {
        [] => "a table".into(),
        keys => format!("a table with {}", keys.join(" and ")),
    }
}

fn text(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// The key that a field's name stands for: `r#match` is `match`.
pub const fn key(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Declares tables: each a struct with its reader and its schema.
#[doc(hidden)]
#[macro_export]
macro_rules! __tables {
    ($(
        $(#[doc = $doc:literal])*
        struct $Name:ident $(needs [$($need:ident),*])? {
            $( $(#[doc = $key_doc:literal])* $key:ident: $Kind:ty, )*
        }
    )*) => { $(
        $(#[doc = $doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $Name {
            $( $(#[doc = $key_doc])* pub(crate) $key: Option<$crate::typed::At<$Kind>>, )*
            /// A key was there that could not be read: what seems missing may be meant by it.
            pub(crate) broken: bool,
        }

        impl $crate::typed::Table for $Name {
            const KEYS: &'static [$crate::typed::Key] = &[ $( $crate::typed::Key {
                name: $crate::typed::key(stringify!($key)),
                doc: &[$($key_doc),*],
                later: <$Kind as $crate::typed::Typed>::LATER,
                schema: <$Kind as $crate::typed::Typed>::schema,
            }, )* ];

            const NEEDED: &'static [&'static str] = &[$($($crate::typed::key(stringify!($need))),*)?];
        }

        impl $crate::typed::Typed for $Name {
            const TABLE: bool = true;

            fn expected() -> String {
                $crate::typed::expected(<Self as $crate::typed::Table>::NEEDED)
            }

            fn read(
                value: &$crate::typed::Value<'_>,
                reader: &mut $crate::typed::Reader<'_>,
            ) -> Option<Self> {
                // A row each: as one piece of code, the tables of the gateway take 100 KiB more.
                const PUT: &[$crate::typed::Put<$Name>] = &[
                    $( |this, key, value, reader| reader.put(&mut this.$key, key, value), )*
                ];
                let mut this = Self::default();
                this.broken = reader.keys::<Self>(value, &mut |at, key, value, reader| {
                    PUT[at](&mut this, key, value, reader)
                })?;
                Some(this)
            }

            fn schema() -> $crate::typed::Json {
                use $crate::typed::Table as _;
                $crate::typed::table_schema(&[$($doc),*], Self::KEYS, Self::NEEDED)
            }

            fn join(
                &mut self,
                other: Self,
                reader: &mut $crate::typed::Reader<'_>,
            ) -> Result<(), Self> {
                $( reader.join_key($crate::typed::key(stringify!($key)), &mut self.$key, other.$key); )*
                self.broken |= other.broken;
                Ok(())
            }
        }
    )* };
}
pub use __tables as tables;
