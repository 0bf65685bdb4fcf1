//! Shared dictionaries: the gateway's own, by the test's clock.

use pilotlight_abi::shared::{End, Found, Kept, Put, Scalar};
use pilotlight_core::shared::Dict;
use pilotlight_filter::host::Shared;

use crate::clock::Clock;

/// A dictionary of one test.
pub(crate) struct Dictionary {
    clock: Clock,
    dict: Dict,
}

impl Dictionary {
    pub(crate) fn new(bytes: u64, clock: Clock) -> Dictionary {
        Dictionary { clock, dict: Dict::new(bytes) }
    }

    fn now(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }
}

impl Shared for Dictionary {
    fn get(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found> {
        self.dict.get(key, text, self.now())
    }

    fn get_stale(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found> {
        self.dict.get_stale(key, text, self.now())
    }

    fn put(&self, key: &[u8], value: Scalar<'_>, put: Put) -> Result<bool, &'static str> {
        self.dict.put(key, value, put, self.now())
    }

    fn incr(
        &self,
        key: &[u8],
        by: f64,
        init: Option<f64>,
        ttl: f64,
    ) -> Result<(f64, bool), &'static str> {
        self.dict.incr(key, by, init, ttl, self.now())
    }

    fn delete(&self, key: &[u8]) {
        self.dict.delete(key);
    }

    fn expire(&self, key: &[u8], ttl: f64, revive: bool) -> bool {
        self.dict.expire(key, ttl, revive, self.now())
    }

    fn ttl(&self, key: &[u8]) -> Option<f64> {
        self.dict.ttl(key, self.now())
    }

    fn push(&self, key: &[u8], value: Scalar<'_>, end: End) -> Result<usize, &'static str> {
        self.dict.push(key, value, end, self.now())
    }

    fn pop(&self, key: &[u8], end: End, text: &mut Vec<u8>) -> Result<Option<Kept>, &'static str> {
        self.dict.pop(key, end, text, self.now())
    }

    fn len(&self, key: &[u8]) -> Result<usize, &'static str> {
        self.dict.len(key, self.now())
    }

    fn keys(&self, max: usize) -> Vec<Vec<u8>> {
        self.dict.keys(max, self.now())
    }

    fn flush(&self) {
        self.dict.flush();
    }

    fn expire_all(&self) {
        self.dict.expire_all(self.now());
    }

    fn flush_expired(&self, max: usize) -> usize {
        self.dict.flush_expired(max, self.now())
    }

    fn capacity(&self) -> u64 {
        self.dict.capacity()
    }

    fn used(&self) -> u64 {
        self.dict.used()
    }
}
