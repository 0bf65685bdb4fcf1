//! The world as scripts see it while they are only being checked: nothing there answers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_filter::abi::Value;
use pilotlight_filter::host::{
    Fetch, FetchError, Fetched, Level, LogLine, Module, Services, Shared, Wait,
};

/// Services at load. A script's log lines are written when a worker runs it, so not here.
pub(crate) struct Scratch;

impl Services for Scratch {
    fn log(&self, _: &LogLine<'_>) {}

    fn logs(&self, _: Level) -> bool {
        false
    }

    fn now(&self) -> f64 {
        0.0
    }

    fn monotonic(&self) -> f64 {
        0.0
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(1);
    }

    fn sleep(&self, _: Duration) -> Wait<()> {
        Box::pin(std::future::ready(()))
    }

    fn fetch(&self, _: Fetch) -> Wait<Result<Fetched, FetchError>> {
        let error = FetchError("nothing can be fetched while a filter loads".into());
        Box::pin(std::future::ready(Err(error)))
    }

    fn shared(&self, _: &str) -> Option<Arc<dyn Shared>> {
        Some(Arc::new(Void))
    }

    fn module(&self, _: &str) -> Option<Rc<dyn Module>> {
        None
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
