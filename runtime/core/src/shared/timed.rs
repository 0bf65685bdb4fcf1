//! A dictionary as scripts see it: what happens to it happens now.

use pilotlight_abi::shared::{End, Found, Kept, Put, Scalar, Shared};

use super::Dict;

/// A dictionary, with somebody who tells the time in seconds.
pub struct Timed<C> {
    dict: Dict,
    now: C,
}

impl<C: Fn() -> f64> Timed<C> {
    /// The dictionary by that clock.
    pub fn new(dict: Dict, now: C) -> Timed<C> {
        Timed { dict, now }
    }
}

impl<C: Fn() -> f64 + Send + Sync> Shared for Timed<C> {
    fn get(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found> {
        self.dict.get(key, text, (self.now)())
    }

    fn get_stale(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found> {
        self.dict.get_stale(key, text, (self.now)())
    }

    fn put(&self, key: &[u8], value: Scalar<'_>, put: Put) -> Result<bool, &'static str> {
        self.dict.put(key, value, put, (self.now)())
    }

    fn incr(
        &self,
        key: &[u8],
        by: f64,
        init: Option<f64>,
        ttl: f64,
    ) -> Result<(f64, bool), &'static str> {
        self.dict.incr(key, by, init, ttl, (self.now)())
    }

    fn delete(&self, key: &[u8]) {
        self.dict.delete(key);
    }

    fn prolong(&self, key: &[u8], by: f64, most: f64) -> Result<f64, f64> {
        self.dict.prolong(key, by, most, (self.now)())
    }

    fn expire(&self, key: &[u8], ttl: f64, revive: bool) -> bool {
        self.dict.expire(key, ttl, revive, (self.now)())
    }

    fn ttl(&self, key: &[u8]) -> Option<f64> {
        self.dict.ttl(key, (self.now)())
    }

    fn push(&self, key: &[u8], value: Scalar<'_>, end: End) -> Result<usize, &'static str> {
        self.dict.push(key, value, end, (self.now)())
    }

    fn pop(&self, key: &[u8], end: End, text: &mut Vec<u8>) -> Result<Option<Kept>, &'static str> {
        self.dict.pop(key, end, text, (self.now)())
    }

    fn len(&self, key: &[u8]) -> Result<usize, &'static str> {
        self.dict.len(key, (self.now)())
    }

    fn keys(&self, max: usize) -> Vec<Vec<u8>> {
        self.dict.keys(max, (self.now)())
    }

    fn flush(&self) {
        self.dict.flush();
    }

    fn expire_all(&self) {
        self.dict.expire_all((self.now)());
    }

    fn flush_expired(&self, max: usize) -> usize {
        self.dict.flush_expired(max, (self.now)())
    }

    fn capacity(&self) -> u64 {
        self.dict.capacity()
    }

    fn used(&self) -> u64 {
        self.dict.used()
    }
}
