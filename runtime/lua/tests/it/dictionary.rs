//! Shared dictionaries of tests: the gateway's own, at a time that is told. The crate's own tests
//! include it, too.
#![allow(unreachable_pub)]

use std::cell::Cell;

use pilotlight_core::shared::Dict;
use pilotlight_filter::abi::shared::{End, Found, Kept, Put, Scalar};
use pilotlight_filter::host::Shared;

thread_local! {
    /// Seconds.
    pub static NOW: Cell<f64> = const { Cell::new(0.0) };
}

fn now() -> f64 {
    NOW.get()
}

/// A dictionary, and the time of its thread.
pub struct Dictionary(pub Dict);

impl Shared for Dictionary {
    fn get(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found> {
        self.0.get(key, text, now())
    }

    fn get_stale(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found> {
        self.0.get_stale(key, text, now())
    }

    fn put(&self, key: &[u8], value: Scalar<'_>, put: Put) -> Result<bool, &'static str> {
        self.0.put(key, value, put, now())
    }

    fn incr(
        &self,
        key: &[u8],
        by: f64,
        init: Option<f64>,
        ttl: f64,
    ) -> Result<(f64, bool), &'static str> {
        self.0.incr(key, by, init, ttl, now())
    }

    fn delete(&self, key: &[u8]) {
        self.0.delete(key);
    }

    fn expire(&self, key: &[u8], ttl: f64, revive: bool) -> bool {
        self.0.expire(key, ttl, revive, now())
    }

    fn ttl(&self, key: &[u8]) -> Option<f64> {
        self.0.ttl(key, now())
    }

    fn push(&self, key: &[u8], value: Scalar<'_>, end: End) -> Result<usize, &'static str> {
        self.0.push(key, value, end, now())
    }

    fn pop(&self, key: &[u8], end: End, text: &mut Vec<u8>) -> Result<Option<Kept>, &'static str> {
        self.0.pop(key, end, text, now())
    }

    fn len(&self, key: &[u8]) -> Result<usize, &'static str> {
        self.0.len(key, now())
    }

    fn keys(&self, max: usize) -> Vec<Vec<u8>> {
        self.0.keys(max, now())
    }

    fn flush(&self) {
        self.0.flush();
    }

    fn expire_all(&self) {
        self.0.expire_all(now());
    }

    fn flush_expired(&self, max: usize) -> usize {
        self.0.flush_expired(max, now())
    }

    fn capacity(&self) -> u64 {
        self.0.capacity()
    }

    fn used(&self) -> u64 {
        self.0.used()
    }
}
