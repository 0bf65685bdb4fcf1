//! What programs get of the world, on one worker.

mod fetch;
mod subrequest;

use std::any::Any;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use pilotlight_abi::Value;
use pilotlight_core::shared::Dict;
use pilotlight_filter::Services;
use pilotlight_filter::host::{
    Fetch, FetchError, Fetched, Level, LogLine, Module, Shared, Subanswer, Subrequest, Wait,
};

use crate::clock::{self, Clock};
use crate::generation::Local;
use crate::worker::Worker;

/// The services of one realm.
pub(crate) struct Host {
    worker: Weak<Worker>,
    local: Weak<Local>,
    clock: Clock,
}

impl Host {
    pub(crate) fn new(worker: Weak<Worker>, local: Weak<Local>, clock: Clock) -> Rc<Host> {
        Rc::new(Host { worker, local, clock })
    }

    /// Where requests of a program's own are made.
    fn place(&self) -> Result<(Rc<Worker>, Rc<Local>), FetchError> {
        let place = self.worker.upgrade().zip(self.local.upgrade());
        place.ok_or_else(|| FetchError("the gateway is closing".into()))
    }
}

impl Services for Host {
    fn log(&self, line: &LogLine<'_>) {
        if let Some(worker) = self.worker.upgrade() {
            worker.log.script(line);
        }
    }

    fn logs(&self, level: Level) -> bool {
        self.worker.upgrade().is_some_and(|worker| worker.log.logs(level))
    }

    fn now(&self) -> f64 {
        self.clock.wall().as_secs_f64()
    }

    fn monotonic(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    fn random(&self, buffer: &mut [u8]) {
        clock::random(buffer);
    }

    fn worker(&self) -> (usize, usize) {
        self.worker.upgrade().map_or((0, 1), |worker| worker.place())
    }

    fn sleep(&self, duration: Duration) -> Wait<()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: Wait<()>) {
        tokio::task::spawn_local(task);
    }

    fn hold(&self) -> Box<dyn Any> {
        Box::new(self.worker.upgrade().map(|worker| worker.count()))
    }

    fn fetch(&self, request: Fetch) -> Wait<Result<Fetched, FetchError>> {
        match self.place() {
            Ok((worker, local)) => Box::pin(fetch::fetch(worker, local, request)),
            Err(closing) => Box::pin(async { Err(closing) }),
        }
    }

    fn subrequest(&self, request: Subrequest) -> Wait<Result<Subanswer, FetchError>> {
        match self.place() {
            Ok((worker, local)) => Box::pin(subrequest::subrequest(worker, local, request)),
            Err(closing) => Box::pin(async { Err(closing) }),
        }
    }

    fn shared(&self, name: &str) -> Option<Arc<dyn Shared>> {
        let local = self.local.upgrade()?;
        let found = local.generation.dictionaries.get(name)?.clone();
        Some(found)
    }

    fn module(&self, name: &str) -> Option<Rc<dyn Module>> {
        self.local.upgrade()?.realms.iter().find_map(|realm| realm.module(name))
    }
}

/// A shared dictionary with the clock that it needs. It outlives generations that keep its name
/// and size.
pub(crate) struct Dictionary {
    pub(crate) bytes: u64,
    clock: Clock,
    dict: Dict,
}

impl Dictionary {
    pub(crate) fn new(bytes: u64, clock: Clock) -> Dictionary {
        // Seeded: clients that choose keys must not be able to make them collide.
        let mut seed = [0; 8];
        clock::random(&mut seed);
        Dictionary { bytes, clock, dict: Dict::with_seed(bytes, u64::from_ne_bytes(seed)) }
    }

    fn now(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }
}

impl Shared for Dictionary {
    fn get(&self, key: &[u8]) -> Option<Value> {
        self.dict.get(key, self.now())
    }

    fn set(&self, key: &[u8], value: Value, ttl: f64) -> Result<(), &'static str> {
        self.dict.set(key, value, ttl, self.now())
    }

    fn add(&self, key: &[u8], value: Value, ttl: f64) -> Result<(), &'static str> {
        self.dict.add(key, value, ttl, self.now())
    }

    fn replace(&self, key: &[u8], value: Value, ttl: f64) -> Result<(), &'static str> {
        self.dict.replace(key, value, ttl, self.now())
    }

    fn incr(&self, key: &[u8], by: f64, init: Option<f64>, ttl: f64) -> Result<f64, &'static str> {
        self.dict.incr(key, by, init, ttl, self.now())
    }

    fn delete(&self, key: &[u8]) {
        self.dict.delete(key);
    }

    fn expire(&self, key: &[u8], ttl: f64) -> bool {
        self.dict.expire(key, ttl, self.now())
    }

    fn ttl(&self, key: &[u8]) -> Option<f64> {
        self.dict.ttl(key, self.now())
    }

    fn keys(&self, max: usize) -> Vec<Vec<u8>> {
        self.dict.keys(max, self.now())
    }

    fn flush(&self) {
        self.dict.flush();
    }
}
