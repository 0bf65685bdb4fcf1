//! The world as scripts see it while they are only being checked: nothing there answers.

use std::sync::Arc;

use pilotlight_filter::abi::shared::{End, Found, Kept, Mode, Put, Scalar};
use pilotlight_filter::host::{Services, Shared};

/// Services at load. A script's log lines are written and its tasks run when a worker runs it, not here.
pub(crate) struct Scratch {
    /// The time of the load: it stands still.
    pub(crate) now: f64,
}

impl Services for Scratch {
    fn now(&self) -> f64 {
        self.now
    }

    fn shared(&self, _: &str) -> Option<Arc<dyn Shared>> {
        Some(Arc::new(Void))
    }
}

/// A dictionary that takes all and holds nothing: a check must not change what workers share.
struct Void;

impl Shared for Void {
    fn get(&self, _: &[u8], _: &mut Vec<u8>) -> Option<Found> {
        None
    }

    fn get_stale(&self, _: &[u8], _: &mut Vec<u8>) -> Option<Found> {
        None
    }

    fn put(&self, _: &[u8], _: Scalar<'_>, put: Put) -> Result<bool, &'static str> {
        if put.mode == Mode::Replace { Err("not found") } else { Ok(false) }
    }

    fn incr(
        &self,
        _: &[u8],
        by: f64,
        init: Option<f64>,
        _: f64,
    ) -> Result<(f64, bool), &'static str> {
        init.map(|init| (init + by, false)).ok_or("not found")
    }

    fn delete(&self, _: &[u8]) {}

    fn prolong(&self, _: &[u8], by: f64, _: f64) -> Result<f64, f64> {
        Ok(by)
    }

    fn expire(&self, _: &[u8], _: f64, _: bool) -> bool {
        false
    }

    fn ttl(&self, _: &[u8]) -> Option<f64> {
        None
    }

    fn push(&self, _: &[u8], _: Scalar<'_>, _: End) -> Result<usize, &'static str> {
        Ok(1)
    }

    fn pop(&self, _: &[u8], _: End, _: &mut Vec<u8>) -> Result<Option<Kept>, &'static str> {
        Ok(None)
    }

    fn len(&self, _: &[u8]) -> Result<usize, &'static str> {
        Ok(0)
    }

    fn keys(&self, _: usize) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn flush(&self) {}

    fn expire_all(&self) {}

    fn flush_expired(&self, _: usize) -> usize {
        0
    }

    fn capacity(&self) -> u64 {
        0
    }

    fn used(&self) -> u64 {
        0
    }
}
