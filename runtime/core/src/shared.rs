//! Dictionaries that all workers share: `gateway.shared`, `ngx.shared`.
//!
//! A dictionary is split into shards by the hash of the key, each behind its own lock, so that
//! workers rarely wait for each other. Each shard has its part of the bytes, and evicts what was
//! used longest ago when they are used up. What has expired stands there until its place is
//! wanted, or it is the oldest. Times are seconds of any clock, as arguments.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::FixedState;
use pilotlight_abi::shared::{End, Found, Kept, Mode, Put, Scalar};

mod shard;
mod timed;
mod value;

use shard::{Full, Shard, Write};
pub use timed::Timed;
use value::{List, Stored};

/// The most shards of a dictionary.
const SHARDS: usize = 16;

/// A shard has at least that many bytes: a small dictionary has fewer shards, or it could hold
/// only small values, and would evict what was not used longest ago.
const MIN_SHARD: u64 = 1024 * 1024;

/// It can't fit.
pub const NO_MEMORY: &str = "no memory";
/// The key is there already.
pub const EXISTS: &str = "exists";
/// The key is not there.
pub const NOT_FOUND: &str = "not found";
/// The value can't be counted with.
pub const NOT_A_NUMBER: &str = "not a number";
/// The value has no ends.
pub const NOT_A_LIST: &str = "value not a list";

/// A dictionary.
#[derive(Debug)]
pub struct Dict {
    shards: Box<[Mutex<Shard>]>,
    hash: FixedState,
    capacity: u64,
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

    /// The entry, unless it is not there or has expired. Its text goes to `text`.
    pub fn get(&self, key: &[u8], text: &mut Vec<u8>, now: f64) -> Option<Found> {
        let (mut shard, hash) = self.shard(key);
        shard.sweep(now);
        let entry = shard.live(hash, key, now)?;
        let (flags, (kept, bytes)) = (entry.flags, entry.value.look());
        drop(shard);
        copy(bytes, text);
        Some(Found { kept, flags, stale: false })
    }

    /// The same, but an expired one will do as long as it stands there.
    pub fn get_stale(&self, key: &[u8], text: &mut Vec<u8>, now: f64) -> Option<Found> {
        let (mut shard, hash) = self.shard(key);
        let stale = shard.live(hash, key, now).is_none();
        let entry = shard.peek(hash, key)?;
        let (flags, (kept, bytes)) = (entry.flags, entry.value.look());
        drop(shard);
        copy(bytes, text);
        Some(Found { kept, flags, stale })
    }

    /// Puts a value; says whether it had to evict an entry that had not expired.
    ///
    /// # Errors
    /// [`EXISTS`] and [`NOT_FOUND`] by the mode; [`NO_MEMORY`] when it is larger than a shard, or
    /// finds no room and is to be safe. The old value stays then.
    pub fn put(
        &self,
        key: &[u8],
        value: Scalar<'_>,
        put: Put,
        now: f64,
    ) -> Result<bool, &'static str> {
        let value = Stored::from(value);
        let (mut shard, hash) = self.shard(key);
        shard.sweep(now);
        match (put.mode, shard.peek(hash, key).is_some_and(|entry| entry.is_live(now))) {
            (Mode::Add, true) => return Err(EXISTS),
            (Mode::Replace, false) => return Err(NOT_FOUND),
            _ => {}
        }
        let Put { safe, ttl, flags, .. } = put;
        Ok(shard.put(hash, key, Write { value, until: until(ttl, now), flags, safe }, now)?)
    }

    /// Adds to a number, whose time to live stays; starts from `init` (with `ttl`) when it is not
    /// there. The sum, and whether a new entry had to evict one that had not expired.
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
    ) -> Result<(f64, bool), &'static str> {
        let (mut shard, hash) = self.shard(key);
        shard.sweep(now);
        if let Some(entry) = shard.live(hash, key, now) {
            let Stored::Number(number) = &mut entry.value else { return Err(NOT_A_NUMBER) };
            *number += by;
            return Ok((*number, false));
        }
        let sum = init.ok_or(NOT_FOUND)? + by;
        let (value, until) = (Stored::Number(sum), until(ttl, now));
        let forced = shard.put(hash, key, Write { value, until, flags: 0, safe: false }, now)?;
        Ok((sum, forced))
    }

    /// Takes it away.
    pub fn delete(&self, key: &[u8]) {
        let (mut shard, hash) = self.shard(key);
        shard.delete(hash, key);
    }

    /// Lets an entry live so much longer, if it lives no more than `most` then; one that is not there begins.
    /// How long it lives now.
    ///
    /// # Errors
    /// It would live too long: how long it lives, as before.
    pub fn prolong(&self, key: &[u8], by: f64, most: f64, now: f64) -> Result<f64, f64> {
        let (mut shard, hash) = self.shard(key);
        shard.sweep(now);
        let entry = shard.live(hash, key, now);
        let left = entry.as_ref().map_or(0.0, |entry| entry.until - now);
        // What was put together of many parts is not exact.
        if left + by > most + 1e-9 {
            return Err(left);
        }
        let until = now + left + by;
        match entry {
            Some(entry) => entry.until = until,
            None => {
                let write = Write { value: Stored::Bool(true), until, flags: 0, safe: false };
                drop(shard.put(hash, key, write, now));
            }
        }
        Ok(left + by)
    }

    /// Sets a new time to live (0: for ever); false when it is not there. An expired entry that
    /// stands there may come back to life.
    pub fn expire(&self, key: &[u8], ttl: f64, revive: bool, now: f64) -> bool {
        let (mut shard, hash) = self.shard(key);
        match shard.peek(hash, key) {
            Some(entry) if revive || entry.is_live(now) => {
                entry.until = until(ttl, now);
                true
            }
            _ => false,
        }
    }

    /// Seconds left: infinite for ever, not above 0 for what has expired and stands there, `None`
    /// when it is not there.
    pub fn ttl(&self, key: &[u8], now: f64) -> Option<f64> {
        let (mut shard, hash) = self.shard(key);
        Some(shard.peek(hash, key)?.until - now)
    }

    /// Puts a value at an end of a list, which begins with it if it is not there; its new length.
    ///
    /// # Errors
    /// [`NOT_A_LIST`], [`NO_MEMORY`]: nothing is evicted for it.
    pub fn push(
        &self,
        key: &[u8],
        value: Scalar<'_>,
        end: End,
        now: f64,
    ) -> Result<usize, &'static str> {
        let value = Stored::from(value);
        let (mut shard, hash) = self.shard(key);
        shard.sweep(now);
        let room = shard.room();
        let Some(entry) = shard.live(hash, key, now) else {
            let mut list = List::default();
            list.push(value, end);
            let value = Stored::List(Box::new(list));
            let write = Write { value, until: f64::INFINITY, flags: 0, safe: true };
            shard.put(hash, key, write, now)?;
            return Ok(1);
        };
        if !matches!(entry.value, Stored::List(_)) {
            return Err(NOT_A_LIST);
        }
        if List::price(&value) > room {
            return Err(NO_MEMORY);
        }
        let pushed = shard.change(hash, key, |list| match list {
            Stored::List(list) => {
                list.push(value, end);
                Some(list.len())
            }
            _ => None,
        });
        pushed.flatten().ok_or(NOT_A_LIST)
    }

    /// Takes a value from an end of a list; an empty list goes. `None` when it is not there.
    ///
    /// # Errors
    /// [`NOT_A_LIST`].
    pub fn pop(
        &self,
        key: &[u8],
        end: End,
        text: &mut Vec<u8>,
        now: f64,
    ) -> Result<Option<Kept>, &'static str> {
        let (mut shard, hash) = self.shard(key);
        shard.sweep(now);
        if shard.live(hash, key, now).is_none() {
            return Ok(None);
        }
        let popped = shard.change(hash, key, |list| match list {
            Stored::List(list) => list.pop(end).map(|item| (item, list.len())),
            _ => None,
        });
        let (item, left) = popped.flatten().ok_or(NOT_A_LIST)?;
        if left == 0 {
            shard.delete(hash, key);
        }
        drop(shard);
        let (kept, bytes) = item.look();
        copy(bytes, text);
        Ok(Some(kept))
    }

    /// How long a list is; 0 when it is not there.
    ///
    /// # Errors
    /// [`NOT_A_LIST`].
    pub fn len(&self, key: &[u8], now: f64) -> Result<usize, &'static str> {
        let (mut shard, hash) = self.shard(key);
        shard.sweep(now);
        match shard.live(hash, key, now).map(|entry| &entry.value) {
            None => Ok(0),
            Some(Stored::List(list)) => Ok(list.len()),
            Some(_) => Err(NOT_A_LIST),
        }
    }

    /// At most `max` keys (0: all), in each shard those used longest ago first. One shard after
    /// the other is locked: others may write in between.
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

    /// From now on all have expired.
    pub fn expire_all(&self, now: f64) {
        self.shards.iter().for_each(|shard| lock(shard).expire_all(now));
    }

    /// Takes away at most `max` expired entries (0: all); how many it were.
    pub fn flush_expired(&self, max: usize, now: f64) -> usize {
        let most = if max == 0 { usize::MAX } else { max };
        let shards = self.shards.iter();
        shards.fold(0, |gone, shard| gone + lock(shard).flush_expired(most - gone, now))
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

/// Hands over bytes, after the lock.
fn copy(bytes: Option<Arc<[u8]>>, text: &mut Vec<u8>) {
    if let Some(bytes) = bytes {
        text.clear();
        text.extend_from_slice(&bytes);
    }
}

impl From<Full> for &'static str {
    fn from(_: Full) -> &'static str {
        NO_MEMORY
    }
}

#[cfg(test)]
mod tests;
