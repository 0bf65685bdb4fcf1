//! The world as scripts see it while they are only being checked: nothing there answers.

use std::sync::Arc;

use pilotlight_filter::abi::Value;
use pilotlight_filter::host::{Services, Shared};

/// Services at load. A script's log lines are written and its tasks run when a worker runs it, not here.
pub(crate) struct Scratch;

impl Services for Scratch {
    fn shared(&self, _: &str) -> Option<Arc<dyn Shared>> {
        Some(Arc::new(Void))
    }
}

/// A dictionary that takes all and holds nothing: a check must not change what workers share.
struct Void;

impl Shared for Void {
    fn get(&self, _: &[u8]) -> Option<Value> {
        None
    }

    fn set(&self, _: &[u8], _: Value, _: f64) -> Result<(), &'static str> {
        Ok(())
    }

    fn add(&self, _: &[u8], _: Value, _: f64) -> Result<(), &'static str> {
        Ok(())
    }

    fn replace(&self, _: &[u8], _: Value, _: f64) -> Result<(), &'static str> {
        Err("not found")
    }

    fn incr(&self, _: &[u8], by: f64, init: Option<f64>, _: f64) -> Result<f64, &'static str> {
        init.map(|init| init + by).ok_or("not found")
    }

    fn delete(&self, _: &[u8]) {}

    fn expire(&self, _: &[u8], _: f64) -> bool {
        false
    }

    fn ttl(&self, _: &[u8]) -> Option<f64> {
        None
    }

    fn keys(&self, _: usize) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn flush(&self) {}
}
