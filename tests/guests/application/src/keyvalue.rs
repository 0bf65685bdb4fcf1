//! What the application does with buckets.

wit_bindgen::generate!({
    inline: r#"
        package wasi:keyvalue@0.2.0-draft;

        interface store {
            variant error { no-such-store, access-denied, other(string) }
            record key-response { keys: list<string>, cursor: option<u64> }
            open: func(identifier: string) -> result<bucket, error>;
            resource bucket {
                get: func(key: string) -> result<option<list<u8>>, error>;
                set: func(key: string, value: list<u8>) -> result<_, error>;
                delete: func(key: string) -> result<_, error>;
                exists: func(key: string) -> result<bool, error>;
                list-keys: func(cursor: option<u64>) -> result<key-response, error>;
            }
        }

        interface atomics {
            use store.{bucket, error};
            increment: func(bucket: borrow<bucket>, key: string, delta: u64) -> result<u64, error>;
        }

        interface batch {
            use store.{bucket, error};
            get-many: func(bucket: borrow<bucket>, keys: list<string>)
                -> result<list<option<tuple<string, list<u8>>>>, error>;
            set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>)
                -> result<_, error>;
            delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>;
        }

        world buckets {
            import store;
            import atomics;
            import batch;
        }
    "#,
});

use wasi::keyvalue::store::{self, Bucket, Error};
use wasi::keyvalue::{atomics, batch};

/// Words of a query, each `operation:key:value`, on one bucket: `bucket,word,word`.
pub fn run(query: &str) -> String {
    let (name, words) = query.split_once(',').unwrap_or((query, ""));
    let bucket = match store::open(name) {
        Ok(bucket) => bucket,
        Err(error) => return format!("{error:?}"),
    };
    let said = words.split(',').map(|word| match one(&bucket, word) {
        Ok(text) => text,
        Err(error) => format!("{error:?}"),
    });
    said.collect::<Vec<_>>().join(" ")
}

fn one(bucket: &Bucket, word: &str) -> Result<String, Error> {
    let mut parts = word.split(':');
    let mut part = || parts.next().unwrap_or_default();
    let (operation, key, value) = (part(), part(), part());
    let text = |value: Option<Vec<u8>>| match value {
        Some(value) => String::from_utf8_lossy(&value).into_owned(),
        None => "none".to_owned(),
    };
    Ok(match operation {
        "get" => text(bucket.get(key)?),
        "set" => bucket.set(key, value.as_bytes()).map(|()| "set".to_owned())?,
        "fill" => {
            let value = vec![b'x'; value.parse().unwrap()];
            bucket.set(key, &value).map(|()| "filled".to_owned())?
        }
        "delete" => bucket.delete(key).map(|()| "deleted".to_owned())?,
        "exists" => bucket.exists(key)?.to_string(),
        "add" => atomics::increment(bucket, key, value.parse().unwrap())?.to_string(),
        "many" => {
            let pairs: Vec<_> = (0..key.parse().unwrap())
                .map(|n: u32| (format!("{value}{n}"), n.to_string().into_bytes()))
                .collect();
            batch::set_many(bucket, &pairs)?;
            let keys: Vec<String> = pairs.into_iter().map(|(key, _)| key).collect();
            let got = batch::get_many(bucket, &keys)?;
            let sum: usize = got.iter().flatten().map(|(_, value)| value.len()).sum();
            format!("{} {sum}", got.len())
        }
        "repeat" => {
            let keys = vec![key.to_owned(); value.parse().unwrap()];
            batch::get_many(bucket, &keys)?.len().to_string()
        }
        "forget" => {
            let keys: Vec<String> =
                (0..key.parse().unwrap()).map(|n: u32| format!("{value}{n}")).collect();
            batch::delete_many(bucket, &keys).map(|()| "forgotten".to_owned())?
        }
        "count" => {
            let (mut count, mut cursor, mut pages) = (0, None, 0);
            loop {
                let page = bucket.list_keys(cursor)?;
                (count, pages) = (count + page.keys.len(), pages + 1);
                cursor = page.cursor;
                if cursor.is_none() {
                    break format!("{count} in {pages}");
                }
            }
        }
        _ => "what".to_owned(),
    })
}
