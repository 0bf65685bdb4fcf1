//! `wasi:keyvalue`, draft 0.2.0: buckets are dictionaries of the manifest.

use std::sync::Arc;

use pilotlight_filter::abi::limit::CALL_BYTES;
use pilotlight_filter::abi::shared::{Kept, Put, Scalar, Shared};
use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource};

use super::{Store, resource, world};
use crate::host::Host;

struct Bucket(Arc<dyn Shared>);

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    #[allow(dead_code)] // it belongs to the interface
    Denied,
    #[component(name = "other")]
    Other(String),
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Keys {
    keys: Vec<String>,
    cursor: Option<u64>,
}

type Handle = Resource<Bucket>;
type Done<T> = Result<(Result<T, Error>,)>;

/// Keys of one answer.
const KEYS_MAX: usize = 1000;

fn bucket(store: &mut Store<'_>, handle: &Handle) -> Result<Arc<dyn Shared>> {
    Ok(Arc::clone(&world(store)?.table.get(handle)?.0))
}

fn other(text: &str) -> Error {
    Error::Other(text.to_owned())
}

/// A value as bytes: scripts may have put others there.
fn get(shared: &dyn Shared, key: &str) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    match shared.get(key.as_bytes(), &mut text)?.kept {
        Kept::Text => Some(text),
        Kept::Number(number) => Some(number.to_string().into_bytes()),
        Kept::Bool(truth) => Some(truth.to_string().into_bytes()),
        Kept::List => None,
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    let mut at = linker.instance("wasi:keyvalue/store@0.2.0-draft")?;
    resource::<Bucket>(&mut at, "bucket")?;
    at.func_wrap("open", |mut s: Store<'_>, (name,): (String,)| -> Done<Handle> {
        let grants = Arc::clone(&world(&mut s)?.grants);
        let granted = grants.buckets.iter().find(|(known, _)| *known == name);
        let shared = granted.and_then(|(_, name)| s.data().services.shared(name));
        let Some(shared) = shared else { return Ok((Err(Error::NoSuchStore),)) };
        Ok((Ok(world(&mut s)?.table.push(Bucket(shared))?),))
    })?;
    at.func_wrap(
        "[method]bucket.get",
        |mut s: Store<'_>, (b, key): (Handle, String)| -> Done<Option<Vec<u8>>> {
            Ok((Ok(get(&*bucket(&mut s, &b)?, &key)),))
        },
    )?;
    at.func_wrap(
        "[method]bucket.set",
        |mut s: Store<'_>, (b, key, value): (Handle, String, Vec<u8>)| -> Done<()> {
            let put = bucket(&mut s, &b)?.put(key.as_bytes(), Scalar::Text(&value), Put::default());
            Ok((put.map(drop).map_err(other),))
        },
    )?;
    at.func_wrap(
        "[method]bucket.delete",
        |mut s: Store<'_>, (b, key): (Handle, String)| -> Done<()> {
            bucket(&mut s, &b)?.delete(key.as_bytes());
            Ok((Ok(()),))
        },
    )?;
    at.func_wrap(
        "[method]bucket.exists",
        |mut s: Store<'_>, (b, key): (Handle, String)| -> Done<bool> {
            Ok((Ok(get(&*bucket(&mut s, &b)?, &key).is_some()),))
        },
    )?;
    at.func_wrap(
        "[method]bucket.list-keys",
        |mut s: Store<'_>, (b, cursor): (Handle, Option<u64>)| -> Done<Keys> {
            let from = usize::try_from(cursor.unwrap_or(0))?;
            let keys = bucket(&mut s, &b)?.keys(from.saturating_add(KEYS_MAX));
            let end = keys.len();
            let keys = keys.into_iter().skip(from);
            let keys: Vec<String> = keys.filter_map(|key| String::from_utf8(key).ok()).collect();
            let cursor = (end == from.saturating_add(KEYS_MAX)).then_some(end as u64);
            Ok((Ok(Keys { keys, cursor }),))
        },
    )?;
    batch(linker)?;
    let mut at = linker.instance("wasi:keyvalue/atomics@0.2.0-draft")?;
    at.func_wrap(
        "increment",
        |mut s: Store<'_>, (b, key, by): (Handle, String, u64)| -> Done<u64> {
            let sum = bucket(&mut s, &b)?.incr(key.as_bytes(), by as f64, Some(0.0), 0.0);
            Ok((sum.map(|(sum, _)| sum as u64).map_err(other),))
        },
    )
}

fn batch(linker: &mut Linker<Host>) -> Result<()> {
    type Pair = (String, Vec<u8>);
    let mut at = linker.instance("wasi:keyvalue/batch@0.2.0-draft")?;
    at.func_wrap(
        "get-many",
        |mut s: Store<'_>, (b, keys): (Handle, Vec<String>)| -> Done<Vec<Option<Pair>>> {
            let bucket = bucket(&mut s, &b)?;
            let (mut pairs, mut room) = (Vec::with_capacity(keys.len()), CALL_BYTES);
            for key in keys {
                let value = get(&*bucket, &key);
                // The same key may stand there a thousand times.
                let Some(left) = room.checked_sub(value.as_ref().map_or(0, Vec::len)) else {
                    return Ok((Err(other("more values than fit one answer")),));
                };
                room = left;
                pairs.push(value.map(|value| (key, value)));
            }
            Ok((Ok(pairs),))
        },
    )?;
    at.func_wrap("set-many", |mut s: Store<'_>, (b, pairs): (Handle, Vec<Pair>)| -> Done<()> {
        let bucket = bucket(&mut s, &b)?;
        let mut put = |(key, value): &Pair| {
            bucket.put(key.as_bytes(), Scalar::Text(value), Put::default()).map(drop)
        };
        Ok((pairs.iter().try_for_each(&mut put).map_err(other),))
    })?;
    at.func_wrap("delete-many", |mut s: Store<'_>, (b, keys): (Handle, Vec<String>)| -> Done<()> {
        let bucket = bucket(&mut s, &b)?;
        keys.iter().for_each(|key| bucket.delete(key.as_bytes()));
        Ok((Ok(()),))
    })
}
