//! Dictionaries that all workers share: `gateway.shared`.
//!
//! A dictionary is split into shards by the hash of the key, each behind its own lock, so that
//! workers rarely wait for each other. Each shard has its part of the bytes, and evicts what was
//! used longest ago when they are used up. Times are seconds of any clock, as arguments.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::FixedState;
use pilotlight_abi::Value;

mod shard;

use shard::{Full, Shard};

/// The most shards of a dictionary.
const SHARDS: usize = 16;

/// A shard has at least that many bytes: a small dictionary has fewer shards, or it could hold
/// only small values.
const MIN_SHARD: u64 = 256 * 1024;

/// What [`Dict::set`] and the others say when it can't fit.
pub const NO_MEMORY: &str = "no memory";
/// The key is there already.
pub const EXISTS: &str = "exists";
/// The key is not there.
pub const NOT_FOUND: &str = "not found";
/// The value can't be counted with.
pub const NOT_A_NUMBER: &str = "not a number";
/// A list, a table or nothing: only scalars are shared.
pub const BAD_TYPE: &str = "bad value type";

/// A dictionary.
#[derive(Debug)]
pub struct Dict {
    shards: Box<[Mutex<Shard>]>,
    hash: FixedState,
    capacity: u64,
}

/// A value as it is kept. Bytes are copied outside of the lock.
#[derive(Debug, Clone, PartialEq)]
enum Stored {
    Bool(bool),
    Int(i64),
    Float(f64),
    Bytes(Arc<[u8]>),
}

impl Dict {
    /// A dictionary of at most that many bytes, keys and bookkeeping included.
    pub fn new(bytes: u64) -> Dict {
        Dict::with_seed(bytes, 0)
    }

    /// The same with a secret seed, so that clients who choose keys can't make them collide.
    pub fn with_seed(bytes: u64, seed: u64) -> Dict {
        let most = usize::try_from(bytes / MIN_SHARD).unwrap_or(SHARDS).clamp(1, SHARDS);
        // A power of two, so that a shard is some bits of the hash.
        let count = 1usize << most.ilog2();
        let budget = usize::try_from(bytes / count as u64).unwrap_or(usize::MAX);
        let shards = (0..count).map(|_| Mutex::new(Shard::new(budget)));
        let hash = FixedState::with_seed(seed);
        Dict { shards: shards.collect(), hash, capacity: bytes }
    }

    /// The value, unless it is not there or expired.
    pub fn get(&self, key: &[u8], now: f64) -> Option<Value> {
        let (mut shard, hash) = self.shard(key);
        let stored = shard.get(hash, key, now).cloned();
        drop(shard);
        stored.map(Value::from)
    }

    /// Sets it, with a time to live in seconds (0: for ever; below: it is gone at once).
    ///
    /// # Errors
    /// [`NO_MEMORY`] when it is larger than a shard, [`BAD_TYPE`]. The old value stays then.
    pub fn set(&self, key: &[u8], value: Value, ttl: f64, now: f64) -> Result<(), &'static str> {
        let stored = Stored::try_from(value)?;
        let (mut shard, hash) = self.shard(key);
        Ok(shard.put(hash, key, stored, until(ttl, now), now)?)
    }

    /// Sets it if it is not there.
    ///
    /// # Errors
    /// [`EXISTS`], [`NO_MEMORY`], [`BAD_TYPE`].
    pub fn add(&self, key: &[u8], value: Value, ttl: f64, now: f64) -> Result<(), &'static str> {
        let stored = Stored::try_from(value)?;
        let (mut shard, hash) = self.shard(key);
        match shard.get(hash, key, now) {
            Some(_) => Err(EXISTS),
            None => Ok(shard.put(hash, key, stored, until(ttl, now), now)?),
        }
    }

    /// Sets it if it is there.
    ///
    /// # Errors
    /// [`NOT_FOUND`], [`NO_MEMORY`], [`BAD_TYPE`].
    pub fn replace(
        &self,
        key: &[u8],
        value: Value,
        ttl: f64,
        now: f64,
    ) -> Result<(), &'static str> {
        let stored = Stored::try_from(value)?;
        let (mut shard, hash) = self.shard(key);
        match shard.get(hash, key, now) {
            Some(_) => Ok(shard.put(hash, key, stored, until(ttl, now), now)?),
            None => Err(NOT_FOUND),
        }
    }

    /// Adds to a number, whose time to live stays; starts from `init` (with `ttl`) when it is not
    /// there. Whole numbers stay whole as long as whole numbers are added.
    ///
    /// # Errors
    /// [`NOT_FOUND`], [`NOT_A_NUMBER`], [`NO_MEMORY`].
    pub fn incr(
        &self,
        key: &[u8],
        by: f64,
        init: Option<f64>,
        ttl: f64,
        now: f64,
    ) -> Result<f64, &'static str> {
        let (mut shard, hash) = self.shard(key);
        if let Some(stored) = shard.get(hash, key, now) {
            let (sum, result) = stored.plus(by).ok_or(NOT_A_NUMBER)?;
            *stored = sum;
            return Ok(result);
        }
        let start = init.ok_or(NOT_FOUND)?;
        let (sum, result) = Stored::number(start).plus(by).ok_or(NOT_A_NUMBER)?;
        shard.put(hash, key, sum, until(ttl, now), now)?;
        Ok(result)
    }

    /// Takes it away.
    pub fn delete(&self, key: &[u8]) {
        let (mut shard, hash) = self.shard(key);
        shard.delete(hash, key);
    }

    /// Sets a new time to live (0: for ever); false when it is not there.
    pub fn expire(&self, key: &[u8], ttl: f64, now: f64) -> bool {
        let (mut shard, hash) = self.shard(key);
        shard.expire(hash, key, until(ttl, now), now)
    }

    /// Seconds left: 0 for ever, `None` when it is not there.
    pub fn ttl(&self, key: &[u8], now: f64) -> Option<f64> {
        let (shard, hash) = self.shard(key);
        let until = shard.until(hash, key, now)?;
        Some(if until.is_finite() { until - now } else { 0.0 })
    }

    /// At most `max` keys (0: all), in no order. One shard after the other is locked: others may
    /// write in between.
    pub fn keys(&self, max: usize, now: f64) -> Vec<Vec<u8>> {
        let most = if max == 0 { usize::MAX } else { max };
        let mut keys = Vec::new();
        for shard in &self.shards {
            let left = most - keys.len();
            keys.extend(lock(shard).keys(now).take(left).map(<[u8]>::to_vec));
        }
        keys
    }

    /// Takes all away.
    pub fn flush(&self) {
        self.shards.iter().for_each(|shard| lock(shard).flush());
    }

    /// Bytes that it may use.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes that it uses, expired values included.
    pub fn used(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).used() as u64).sum()
    }

    /// The shard of a key, and the key's hash.
    fn shard(&self, key: &[u8]) -> (MutexGuard<'_, Shard>, u64) {
        let hash = self.hash.hash_one(key);
        // The shard by the upper bits: the shard's own table takes the lower.
        let index = (hash >> 60) as usize & (self.shards.len() - 1);
        (lock(&self.shards[index]), hash)
    }
}

/// A shard is whole between two calls: a panic elsewhere does not make it useless.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a time to live ends.
fn until(ttl: f64, now: f64) -> f64 {
    if ttl == 0.0 || ttl.is_nan() { f64::INFINITY } else { now + ttl }
}

impl From<Full> for &'static str {
    fn from(_: Full) -> &'static str {
        NO_MEMORY
    }
}

/// Whole numbers beyond are not all told apart by a float.
const WHOLE: f64 = 9_007_199_254_740_992.0;

impl Stored {
    /// Bytes beside the entry itself.
    fn size(&self) -> usize {
        match self {
            Stored::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }

    fn number(number: f64) -> Stored {
        match whole(number) {
            Some(whole) => Stored::Int(whole),
            None => Stored::Float(number),
        }
    }

    /// The sum, as it is kept and as it is told. `None` when this is no number.
    fn plus(&self, by: f64) -> Option<(Stored, f64)> {
        match self {
            Stored::Int(int) => {
                let sum = whole(by).and_then(|by| int.checked_add(by));
                let float = *int as f64 + by;
                Some(match sum {
                    Some(sum) => (Stored::Int(sum), sum as f64),
                    None => (Stored::Float(float), float),
                })
            }
            Stored::Float(float) => Some((Stored::Float(float + by), float + by)),
            Stored::Bool(_) | Stored::Bytes(_) => None,
        }
    }
}

fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= WHOLE).then_some(number as i64)
}

impl TryFrom<Value> for Stored {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Stored, &'static str> {
        Ok(match value {
            Value::Bool(bool) => Stored::Bool(bool),
            Value::Int(int) => Stored::Int(int),
            Value::Float(float) => Stored::Float(float),
            Value::Bytes(bytes) => Stored::Bytes(bytes.into()),
            Value::Nil | Value::List(_) | Value::Map(_) => return Err(BAD_TYPE),
        })
    }
}

impl From<Stored> for Value {
    fn from(stored: Stored) -> Value {
        match stored {
            Stored::Bool(bool) => Value::Bool(bool),
            Stored::Int(int) => Value::Int(int),
            Stored::Float(float) => Value::Float(float),
            Stored::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests;
